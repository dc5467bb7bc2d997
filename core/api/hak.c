/* SPDX-License-Identifier: MIT */
/* hak.c: the public functions (include/hakmem.h). */
#include "hakmem.h"

#include "api/family.h"
#include "api/stats.h"
#include "mem/oversize.h"
#include "mem/site_cache.h"
#include "obs/record.h"
#include "obs/site_table.h"

#include <errno.h>

HAK_EXPORT const char *hakmem_version(void)
{
    return HAKMEM_VERSION_STRING " " HAK_VARIANT;
}

HAK_EXPORT void *hakmem_alloc(size_t size)
{
    return hak_family_malloc(size);
}

HAK_EXPORT void *hakmem_alloc_zeroed(size_t count, size_t size)
{
    return hak_family_calloc(count, size);
}

HAK_EXPORT void *hakmem_alloc_aligned(size_t align, size_t size)
{
    if (!hak_is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_family_aligned(align, size);
}

HAK_EXPORT void *hakmem_resize(void *block, size_t size)
{
    return hak_family_realloc(block, size, HAK_SITE);
}

HAK_EXPORT void hakmem_free(void *block)
{
    hak_family_free(block, HAK_SITE);
}

HAK_EXPORT size_t hakmem_usable_size(const void *block)
{
    return hak_family_usable(block, HAK_SITE);
}

HAK_EXPORT int hakmem_trim(void)
{
    return hak_malloc_trim();
}

HAK_EXPORT void hakmem_stats_print(int fd, int json)
{
    hak_stats_write(fd, json != 0);
}

/* A recording gets calls as they are: what a site keeps would be missing in it. */
static bool sites_are_watched(void)
{
    return HAK_CALL_SITES && hak_options()->site_rules != HAK_SITES_OFF && !hak_record_is_on();
}

/* What the policy of a site is worth: LARGE_INFREQUENT keeps blocks, all else is served as malloc serves it. */
static bool keeps_blocks(unsigned slot)
{
    return hak_site_policy(slot) == HAK_SITE_LARGE_INFREQUENT &&
           hak_options()->site_rules == HAK_SITES_SERVED;
}

static void *alloc_watched(size_t size, const void *site)
{
    unsigned slot = hak_site_slot(site);
    bool large = size > HAK_LARGE_MAX && size <= HAK_REQUEST_MAX && keeps_blocks(slot);
    void *kept = large ? hak_site_cache_take(slot, hak_oversize_slices(size)) : NULL;
    if (kept != NULL)
        hak_watch_call(size);
    void *p = kept != NULL ? kept : hak_family_malloc(size);
    if (hak_likely(p != NULL))
        hak_site_served(slot, p, size, kept != NULL);
    return p;
}

HAK_EXPORT void *hakmem_alloc_at(size_t size, const void *site)
{
    return sites_are_watched() ? alloc_watched(size, site) : hak_family_malloc(size);
}

HAK_EXPORT void hakmem_free_at(void *block, size_t size)
{
    if (sites_are_watched() && block != NULL) {
        unsigned slot = hak_site_ended(block);
        if (slot != HAK_SITE_SLOTS && keeps_blocks(slot) && hak_site_cache_keep(slot, block))
            return;
    }
    hak_family_free_sized(block, size, HAK_SITE);
}
