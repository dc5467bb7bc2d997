/* SPDX-License-Identifier: MIT */
/* malloc_slow.h: what the fast path of malloc leaves: mid sizes, oversize blocks, zeroed and aligned ones, and what is done when
 * memory is out. Any thread. */
#ifndef HAK_MEM_MALLOC_SLOW_H
#define HAK_MEM_MALLOC_SLOW_H

#include "base/types.h"

/* What the fast path of malloc leaves: an empty bin, a request without a class, no memory. Sets errno on failure. */
HAK_NOINLINE void *hak_malloc_slow(size_t size);
/* A request above HAK_TINY_MAX. */
HAK_NOINLINE void *hak_malloc_mid(size_t size);
/* Memory that is aligned to a power of two, any size. */
void *hak_malloc_aligned(size_t align, size_t size);
/* Zeroed memory, the slow way. */
HAK_NOINLINE void *hak_malloc_zeroed(size_t size);
/* Gives back whatever can be. True if any memory was. */
bool hak_malloc_trim(void);

#endif
