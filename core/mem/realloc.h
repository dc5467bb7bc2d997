/* SPDX-License-Identifier: MIT */
/* realloc.h: blocks get another size, where they are if that is possible. Any thread. */
#ifndef HAK_MEM_REALLOC_H
#define HAK_MEM_REALLOC_H

#include "base/policy.h"
#include "mem/fast.h"

#include <errno.h>

void *hak_realloc(void *p, size_t size);
/* The block that p begins, made to hold `size` bytes where it is or by moving pages; NULL when it cannot be. */
void *hak_realloc_in_place(void *p, size_t size);
/* Bytes in the block that p begins, canary included; 0 if p is not ours. */
size_t hak_block_size(const void *p);

/* A block of `before` bytes in a slab can be kept for `size`: they fit, and at least half of it stays in use. */
HAK_INLINE bool hak_realloc_stays(size_t size, size_t before)
{
    return size <= before && (size >= before / 2 || before <= 64);
}

/* What grows by little will do so again: some more than asked for (realloc_spare, a quarter) spares the next copies. Not with
 * HAK_CHECKS, where it moves all the same. */
HAK_INLINE bool hak_realloc_by_little(size_t size, size_t before)
{
    return !HAK_CHECKS && size > before && size - before <= before / 4 && size <= HAK_LARGE_MAX;
}

/* Another block, to which one of `before` bytes is to move; `asked_for` says what malloc is asked for. NULL when memory is out:
 * since a block can always be shrunk by doing nothing, errno is changed only if it was to grow. */
HAK_INLINE void *hak_realloc_target(size_t size, size_t before, size_t (*asked_for)(size_t size))
{
    int saved = errno;
    void *target = NULL;
    if (hak_realloc_by_little(size, before))
        target = hak_fast_malloc(asked_for(size + (size >> hak_policy()->realloc_spare)));
    if (target == NULL)
        target = hak_fast_malloc(asked_for(size));
    if (target == NULL && size > before)
        return NULL;
    errno = saved; /* an attempt that failed is no failure of the whole */
    return target;
}

#endif
