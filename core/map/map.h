/* SPDX-License-Identifier: MIT */
/* map.h: pointer -> (owner, class) in one load, for every pointer a program can hold.
 *
 * The map is one array over the whole user address space with an entry for each 16 KiB slice, so that free() needs no
 * range compare. It would be 32 GiB long; what there is of it are windows of 1 MiB, each for 4 GiB of addresses, mapped
 * in a hole of the address space: writable ones for what the allocator has mapped itself (hak_map_cover), read-only
 * ones, all zero, for where a program's other pointers lead: NULL and other small numbers, the program, libc's heap
 * behind it, its stack, and the 64 GiB beside its libraries. Only the free of a pointer into nowhere would fault.
 *
 * Where the map lies: at random within a range that programs leave free, so that it is not the same for everybody;
 * where a sanitizer is in the process, in a range that this one leaves to programs. With little address space to have
 * (RLIMIT_AS) only the windows are taken that each program needs.
 *
 * Rejected: mapping all of the 32 GiB, read-only until needed. It costs no memory, but it counts against RLIMIT_AS: a
 * shell that preloads such a library and then sets `ulimit -v` can no longer fork.
 *
 * An entry is 0 (not ours) or a number << 12 | another. Of a slab these are the owner and the class times 16, that is the
 * offset of the class's bin. Seen by an owner, `entry ^ (own << 12)` is thus the bin's offset if the block is its own, and at
 * least HAK_ENTRY_LIMIT otherwise. Of all else they are a payload and a kind. Of a large block the kind is HAK_ENTRY_LARGE. A
 * huge block has its size in the map: the first slice has HAK_ENTRY_HUGE, some of those behind HAK_ENTRY_PART, each with
 * twenty bits of it (huge.h); a free range that huge blocks are cut from has HAK_ENTRY_FREE and the number of its record in
 * its first and in its last slice (extent.c).
 *
 * Who writes: the owner of the slices, before a block is handed out and after the last one is back. Entries are
 * relaxed atomics: whoever holds a pointer got it from a thread that had seen the entry written. */
#ifndef HAK_MAP_MAP_H
#define HAK_MAP_MAP_H

#include "base/classes.h"

#define HAK_WINDOW_SHIFT 32 /* covering goes by windows of 4 GiB of addresses: 1 MiB of map */

#define HAK_ENTRY_SHIFT 12
#define HAK_ENTRY_KIND  0xfffu
#define HAK_ENTRY_LARGE 0xff0u
#define HAK_ENTRY_HUGE  0xfd0u
#define HAK_ENTRY_PART  0xfc0u
#define HAK_ENTRY_FREE  0xfb0u
/* A large or huge block that is free, and kept by a heap or a call site, has a kind so much less. */
#define HAK_ENTRY_CACHED 0x10u
#define HAK_ENTRY_LIMIT  (HAK_CLASSES * HAK_BIN_BYTES)
#define HAK_OWNERS       0x7ffffu /* owners are 1..HAK_OWNERS-1 */
/* "self" of a thread without a heap: no entry is ever within the limit of it. */
#define HAK_NO_OWNER 0x7ffff000u

static_assert(HAK_ENTRY_LIMIT <= HAK_ENTRY_FREE, "large and huge blocks must not look like a class");
static_assert(HAK_ENTRY_LARGE - HAK_ENTRY_CACHED != HAK_ENTRY_HUGE &&
                  HAK_ENTRY_HUGE - HAK_ENTRY_CACHED == HAK_ENTRY_PART,
              "a kept block must not look like one in use");
static_assert(((HAK_OWNERS - 1) << HAK_ENTRY_SHIFT | HAK_ENTRY_KIND) < HAK_NO_OWNER, "owners fit the entry");

/* Entry of slice 0 at [0]. Before the first allocation it points to a few entries of nobody's: free(NULL) is safe at once.
 * relaxed: who asks has the block from somebody who had it after this was written. */
extern _Atomic uint32_t *hak_map HAK_HIDDEN;

/* Sets the map up. Once, before any other call here. False if there is no room for it. */
bool hak_map_init(void);

/* Makes the entries of [address, address + size) writable; false where the map has no room, or no entries. What it makes writable
 * stays so: to be called for each new mapping, once that is there. Any thread. */
bool hak_map_cover(const void *address, size_t size);

/* Memory is out: unmaps what the map has for reading alone and few programs need, if a limit of the address space leaves little.
 * Returns the bytes. Any thread. */
size_t hak_map_give_up(void);

/* In a forked child. */
void hak_map_after_fork(void);
/* Calls `visit` with the address of each slice that has an entry of this owner's slabs. Reads all that is covered: slow. */
void hak_map_each(uint32_t owner, void (*visit)(const void *slice, uint32_t owner));

HAK_INLINE uint32_t hak_map_get(const void *p)
{
    return atomic_load_explicit(&hak_map[(uintptr_t)p >> HAK_SLICE_SHIFT], memory_order_relaxed);
}

/* The 4 GiB of addresses that p is in: covered together. */
HAK_INLINE uintptr_t hak_map_window(const void *p)
{
    return (uintptr_t)p >> HAK_WINDOW_SHIFT;
}

/* The same for a pointer that may lead anywhere: where no map is, there is no block. */
uint32_t hak_map_find(const void *p);

HAK_INLINE void hak_map_set(const void *p, uint32_t entry)
{
    atomic_store_explicit(&hak_map[(uintptr_t)p >> HAK_SLICE_SHIFT], entry, memory_order_relaxed);
}

/* Of an owner and its bin, or of a payload and a kind. */
static inline uint32_t hak_entry(uint32_t owner, uint32_t bin)
{
    return owner << HAK_ENTRY_SHIFT | bin;
}

/* Of a slab's entry: its owner, and the offset of its class's bin. */
HAK_INLINE uint32_t hak_entry_owner(uint32_t entry)
{
    return entry >> HAK_ENTRY_SHIFT;
}

HAK_INLINE uint32_t hak_entry_bin(uint32_t entry)
{
    return entry & HAK_ENTRY_KIND;
}

HAK_INLINE unsigned hak_entry_class(uint32_t entry)
{
    return hak_entry_bin(entry) / HAK_BIN_BYTES;
}

/* The same numbers of any other entry: what it says, and which of the HAK_ENTRY_ kinds it is. */
HAK_INLINE uint32_t hak_entry_payload(uint32_t entry)
{
    return hak_entry_owner(entry);
}

HAK_INLINE uint32_t hak_entry_kind(uint32_t entry)
{
    return hak_entry_bin(entry);
}

/* True of the entry of a block that lies in a slab. */
HAK_INLINE bool hak_entry_in_slab(uint32_t entry)
{
    return hak_entry_bin(entry) - 1 < HAK_ENTRY_LIMIT - 1;
}

#endif
