/* SPDX-License-Identifier: MIT */
/* huge.h: blocks above HAK_LARGE_MAX, each a range of its own (extent.h). Any thread.
 *
 * What is known of one stands in the map, in the entries of its first slices: that a block begins there and the low twenty bits
 * of its size in slices, then the rest of the size, and with HAK_HARDEN three times twenty bits of the bytes asked
 * for. Its last slice has an entry, too, so that its neighbours know that they have one. So the number of huge blocks is bounded by
 * memory alone, and no overrun reaches what is known of them. */
#ifndef HAK_MEM_HUGE_H
#define HAK_MEM_HUGE_H

#include "map/map.h"

/* A block of at least `size` bytes, aligned to at least a slice and to `align`. `zeroed`: it is going to be zeroed; *zero says
 * whether it is known to be. NULL when memory is out. No lock may be held here and in what follows. */
void *hak_huge_take(size_t size, size_t align, bool zeroed, bool *zero);
/* Frees the block that p began, whose map entry this was: the caller has cleared it. */
void hak_huge_release(void *p, uint32_t entry);
/* Resizes a block in place, or by moving pages rather than bytes; NULL when it can be neither (p is as it was). */
void *hak_huge_resize(void *p, uint32_t entry, size_t size);
/* Blocks in use, those that heaps keep included. */
size_t hak_huge_count(void);
/* Makes `size` bytes of a block zero that is in use and begins a slice. Pages that are zero already are not written to. */
void hak_huge_clear(void *p, size_t size);
/* The same, of what begins a page, without asking the system. */
void hak_huge_clear_pages(char *p, size_t size);
/* Copies from one beginning of a page to another. Pages that are zero in both are not written to. */
void hak_huge_copy_pages(char *p, const char *from, size_t size);

#define HAK_HUGE_PART_BITS 20u

/* The twenty bits that stand in the entry of a block's slice. */
HAK_INLINE size_t hak_huge_part(const void *p, unsigned slice)
{
    return hak_entry_payload(hak_map_get((const char *)p + slice * HAK_SLICE));
}

/* Slices in a block, whose map entry this is, or was. */
HAK_INLINE size_t hak_huge_slices(const void *p, uint32_t entry)
{
    return hak_entry_payload(entry) | hak_huge_part(p, 1) << HAK_HUGE_PART_BITS;
}

/* True if p, which has no entry, lies in a huge block or in a free range: in their first 64 MiB. For what is no block. No lock
 * may be held. */
bool hak_huge_holds(const void *p);

/* With HAK_HARDEN: the bytes that were asked for. */
size_t hak_huge_asked(const void *p);
void hak_huge_set_asked(void *p, size_t asked);

#endif
