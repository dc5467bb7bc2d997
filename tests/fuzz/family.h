/* SPDX-License-Identifier: MIT */
/* The malloc family, compiled into the including file under names of its own: libFuzzer and the sanitizers keep theirs. */
#ifndef TESTS_FUZZ_FAMILY_H
#define TESTS_FUZZ_FAMILY_H

#undef HAK_OVERRIDE
#define HAK_OVERRIDE 1
#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HAKMEM_NO_ATTRIBUTES /* what callers must not do is tried too */

#include "api/family.h"
#include "hakmem.h"
#include "mem/slab.h"

#define malloc             family_malloc
#define free               family_free
#define cfree              family_cfree
#define free_sized         family_free_sized
#define free_aligned_sized family_free_aligned_sized
#define calloc             family_calloc
#define realloc            family_realloc
#define reallocarray       family_reallocarray
#define aligned_alloc      family_aligned_alloc
#define memalign           family_memalign
#define posix_memalign     family_posix_memalign
#define valloc             family_valloc
#define pvalloc            family_pvalloc
#define malloc_usable_size family_malloc_usable_size
#define malloc_trim        family_malloc_trim
#include "../../core/api/malloc.c" /* tests/ has an api/malloc.c too */

#endif
