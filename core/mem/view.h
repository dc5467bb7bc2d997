/* SPDX-License-Identifier: MIT */
/* view.h: what is in use and what is free, for mallinfo and its like. Any thread; nothing is changed, nothing allocated, and
 * one heap is locked at a time. */
#ifndef HAK_MEM_VIEW_H
#define HAK_MEM_VIEW_H

#include "base/classes.h"

typedef struct hak_memory_view {
    size_t mapped;            /* bytes of address space, but for huge blocks in use */
    size_t used;              /* of them, bytes in blocks that are in use */
    size_t trimmable;         /* of them, bytes that malloc_trim would give back at least */
    size_t free[HAK_CLASSES]; /* free blocks of each class: in slabs, and in the caller's bins */
    size_t huge_blocks;       /* in use */
    size_t huge_bytes;        /* in them */
} hak_memory_view_t;

/* Blocks in other threads' bins and on their way between threads count as used, which is at most a few MiB a thread. */
void hak_memory_view(hak_memory_view_t *view);

#endif
