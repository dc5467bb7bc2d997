/* SPDX-License-Identifier: MIT */
/* times.h: how long things take on average (HAKMEM_PROF), in nanoseconds. Compiled in by HAK_SAMPLING. Any thread, also under a
 * lock: figures are added by relaxed atomics, and the clock is no function of libc. What reading it costs is taken off. */
#ifndef HAK_OS_TIMES_H
#define HAK_OS_TIMES_H

#include "os/os.h"

typedef enum hak_time {
#define TIME(name, sentence) HAK_TIME_##name,
#include "os/times.def"
#undef TIME
    HAK_TIMES
} hak_time_t;

extern const char *const hak_time_names[HAK_TIMES];
extern const char *const hak_time_sentences[HAK_TIMES];

/* Things are timed. Written before the first block. */
extern bool hak_times_on HAK_HIDDEN;

/* When it began; 0: it is not timed. */
HAK_INLINE uint64_t hak_time_begin(void)
{
    return HAK_SAMPLING && hak_unlikely(hak_times_on) ? hak_os_now_ns() : 0;
}

HAK_COLD void hak_time_add(hak_time_t of, uint64_t since_ns);

HAK_INLINE void hak_time_end(hak_time_t of, uint64_t since_ns)
{
    if (HAK_SAMPLING && hak_unlikely(since_ns != 0))
        hak_time_add(of, since_ns);
}

/* Average of what was timed in ns, rounded; and how often it was. */
uint64_t hak_time_average(hak_time_t of);
uint64_t hak_time_count(hak_time_t of);

#endif
