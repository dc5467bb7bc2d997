/* SPDX-License-Identifier: MIT */
/* hak.c: the public functions (include/hakmem.h). */
#include "hakmem.h"

#include "api/family.h"
#include "api/stats.h"

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
