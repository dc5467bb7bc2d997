/* SPDX-License-Identifier: MIT */
/* times.c: see times.h. */
#include "os/times.h"

#define CLOCK_LOOKS 16 /* at the clock, of which the fastest two in a row say what one costs */

const char *const hak_time_names[HAK_TIMES] = {
#define TIME(name, sentence) "prof_" #name,
#include "os/times.def"
#undef TIME
};

const char *const hak_time_sentences[HAK_TIMES] = {
#define TIME(name, sentence) sentence,
#include "os/times.def"
#undef TIME
};

bool hak_times_on;

/* All relaxed: each stands for itself. */
static _Atomic uint64_t sums[HAK_TIMES], counts[HAK_TIMES];
/* 1 more than there are between two looks with nothing in between; 0: not known. relaxed: as above. */
static _Atomic uint64_t clock_ns;

static uint64_t cost_of_looking(void)
{
    uint64_t cost = atomic_load_explicit(&clock_ns, memory_order_relaxed);
    if (cost != 0)
        return cost - 1;
    cost = UINT64_MAX - 1;
    for (int i = 0; i < CLOCK_LOOKS; i++) {
        uint64_t since = hak_os_now_ns();
        cost = hak_min(cost, hak_os_now_ns() - since);
    }
    atomic_store_explicit(&clock_ns, cost + 1, memory_order_relaxed);
    return cost;
}

void hak_time_add(hak_time_t of, uint64_t since_ns)
{
    uint64_t took = hak_os_now_ns() - since_ns;
    uint64_t cost = cost_of_looking();
    atomic_fetch_add_explicit(&sums[of], took > cost ? took - cost : 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts[of], 1, memory_order_relaxed);
}

uint64_t hak_time_average(hak_time_t of)
{
    uint64_t count = hak_time_count(of);
    uint64_t sum = atomic_load_explicit(&sums[of], memory_order_relaxed);
    return count != 0 ? (sum + count / 2) / count : 0;
}

uint64_t hak_time_count(hak_time_t of)
{
    return atomic_load_explicit(&counts[of], memory_order_relaxed);
}
