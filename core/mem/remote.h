/* SPDX-License-Identifier: MIT */
/* remote.h: blocks that a thread frees and another heap owns. The freeing thread collects them by class, and
 * keeps the batch for itself if it has run out of such blocks meanwhile, or sends it to their owners' inboxes. */
#ifndef HAK_MEM_REMOTE_H
#define HAK_MEM_REMOTE_H

#include "mem/heap.h"

/* Frees a block of another owner's slab: entry is its map entry. */
void hak_remote_free(void *p, uint32_t entry);
/* Puts a block into a heap's inbox. Any thread. */
void hak_remote_push(hak_heap_t *heap, void *p);
/* Puts what is in the inbox into the slabs, if nobody else is at them. Any thread. */
void hak_remote_flush_unattended(hak_heap_t *heap) HAK_EXCLUDES(heap->lock);
/* Takes what is in the inbox of the calling thread's heap into its bins. */
void hak_remote_drain(hak_heap_t *heap);
/* Puts it into the slabs. */
void hak_remote_put_inbox(hak_heap_t *heap) HAK_REQUIRES(heap->lock);
/* Sends a list of blocks to their owners: sorted first, so that each owner's inbox is touched once. */
void hak_remote_send_list(void *list);
/* Sends all remote blocks of the class to their owners. */
void hak_remote_send(hak_heap_t *heap, unsigned c);
/* Sets a heap up for its first thread; or for the first in a forked child, after one that does not exist there: what that had
 * collected may be in any state, and is lost as its bins are. */
void hak_remote_init(hak_heap_t *heap);

#endif
