/* SPDX-License-Identifier: MIT */
/* remote.c: see remote.h. No state. An inbox is a stack: anybody pushes, whoever has the heap takes all of it. */
#include "mem/remote.h"

#include "base/message.h"
#include "base/policy.h"
#include "mem/batch.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/quarantine.h"
#include "mem/sample.h"
#include "mem/slab.h"
#include "mem/tick.h"
#include "obs/trace.h"

#define OWNERS       8u     /* whose batches are made up at a time */
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

/* What an inbox held as one list. */
static void *list_of(void *inbox)
{
    if (!HAK_RINGS)
        return inbox;
    void *list = NULL;
    for (uint64_t n = 1; inbox != NULL; n++) { /* ends: count_block */
        hak_batch_t batch;
        count_block(inbox, n);
        inbox = hak_batch_untie(inbox, hak_entry_class(hak_map_get(inbox)), &batch);
        hak_link_set(batch.last, list);
        list = batch.first;
    }
    return list;
}

void hak_remote_put_inbox(hak_heap_t *heap)
{
    hak_slab_put_list(heap, list_of(take_inbox(heap)));
}

void hak_remote_flush_unattended(hak_heap_t *heap)
{
    /* Ends, though others may push all the time: each of them that finds the lock free comes here, too. */
    for (unsigned i = 0; i < FLUSHES && atomic_load_explicit(&heap->inbox, memory_order_seq_cst) != NULL &&
                         hak_os_try_lock(&heap->lock);
         i++) {
        hak_remote_put_inbox(heap);
        /* Beside blocks in use, perhaps: their pages go back when somebody visits the heap. */
        atomic_store_explicit(&heap->holds, HAK_HOLDS_MUCH, memory_order_relaxed);
        hak_os_unlock(&heap->lock);
        /* seq_cst, as the push is: either we see one that found the lock taken, or the pusher finds it free. */
        atomic_thread_fence(memory_order_seq_cst);
    }
}

static void push_batch(hak_heap_t *heap, const hak_batch_t *batch)
{
    if (hak_thread.heap != NULL)
        hak_count_add(&hak_thread.heap->counters, HAK_COUNTER_remote_batches, 1);
    hak_trace_frequent("batch sent", batch->first, batch->blocks);
    void *inbox = atomic_load_explicit(&heap->inbox, memory_order_relaxed);
    void *with;
    unsigned c = HAK_CHECK_LINKS ? hak_entry_class(hak_map_get(batch->last)) : 0;
    do
        with = hak_batch_tie(batch, c, inbox);
    while (!atomic_compare_exchange_weak_explicit(&heap->inbox, &inbox, with, memory_order_seq_cst,
                                                  memory_order_relaxed));
    uint32_t waiting = atomic_fetch_add_explicit(&heap->waiting, 1, memory_order_relaxed);
    /* Of what a thread sends as it ends the owner may not come for long, as when it waits for that end. */
    if (atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_ORPHAN ||
        waiting >= WAITING_MOST || hak_thread.ended)
        hak_remote_flush_unattended(heap);
}

void hak_remote_push(hak_heap_t *heap, void *p)
{
    push_batch(heap, &(hak_batch_t){.first = p, .last = p, .blocks = 1});
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
        uint32_t entry; /* of its blocks, which are of one owner and one class; 0 in an empty batch */
        hak_batch_t batch;
    } made[OWNERS] = {0};
    for (uint64_t n = 1; list != NULL; n++) { /* ends: count_block */
        void *block = list;
        count_block(block, n);
        list = hak_link_next(block);
        uint32_t entry = hak_map_get(block);
        unsigned i = hak_entry_owner(entry) % OWNERS;
        hak_batch_t *batch = &made[i].batch;
        if (made[i].entry == entry && batch->blocks < HAK_BATCH_MOST) {
            hak_link_set(block, batch->first);
            batch->first = block;
            batch->blocks++;
            continue;
        }
        if (made[i].entry != 0)
            push_batch(hak_heap_by_owner(hak_entry_owner(made[i].entry)), batch);
        made[i].entry = entry;
        *batch = (hak_batch_t){.first = block, .last = block, .blocks = 1};
    }
    for (unsigned i = 0; i < OWNERS; i++)
        if (made[i].entry != 0)
            push_batch(hak_heap_by_owner(hak_entry_owner(made[i].entry)), &made[i].batch);
}

/* The class's remote blocks: the heap has none afterwards. That a policy may have changed since the first of them spoils
 * their number, and so how much a bin holds, and nothing else. Returns their owner; 0: they have several. */
static uint32_t take_remote(hak_heap_t *heap, unsigned c, hak_batch_t *batch)
{
    uint64_t last = heap->class[c].remote_last;
    uint16_t most = batch_of(c);
    batch->first = heap->class[c].remote;
    batch->last = hak_beside_block(last);
    batch->blocks = (uint16_t)(most - heap->class[c].remote_left);
    heap->class[c].remote = NULL;
    heap->class[c].remote_last = 0;
    heap->class[c].remote_left = most;
    return hak_beside_number(last);
}

void hak_remote_send(hak_heap_t *heap, unsigned c)
{
    hak_batch_t batch;
    uint32_t owner = take_remote(heap, c, &batch);
    if (hak_likely(owner != 0))
        push_batch(hak_heap_by_owner(owner), &batch);
    else
        hak_remote_send_list(batch.first);
}

