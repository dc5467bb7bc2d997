/* SPDX-License-Identifier: MIT */
/* malloc.c: the malloc family under its standard names: what glibc's manual lists for a replacement, and the few that
 * glibc adds. Left out when HAK_OVERRIDE is 0. */
#include "api/family.h"

#if HAK_OVERRIDE

/* Declared here rather than by <stdlib.h> and <malloc.h>, whose attributes (nonnull, alloc_size) would let the compiler
 * assume about these definitions what callers promise. */
HAK_EXPORT void *malloc(size_t size);
HAK_EXPORT void free(void *p);
HAK_EXPORT void cfree(void *p);
HAK_EXPORT void free_sized(void *p, size_t size);
HAK_EXPORT void free_aligned_sized(void *p, size_t align, size_t size);
HAK_EXPORT void *calloc(size_t count, size_t each);
HAK_EXPORT void *realloc(void *p, size_t size);
HAK_EXPORT void *reallocarray(void *p, size_t count, size_t each);
HAK_EXPORT void *aligned_alloc(size_t align, size_t size);
HAK_EXPORT void *memalign(size_t align, size_t size);
HAK_EXPORT int posix_memalign(void **out, size_t align, size_t size);
HAK_EXPORT void *valloc(size_t size);
HAK_EXPORT void *pvalloc(size_t size);
HAK_EXPORT size_t malloc_usable_size(void *p);
HAK_EXPORT int malloc_trim(size_t pad);

void *malloc(size_t size)
{
    return hak_family_malloc(size);
}

void free(void *p)
{
    hak_family_free(p, HAK_SITE);
}

void cfree(void *p)
{
    hak_family_free(p, HAK_SITE);
}

void free_sized(void *p, size_t size)
{
    hak_family_free_sized(p, size, HAK_SITE);
}

void free_aligned_sized(void *p, size_t align, size_t size)
{
    hak_family_check_align(p, align, HAK_SITE);
    hak_family_free_sized(p, size, HAK_SITE);
}

void *calloc(size_t count, size_t each)
{
    return hak_family_calloc(count, each);
}

void *realloc(void *p, size_t size)
{
    return hak_family_realloc(p, size, HAK_SITE);
}

void *reallocarray(void *p, size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return hak_family_realloc(p, size, HAK_SITE);
}

void *aligned_alloc(size_t align, size_t size)
{
    if (!hak_is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_family_aligned(align, size);
}

void *memalign(size_t align, size_t size)
{
    return hak_family_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    if (!hak_is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno; /* the result is the return value: errno is left alone */
    void *p = hak_family_aligned(align, size);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

void *valloc(size_t size)
{
    return hak_family_aligned(HAK_OS_PAGE, size);
}

void *pvalloc(size_t size)
{
    return hak_family_pages(size);
}

size_t malloc_usable_size(void *p)
{
    return hak_family_usable(p, HAK_SITE);
}

int malloc_trim(size_t pad)
{
    (void)pad;
    return hak_malloc_trim();
}

#ifndef malloc /* a fuzz target includes this file under other names */
/* The same functions, whoever is in front of their standard names (process.c). */
extern __typeof__(malloc) hak_own_malloc __attribute__((alias("malloc"))) HAK_HIDDEN;
extern __typeof__(free) hak_own_free __attribute__((alias("free"))) HAK_HIDDEN;
#endif

#endif
