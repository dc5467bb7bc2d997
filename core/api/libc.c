/* SPDX-License-Identifier: MIT */
/* libc.c: the second names under which glibc exports its malloc, for wrappers that call it by these. They are functions, not
 * aliases: tools that know an address by one name would call malloc __libc_malloc. */
#include "api/family.h"

#if HAK_OVERRIDE

HAK_EXPORT void *__libc_malloc(size_t size);
HAK_EXPORT void __libc_free(void *p);
HAK_EXPORT void *__libc_calloc(size_t count, size_t each);
HAK_EXPORT void *__libc_realloc(void *p, size_t size);
HAK_EXPORT void *__libc_memalign(size_t align, size_t size);
HAK_EXPORT void *__libc_valloc(size_t size);
HAK_EXPORT void *__libc_pvalloc(size_t size);

void *__libc_malloc(size_t size)
{
    return hak_family_malloc(size);
}

void __libc_free(void *p)
{
    hak_family_free(p, HAK_SITE);
}

void *__libc_calloc(size_t count, size_t each)
{
    return hak_family_calloc(count, each);
}

void *__libc_realloc(void *p, size_t size)
{
    return hak_family_realloc(p, size, HAK_SITE);
}

void *__libc_memalign(size_t align, size_t size)
{
    return hak_family_memalign(align, size);
}

void *__libc_valloc(size_t size)
{
    return hak_family_aligned(HAK_OS_PAGE, size);
}

void *__libc_pvalloc(size_t size)
{
    return hak_family_pages(size);
}

#endif
