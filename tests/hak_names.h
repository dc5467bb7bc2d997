/* SPDX-License-Identifier: MIT */
/* Included before everything else (-include) in programs that are built with the allocator's objects inside, without
 * its malloc: the standard names mean the hak_ ones, so that one source serves preloaded and sanitized builds. */
#ifndef TESTS_HAK_NAMES_H
#define TESTS_HAK_NAMES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HAKMEM_NO_ATTRIBUTES /* tests do what callers must not */
#include "hakmem.h"

static inline void *hak_names_resize_array(void *block, size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return hakmem_resize(block, size);
}

static inline int hak_names_posix_memalign(void **block, size_t alignment, size_t size)
{
    void *taken = hakmem_alloc_aligned(alignment, size);
    if (taken == NULL)
        return errno;
    *block = taken;
    return 0;
}

#define malloc              hakmem_alloc
#define free                hakmem_free
#define calloc              hakmem_alloc_zeroed
#define realloc             hakmem_resize
#define reallocarray        hak_names_resize_array
#define aligned_alloc       hakmem_alloc_aligned
#define memalign            hakmem_alloc_aligned
#define posix_memalign      hak_names_posix_memalign
#define malloc_usable_size  hakmem_usable_size
#define malloc_trim(unused) hakmem_trim()

#endif
