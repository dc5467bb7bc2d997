/* SPDX-License-Identifier: MIT */
/* fast.h: the fast paths. malloc and free of blocks that have a class are what is in this file; every exceptional
 * exit is one branch to a _slow function. The golden table (bench/golden.toml) counts the instructions. */
#ifndef HAK_MEM_FAST_H
#define HAK_MEM_FAST_H

#include "mem/bin.h"
#include "mem/free_slow.h"
#include "mem/malloc_slow.h"

HAK_INLINE void *hak_fast_malloc(size_t size)
{
    if (hak_unlikely(size > HAK_TINY_MAX))
        return hak_malloc_mid(size);
    size_t offset = hak_tiny_size(size);
    hak_bin_ref_t bin = hak_bin_at(offset);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_malloc_slow(size);
    return hak_bin_pop(bin, block);
}

HAK_INLINE void hak_fast_free(void *p)
{
    size_t offset = hak_map_get(p) ^ hak_thread_self();
    if (hak_unlikely(offset >= HAK_ENTRY_LIMIT)) {
        hak_free_slow(p, offset);
        return;
    }
    hak_link_check_seal(p);
    hak_bin_ref_t bin = hak_bin_at(offset);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the map sends NULL to the slow path */
    void *head = bin->head;
    hak_link_set(p, head);
    bin->head = p;
    if (hak_unlikely(--bin->frees_left == 0))
        hak_bin_full(offset);
}

#endif
