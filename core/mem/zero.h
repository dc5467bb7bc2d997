/* SPDX-License-Identifier: MIT */
/* zero.h: blocks of no bytes, of the variants with HAK_HARDEN: addresses that cannot be read or written. Any thread. */
#ifndef HAK_MEM_ZERO_H
#define HAK_MEM_ZERO_H

#include "map/map.h"

#define HAK_ENTRY_ZERO 0xf00u /* the kind of the map entry of all slices of a run of them */

static_assert(HAK_ENTRY_LIMIT <= HAK_ENTRY_ZERO, "they must not look like a class");

static inline bool hak_is_zero_entry(uint32_t entry)
{
    return hak_entry_kind(entry) == HAK_ENTRY_ZERO;
}

/* A block of no bytes; an ordinary one when there are too many, or the alignment is more than a slice. NULL when memory is out. Its
 * state has its kind. */
void *hak_zero_take(size_t align, unsigned kind);
/* Frees one, which is in use. */
void hak_zero_free(void *p);

#endif
