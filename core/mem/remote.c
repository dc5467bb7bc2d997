/* SPDX-License-Identifier: MIT */
/* remote.c: see remote.h. Nothing static. An inbox is a stack: anybody pushes, whoever has the heap takes all of it. */
#include "mem/remote.h"

#include "base/message.h"
#include "base/policy.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/quarantine.h"
#include "mem/sample.h"
#include "mem/slab.h"

#define BATCHES      8u
#define FLUSHES      64u    /* times that one thread empties an inbox into which others push meanwhile */
#define WAITING_MOST 64u    /* lists in the inbox of a thread that does not come for them */
#define CHECK_EVERY  65536u /* blocks of a list, whether it can be that long */

/* The n-th block of a list. One that was freed twice can lead its list back into itself: a list of more blocks than there is
 * memory for them has no end. */
static HAK_COLD void check_end(const void *block, uint64_t n)
{
    if (n > hak_chunk_view().reserved / HAK_ALIGN)
        hak_fatal("double free of %x or of a block freed with it: the list of freed blocks has no end",
                  (uint64_t)(uintptr_t)block);
}

static void count_block(const void *block, uint64_t n)
{
    if (hak_unlikely(n % CHECK_EVERY == 0))
        check_end(block, n);
}

static void *take_inbox(hak_heap_t *heap)
{
    atomic_store_explicit(&heap->waiting, 0, memory_order_relaxed);
    return atomic_exchange_explicit(&heap->inbox, NULL, memory_order_acquire);
}

void hak_remote_put_inbox(hak_heap_t *heap)
{
    hak_slab_put_list(heap, take_inbox(heap));
}

void hak_remote_flush_unattended(hak_heap_t *heap)
{
    /* Ends, though others may push all the time: each of them that finds the lock free comes here, too. */
    for (unsigned i = 0; i < FLUSHES && atomic_load_explicit(&heap->inbox, memory_order_seq_cst) != NULL &&
                         hak_os_try_lock(&heap->lock);
         i++) {
        hak_remote_put_inbox(heap);
        hak_os_unlock(&heap->lock);
        /* seq_cst, as the push is: either we see one that found the lock taken, or the pusher finds it free. */
        atomic_thread_fence(memory_order_seq_cst);
    }
}

void hak_remote_push(hak_heap_t *heap, void *first, void *last)
{
    if (hak_thread.heap != NULL)
        hak_count_add(&hak_thread.heap->counters, HAK_COUNTER_remote_batches, 1);
    void *head = atomic_load_explicit(&heap->inbox, memory_order_relaxed);
    do
        hak_link_set(last, head);
    while (!atomic_compare_exchange_weak_explicit(&heap->inbox, &head, first, memory_order_seq_cst,
                                                  memory_order_relaxed));
    uint32_t waiting = atomic_fetch_add_explicit(&heap->waiting, 1, memory_order_relaxed);
    if (atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_ORPHAN ||
        waiting >= WAITING_MOST)
        hak_remote_flush_unattended(heap);
}

/* Frees until blocks of a class are sent. */
static uint16_t batch_of(unsigned c)
{
    const hak_policy_t *policy = hak_policy();
    size_t fit = ((size_t)policy->remote_kb << 10) / hak_class_size(c);
    return HAK_REMOTE_BATCH ? (uint16_t)hak_min(hak_max(fit, 1), policy->remote_blocks) : 1;
}

void hak_remote_send_list(void *list)
{
    struct {
        uint32_t owner; /* 0 in an empty batch */
        void *first, *last;
    } batches[BATCHES] = {0};
    for (uint64_t n = 1; list != NULL; n++) { /* ends: count_block */
        void *block = list;
        count_block(block, n);
        list = hak_link_next(block);
        uint32_t owner = hak_entry_owner(hak_map_get(block));
        unsigned i = owner % BATCHES;
        if (batches[i].owner == owner) {
            hak_link_set(block, batches[i].first);
            batches[i].first = block;
            continue;
        }
        if (batches[i].owner != 0)
            hak_remote_push(hak_heap_by_owner(batches[i].owner), batches[i].first, batches[i].last);
        batches[i].owner = owner;
        batches[i].first = batches[i].last = block;
    }
    for (unsigned i = 0; i < BATCHES; i++)
        if (batches[i].owner != 0)
            hak_remote_push(hak_heap_by_owner(batches[i].owner), batches[i].first, batches[i].last);
}

