/* SPDX-License-Identifier: MIT */
/* counters.h: the counters of a heap, and the distribution of request sizes. A heap's counters are written by the
 * thread that owns the heap and read by whoever prints, hence relaxed atomics without read-modify-write. */
#ifndef HAK_OBS_COUNTERS_H
#define HAK_OBS_COUNTERS_H

#include "base/classes.h"
#include "base/options.h"

typedef enum hak_counter {
#define COUNTER(name, sentence) HAK_COUNTER_##name,
#include "obs/counters.def"
#undef COUNTER
    HAK_COUNTERS
} hak_counter_t;

typedef struct hak_counters {
    _Atomic uint64_t count[HAK_COUNTERS]; /* relaxed: as above */
} hak_counters_t;

extern const char *const hak_counter_names[HAK_COUNTERS];
extern const char *const hak_counter_sentences[HAK_COUNTERS];

HAK_INLINE void hak_count_add(hak_counters_t *counters, hak_counter_t counter, uint64_t n)
{
    if (!HAK_STATS || !hak_options()->stats)
        return;
    /* one writer: a load and a store lose nothing */
    uint64_t before = atomic_load_explicit(&counters->count[counter], memory_order_relaxed);
    atomic_store_explicit(&counters->count[counter], before + n, memory_order_relaxed);
}

#define HAK_HISTOGRAM_BINS 64

/* Requests by power of two, as classes end at them: [b] counts sizes above 2^(b-1) up to 2^b, the last place those of 0 (and those
 * above 2^62, which nobody meets). All threads; two threads may lose a count between them, which
 * does not matter to a distribution; relaxed. Whether it is wanted, watch.h says. */
extern _Atomic uint64_t hak_histogram[HAK_HISTOGRAM_BINS] HAK_HIDDEN;

HAK_INLINE void hak_histogram_add(size_t size)
{
    /* the bits of the size less 1, without a test for 0 */
    unsigned bits = 63u ^ (unsigned)__builtin_clzl((size << 1) - 1);
    _Atomic uint64_t *bin = &hak_histogram[bits];
    atomic_store_explicit(bin, atomic_load_explicit(bin, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
