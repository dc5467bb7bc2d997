/* SPDX-License-Identifier: MIT */
/* link.c: what is said of a link that is not as it was, and of a block that cannot be linked. No state. */
#include "mem/link.h"

#include "base/message.h"

static uint64_t class_at(const void *p)
{
    return hak_entry_class(hak_map_find(p));
}

void hak_link_corrupted(const void *block)
{
    hak_fatal(
        "write after free of %x (class %u), or overrun of the block before it: its link to %x is not as it was",
        (uint64_t)(uintptr_t)block, class_at(block), *(const uint64_t *)block);
}

void hak_link_freed_twice(const void *p)
{
    hak_fatal("double free of %x (class %u)", (uint64_t)(uintptr_t)p, class_at(p));
}

void hak_link_not_a_start(const void *p)
{
    const hak_slab_t *slab = hak_slab_of(p);
    size_t at = (size_t)((const char *)p - hak_slab_base(slab));
    if (at % slab->size == 0 && hak_slab_is_purged(slab, at / slab->size))
        hak_link_freed_twice(p);
    hak_fatal("free of %x: not the start of a block (class %u, blocks of %u bytes, %u bytes into its block)",
              (uint64_t)(uintptr_t)p, class_at(p), (uint64_t)slab->size, (uint64_t)(at % slab->size));
}
