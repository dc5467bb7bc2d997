/* check.c: checks on single blocks. Any thread; a block's words belong to whoever holds it. */
#include "mem/check.h"

#include "base/message.h"
#include "map/map.h"
#include "mem/front.h"
#include "mem/huge.h"

#include <string.h>

/* Bytes of a block that are filled: all of a block of MiB would cost milliseconds. */
#define POISON_MOST ((size_t)2 << 10)

static uint64_t *canary_of(void *p, size_t size)
{
    return (uint64_t *)(void *)((char *)p + size - sizeof(uint64_t));
}

void *hak_check_taken(void *p, size_t size)
{
    memset(p, 0xa5, hak_min(size, POISON_MOST));
    *canary_of(p, size) = ~hak_check_key(p);
    return p;
}

void hak_check_start(const void *p, uint32_t entry)
{
    const hak_slab_t *slab = hak_slab_of(p);
    size_t at = (size_t)((const char *)p - hak_slab_base(slab));
    if (at % slab->size != 0 || at / slab->size >= slab->carved)
        hak_fatal(
            "free of %x: not the start of a block (class %u, blocks of %u bytes, %u bytes into its block)",
            (uint64_t)(uintptr_t)p, (uint64_t)(hak_entry_low(entry) / 16), (uint64_t)slab->size,
            (uint64_t)(at % slab->size));
}

void hak_check_given(void *p)
{
    uint32_t entry = hak_map_get(p);
    if (entry == 0)
        hak_fatal("free of %x: not a block of this allocator, or freed before", (uint64_t)(uintptr_t)p);
    bool in_slab = hak_entry_in_slab(entry);
    if (!in_slab && hak_huge_size(p, entry) == 0) {
        hak_fatal("free of %x: not the start of a block (above %u bytes)", (uint64_t)(uintptr_t)p,
                  (uint64_t)HAK_CLASS_MAX);
    } else if (in_slab) {
        hak_check_start(p, entry);
        if (((uint64_t *)p)[1] == hak_check_key(p))
            hak_fatal("double free of %x (class %u)", (uint64_t)(uintptr_t)p,
                      (uint64_t)(hak_entry_low(entry) / 16));
    }
    size_t size = hak_block_size(p);
    uint64_t expected = ~hak_check_key(p);
    uint64_t found = *canary_of(p, size);
    if (found != expected)
        hak_fatal("overrun of %x (block of %u bytes): canary %x, expected %x", (uint64_t)(uintptr_t)p,
                  (uint64_t)size, found, expected);
    memset(p, 0xdb, hak_min(size, POISON_MOST));
    if (in_slab)
        hak_check_mark_free(p);
}