/* Block by block: where each is looked at, or the bin's bound matters. */
static void keep_each(void *block, size_t offset)
{
    void *next;
    for (uint64_t n = 1; block != NULL; block = next, n++) { /* ends: count_block */
        count_block(block, n);
        next = hak_link_next(block);
        hak_bin_push(block, offset);
    }
}

/* A batch goes into the bin at this offset. In one piece, though the bin then holds up to a batch more than its cap; that is more
 * than as much again only where the blocks are so large that three of them are a cap. */
static void keep_batch(const hak_batch_t *batch, size_t offset)
{
    if (!HAK_RINGS || hak_sample_is_on() || batch->blocks > hak_thread.bins[offset / HAK_BIN_BYTES].cap) {
        keep_each(batch->first, offset);
        return;
    }
    hak_bin_t *bin = &hak_thread.bins[offset / HAK_BIN_BYTES];
    if (bin->head == NULL)
        bin->frees_left = bin->cap;
    else if (bin->frees_left == 1)
        hak_bin_full(offset);
    hak_link_set(batch->last, bin->head);
    bin->head = batch->first;
    bin->frees_left = bin->frees_left > batch->blocks ? bin->frees_left - batch->blocks : 1;
}

/* A thread that runs out of blocks of the class while it frees so many of others keeps these, and as many of the
 * following as its bin holds. One that only frees, or has enough of its own, sends them home. */
static HAK_NOINLINE void batch_full(hak_heap_t *heap, unsigned c)
{
    if (!heap->class[c].ran_out) {
        hak_remote_send(heap, c);
        hak_tick(heap); /* a thread that frees what others have allocated comes by nowhere else */
        return;
    }
    heap->class[c].ran_out = false;
    heap->class[c].remote_keep = hak_thread.bins[c].cap;
    hak_batch_t batch;
    take_remote(heap, c, &batch);
    keep_batch(&batch, c * HAK_BIN_BYTES);
}

void hak_remote_init(hak_heap_t *heap)
{
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        heap->class[c].remote = NULL;
        heap->class[c].remote_last = 0;
        heap->class[c].remote_left = batch_of(c);
        heap->class[c].remote_keep = 0;
    }
}

static HAK_NOINLINE void send_without_heap(void *p, uint32_t entry)
{
    if (hak_heap_attach_at_need() != NULL)
        hak_remote_free(p, entry);
    else
        hak_remote_push(hak_heap_by_owner(hak_entry_owner(entry)), p);
}

/* The class's first remote block, which will be the last one of their list; or one whose owner is not that of all others. */
static void begin_or_mix(hak_heap_t *heap, unsigned c, void *p, uint32_t owner)
{
    bool begins = heap->class[c].remote == NULL;
    if (begins)
        hak_set_add(&heap->remote_classes, c - 1);
    heap->class[c].remote_last =
        begins ? hak_beside(p, owner) : hak_beside(hak_beside_block(heap->class[c].remote_last), 0);
}

HAK_INLINE void free_remote(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_thread.heap;
    unsigned c = hak_entry_class(entry);
    if (hak_unlikely(heap == NULL)) {
        send_without_heap(p, entry);
        return;
    }
    hak_count_add(&heap->counters, HAK_COUNTER_remote_blocks, 1);
    if (hak_beside_number(heap->class[c].remote_last) != hak_entry_owner(entry)) {
        if (heap->class[c].remote_keep != 0) { /* then there is no list */
            heap->class[c].remote_keep--;
            hak_bin_push(p, hak_entry_bin(entry));
            return;
        }
        begin_or_mix(heap, c, p, hak_entry_owner(entry));
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
    hak_link_check_begins(p);
    if (hak_sample_is_on())
        free_sampling(p, entry);
    else
        free_remote(p, entry);
}

/* Blocks of other owners among them may follow: their slabs were adopted. A bin may hold such. */
static void drain_batches(hak_heap_t *heap, void *inbox)
{
    for (uint64_t n = 1; inbox != NULL; n++) { /* ends: count_block */
        hak_batch_t batch;
        count_block(inbox, n);
        uint32_t entry = hak_map_get(inbox);
        inbox = hak_batch_untie(inbox, hak_entry_class(entry), &batch);
        hak_link_set(batch.last, NULL);
        if (hak_likely(hak_entry_owner(entry) == heap->owner))
            keep_batch(&batch, hak_entry_bin(entry));
        else
            push_batch(hak_heap_by_owner(hak_entry_owner(entry)), &batch);
        hak_count_add(&heap->counters, HAK_COUNTER_inbox_blocks, batch.blocks);
    }
}

/* With HAK_HARDEN. */
static void drain_blocks(hak_heap_t *heap, void *block)
{
    uint64_t n = 0;
    for (void *next; block != NULL; block = next) { /* ends: count_block */
        count_block(block, ++n);
        next = hak_link_next(block);
        uint32_t offset = hak_map_get(block) ^ hak_entry(heap->owner, 0);
        if (hak_unlikely(offset >= HAK_ENTRY_LIMIT)) {
            hak_remote_push(hak_heap_by_owner(hak_entry_owner(hak_map_get(block))), block);
            continue;
        }
        hak_quarantine_receive(block, hak_map_get(block));
    }
    hak_count_add(&heap->counters, HAK_COUNTER_inbox_blocks, n);
}

void hak_remote_drain(hak_heap_t *heap)
{
    void *inbox = take_inbox(heap);
    if (HAK_RINGS)
        drain_batches(heap, inbox);
    else
        drain_blocks(heap, inbox);
}
