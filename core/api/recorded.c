/* SPDX-License-Identifier: MIT */
/* recorded.c: see recorded.h. No state. free has its place in mem/free_slow.c. */
#include "api/recorded.h"

#include "mem/fast.h"
#include "mem/realloc.h"
#include "obs/record.h"

static void count_size(size_t size)
{
    if (hak_options()->size_hist)
        hak_histogram_add(size);
}

void *hak_recorded_malloc(size_t size, const void *site)
{
    count_size(size);
    void *p = hak_fast_malloc(size);
    hak_record_take(HAK_RECORD_MALLOC, p, size, 0, site);
    return p;
}

void *hak_recorded_calloc(size_t size, const void *site)
{
    count_size(size);
    void *p = hak_malloc_zeroed(size);
    hak_record_take(HAK_RECORD_CALLOC, p, size, 0, site);
    return p;
}

void *hak_recorded_aligned(size_t align, size_t size, const void *site)
{
    count_size(size);
    void *p = hak_malloc_aligned(align, size);
    hak_record_take(HAK_RECORD_ALIGNED, p, size, (unsigned)__builtin_ctzl(align), site);
    return p;
}

void *hak_recorded_realloc(void *p, size_t size, const void *site)
{
    count_size(size);
    hak_record_held_t held = hak_record_hold(p);
    void *resized = hak_realloc(p, size);
    hak_record_resized(held, p, resized, size, site);
    return resized;
}