/* The class's remote blocks: the heap has none afterwards. */
static void *take_remote(hak_heap_t *heap, unsigned c)
{
    void *list = heap->class[c].remote;
    heap->class[c].remote = NULL;
    heap->class[c].remote_left = batch_of(c);
    return list;
}

void hak_remote_send(hak_heap_t *heap, unsigned c)
{
    hak_remote_send_list(take_remote(heap, c));
}

/* A thread that runs out of blocks of the class while it frees so many of others keeps these, and as many of the
 * following as its bin holds. One that only frees, or has enough of its own, sends them home. */
static HAK_NOINLINE void batch_full(hak_heap_t *heap, unsigned c)
{
    if (!heap->class[c].ran_out) {
        hak_remote_send(heap, c);
        return;
    }
    heap->class[c].ran_out = false;
    heap->class[c].remote_keep = hak_thread.bins[c].cap;
    uint32_t n = batch_of(c); /* blocks of it: what leads to one more leads back into it */
    void *block = take_remote(heap, c);
    for (void *next; block != NULL; block = next) {
        if (n-- == 0)
            hak_link_freed_twice(block);
        next = hak_link_next(block);
        hak_link_check_begins(block);
        hak_bin_push(block, c * HAK_BIN_BYTES);
    }
}

void hak_remote_init(hak_heap_t *heap)
{
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        heap->class[c].remote_left = batch_of(c);
}

static HAK_NOINLINE void send_without_heap(void *p, uint32_t entry)
{
    if (hak_heap_attach_at_need() != NULL)
        hak_remote_free(p, entry);
    else
        hak_remote_push(hak_heap_by_owner(hak_entry_owner(entry)), p, p);
}

HAK_INLINE void free_remote(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_thread.heap;
    unsigned c = hak_entry_bin(entry) / HAK_BIN_BYTES;
    if (hak_unlikely(heap == NULL)) {
        send_without_heap(p, entry);
        return;
    }
    hak_count_add(&heap->counters, HAK_COUNTER_remote_blocks, 1);
    if (heap->class[c].remote_keep != 0) {
        heap->class[c].remote_keep--;
        hak_link_check_begins(p);
        hak_bin_push(p, hak_entry_bin(entry));
        return;
    }
    hak_link_set(p, heap->class[c].remote);
    heap->class[c].remote = p;
    if (hak_unlikely(--heap->class[c].remote_left == 0))
        batch_full(heap, c);
}

/* While calls are sampled: the block may be of the heap of nobody. */
static HAK_COLD void free_sampling(void *p, uint32_t entry)
{
    if (hak_sample_freed(p, entry))
        return;
    uint64_t since_ns = hak_time_begin();
    free_remote(p, entry);
    hak_time_end(HAK_TIME_remote, since_ns);
}

void hak_remote_free(void *p, uint32_t entry)
{
    hak_link_check_seal(p);
    if (hak_sample_is_on())
        free_sampling(p, entry);
    else
        free_remote(p, entry);
}

void hak_remote_drain(hak_heap_t *heap)
{
    uint64_t n = 0;
    void *block = take_inbox(heap);
    for (void *next; block != NULL; block = next) { /* ends: count_block */
        count_block(block, ++n);
        next = hak_link_next(block);
        uint32_t offset = hak_map_get(block) ^ hak_entry(heap->owner, 0);
        if (hak_unlikely(offset >= HAK_ENTRY_LIMIT)) {
            hak_remote_push(hak_heap_by_owner(hak_entry_owner(hak_map_get(block))), block, block);
            continue;
        }
        hak_link_check_begins(block);
        if (HAK_HARDEN)
            hak_quarantine_receive(block, hak_map_get(block));
        else
            hak_bin_push(block, offset);
    }
    hak_count_add(&heap->counters, HAK_COUNTER_inbox_blocks, n);
}
