/* SPDX-License-Identifier: MIT */
/* free_slow.h: what the fast path of free leaves: blocks of others, oversize ones, and what is no block. Any thread. */
#ifndef HAK_MEM_FREE_SLOW_H
#define HAK_MEM_FREE_SLOW_H

#include "obs/watch.h"

/* What the fast path of free leaves: NULL, blocks of other threads, large and huge ones, pointers that are not ours. `seen`: the
 * map's entry as the thread sees it, xor hak_thread_self(); the map is not asked again. */
HAK_NOINLINE void hak_free_slow(void *p, size_t seen);
/* What begins no block of ours: libc's, or nobody's. */
HAK_COLD void hak_free_not_ours(void *p, uint32_t entry);
/* A pointer without an entry: a block of libc's, or of nobody. */
HAK_NOINLINE void hak_free_unknown(void *p);
/* What is freed is no block that is in use. `ours`: it lies in a block or range of ours. Of what does not we leave open whether
 * another malloc knows it. */
void hak_free_refuse(void *p, bool ours);
/* Aborts unless a block of its slab that was handed out begins at p. */
void hak_free_check_start(const void *p);

/* With safe_free each free takes the slow path and is checked there; HAK_HARDEN checks on all paths. */
static inline bool hak_free_is_checked(void)
{
    return !HAK_HARDEN && hak_options()->safe_free;
}

/* With that, or while calls are recorded, each free takes the slow path. */
static inline bool hak_free_is_watched(void)
{
    return HAK_RECORD ? hak_watch_frees != 0 : hak_free_is_checked();
}

#endif
