/* SPDX-License-Identifier: MIT */
/* slab.c: see slab.h. No state. */
#include "mem/slab.h"

#include "base/message.h"
#include "base/policy.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/link.h"
#include "mem/remote.h"
#include "mem/retain.h"

#include <string.h>

#define FEW_RUNS    12u /* that a thread takes before its slabs are kept apart from those of others */
#define KEPT_SLAB   4u  /* in the longest slab that a heap keeps when it is empty */
#define KEPT_SINGLE 16u /* the same of one that is a single block: of such the thread's bin may hold none */
#define KEPT_MOST   64u /* slices in all of them */
/* The first class of which one block is carved at a time: above 2 KiB. */
#define PURGED_FIRST (hak_class_upto(HAK_OS_PAGE / 2) + 1)
#define PASSED_EACH  64u /* slabs that may be passed once more for each that is looked at */
#define CARVED_MOST  (HAK_OS_PAGE / HAK_ALIGN) /* blocks at a time, where they are shuffled */
#define CHAIN_MOST   (HAK_SLICE / HAK_ALIGN)   /* blocks in a slice */

static void list_slab(hak_heap_t *heap, hak_slab_t *slab) HAK_REQUIRES(heap->lock)
{
    LIST_INSERT_HEAD(hak_heap_slabs(heap, slab->class), slab, in_class);
    slab->listed = true;
}

static void unlist_slab(hak_heap_t *heap, hak_slab_t *slab) HAK_REQUIRES(heap->lock)
{
    (void)heap; /* whose list it is, and whose lock that takes */
    LIST_REMOVE(slab, in_class);
    slab->listed = false;
}

static void set_entries(const hak_slab_t *slab, uint32_t entry)
{
    char *base = hak_slab_base(slab);
    for (unsigned i = 0; i < slab->slices; i++)
        hak_map_set(base + i * HAK_SLICE, entry);
}

/* Slices of a slab that may be other than zero: what was carved, by this class or by one before it. */
static uint8_t touched_slices(const hak_slab_t *slab)
{
    size_t carved = ((size_t)hak_slab_edge(slab) * slab->size + HAK_SLICE - 1) >> HAK_SLICE_SHIFT;
    return (uint8_t)hak_max(slab->touched, carved);
}

/* Where in a chunk a slab of the class lies: a mid one, which touches up to all pages of a slice, behind, apart from tiny ones, of
 * which many touch a single page. Where pages are populated all lie in front: those that come ahead are of what is taken next. */
static hak_run_t run_of(unsigned c)
{
    if (c > HAK_MID_CLASSES)
        return HAK_RUN_SINGLE;
    return c > HAK_TINY_CLASSES && hak_policy()->populate_kb == 0 ? HAK_RUN_BACK : HAK_RUN_FRONT;
}

/* Empty slabs stay with the heap, for any class that needs one of their length, at their end. */
static hak_slab_t *take_run(hak_heap_t *heap, unsigned slices, hak_run_t what) HAK_REQUIRES(heap->lock)
{
    for (uint32_t i = heap->empty_count; i-- != 0;) {
        hak_slab_t *slab = heap->empty_slabs[i];
        if (slab->slices != slices || run_of(slab->class) != what)
            continue;
        heap->empty_slabs[i] = heap->empty_slabs[--heap->empty_count];
        heap->empty_slices -= slices;
        return slab;
    }
    if (HAK_CHECK_LINKS && what != HAK_RUN_SINGLE && hak_thread.heap == heap)
        hak_bins_check(heap);
    bool many = hak_unlikely(heap->runs_taken++ >= FEW_RUNS) && hak_heap_count() > 1;
    hak_slab_t *slab =
        many ? hak_chunk_take_beside(slices, what, heap->owner) : hak_chunk_take_run(slices, what);
    if (slab != NULL)
        slab->touched = 0;
    return slab;
}

/* Slices that the heap may still keep. What it has already stays, should its share have become less. */
static unsigned empty_left(const hak_heap_t *heap) HAK_REQUIRES(heap->lock)
{
    size_t heaps = hak_heaps_sharing();
    size_t most = hak_max(KEPT_MOST * HAK_SHARES / heaps, KEPT_SLAB);
    return (unsigned)(most - hak_min(most, heap->empty_slices));
}

static void release_run(hak_heap_t *heap, hak_slab_t *slab) HAK_REQUIRES(heap->lock)
{
    slab->touched = touched_slices(slab);
    /* Others put blocks back for a thread that sleeps, whose heap is not to keep anything for it. */
    bool own = hak_thread.heap == heap;
    unsigned longest = slab->class > HAK_MID_CLASSES ? KEPT_SINGLE : KEPT_SLAB;
    if (!own || slab->slices > hak_min(longest, empty_left(heap)) ||
        heap->empty_count >= hak_policy()->empty_slabs) {
        hak_chunk_release_run(slab, slab->touched);
        return;
    }
    heap->empty_slabs[heap->empty_count++] = slab;
    heap->empty_slices += slab->slices;
    /* Should the thread go to sleep. */
    atomic_store_explicit(&heap->holds, HAK_HOLDS_MUCH, memory_order_relaxed);
}

/* In a new slab of the class. */
static unsigned new_slices(unsigned c)
{
    if (c > HAK_MID_CLASSES)
        return hak_class_slices(c, 1, 1);
    const hak_policy_t *policy = hak_policy();
    return hak_class_slices(c, policy->slab_blocks, c < PURGED_FIRST ? policy->slab_slices : 1);
}

/* Blocks that are carved one at a time would come in order, and an enemy could tell where the next one lies: so all of them
 * count as purged, of which any is taken. Not in debug, which would have to fill them. */
static void shuffle_blocks(hak_slab_t *slab)
{
    slab->purged = (1u << slab->capacity) - 1;
    for (uint32_t i = 0; i < slab->capacity; i++)
        *hak_harden_state(hak_slab_base(slab) + (size_t)i * slab->size) = HAK_BLOCK_FREE;
}

static hak_slab_t *make_slab(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    hak_slab_t *slab = take_run(heap, new_slices(c), run_of(c));
    if (slab == NULL)
        return NULL;
    slab->free = NULL;
    atomic_store_explicit(&slab->heap, heap, memory_order_relaxed);
    slab->free_count = 0;
    slab->carved = 0;
    slab->purged = 0;
    slab->capacity = hak_class_capacity(c, slab->slices);
    slab->size = (uint32_t)hak_class_size(c);
    slab->class = (uint16_t)c;
    hak_slab_set_inverse(slab);
    if (HAK_HARDEN && HAK_FILL_BYTE == 0 && c >= PURGED_FIRST && c <= HAK_MID_CLASSES)
        shuffle_blocks(slab);
    set_entries(slab, hak_heap_entry(heap, c));
    list_slab(heap, slab);
    hak_count_add(&heap->counters, HAK_COUNTER_slabs_made, 1);
    return slab;
}

/* What is cut otherwise next has no links in the middle of its blocks. A program may copy what it never wrote, as it does with a
 * struct of which it has set one field: from the middle of an array to the start of a block, which then would look free. Blocks
 * that are purged have no link. */
static void forget_links(const hak_slab_t *slab)
{
    char *block = hak_slab_base(slab);
    if (slab->purged == 0) {
        hak_harden_forget(block, slab->size, slab->carved);
        return;
    }
    for (uint32_t i = 0; i < hak_slab_edge(slab); i++, block += slab->size)
        if (!hak_slab_is_purged(slab, i))
            hak_harden_forget(block, slab->size, 1);
}

static void release_slab(hak_heap_t *heap, hak_slab_t *slab) HAK_REQUIRES(heap->lock)
{
    unlist_slab(heap, slab);
    set_entries(slab, 0);
    if (HAK_HARDEN || HAK_CHECK_LINKS)
        forget_links(slab);
    hak_count_add(&heap->counters, HAK_COUNTER_slabs_released, 1);
    release_run(heap, slab);
}

static uint32_t block_index(const hak_slab_t *slab, const void *block)
{
    return (uint32_t)((size_t)((const char *)block - hak_slab_base(slab)) / slab->size);
}

static char *block_at(const hak_slab_t *slab, uint32_t index)
{
    return hak_slab_base(slab) + (size_t)index * slab->size;
}

/* Purged blocks count as if they were not carved yet. The order of the two stores is for a forked child, which may find another
 * thread between them: at worst too many blocks are carved, never one in use too few. */
static void add_purged(hak_slab_t *slab, uint32_t set)
{
    __atomic_store_n(&slab->purged, slab->purged | set, __ATOMIC_RELAXED);
    __atomic_store_n(&slab->carved, slab->carved - (uint32_t)__builtin_popcount(set), __ATOMIC_RELEASE);
}

static void remove_purged(hak_slab_t *slab, uint32_t set)
{
    __atomic_store_n(&slab->carved, slab->carved + (uint32_t)__builtin_popcount(set), __ATOMIC_RELAXED);
    __atomic_store_n(&slab->purged, slab->purged & ~set, __ATOMIC_RELEASE);
}

static bool is_empty(const hak_slab_t *slab)
{
    return slab->free_count == slab->carved;
}

bool hak_slab_grow(void *p, unsigned c)
{
    hak_slab_t *slab = hak_slab_of(p);
    if (!hak_chunk_grow_run(slab, new_slices(c)))
        return false;
    slab->size = (uint32_t)hak_class_size(c);
    slab->class = (uint16_t)c;
    hak_slab_set_inverse(slab);
    set_entries(slab, hak_heap_entry(atomic_load_explicit(&slab->heap, memory_order_relaxed), c));
    return true;
}

hak_slab_t *hak_slab_adopt(hak_heap_t *from, hak_heap_t *to, unsigned c)
{
    hak_slab_t *slab = LIST_FIRST(hak_heap_slabs(from, c));
    if (slab == NULL)
        return NULL;
    unlist_slab(from, slab);
    atomic_store_explicit(&slab->heap, to, memory_order_relaxed);
    /* release: pairs with the acquire in hak_heap_by_owner. Who frees one of its blocks reads the new owner from these entries. */
    atomic_thread_fence(memory_order_release);
    set_entries(slab, hak_heap_entry(to, c));
    list_slab(to, slab);
    return slab;
}

/* More blocks of a slab came back than it has given: one of them twice, or the list leads back into itself. */
static HAK_COLD _Noreturn void too_many_back(const hak_slab_t *slab, const void *block)
{
    hak_fatal(
        "double free of %x or of a block beside it (class %u): more blocks of a slab are free than it has",
        (uint64_t)(uintptr_t)block, (uint64_t)slab->class);
}

/* After blocks came back: the slab has some to take, or is empty and is released. */
static void settle_slab(hak_heap_t *heap, hak_slab_t *slab) HAK_REQUIRES(heap->lock)
{
    if (!slab->listed)
        list_slab(heap, slab);
    if (is_empty(slab))
        release_slab(heap, slab);
}

/* Puts n linked blocks of one slab back. */
static void put_chain(hak_heap_t *heap, hak_slab_t *slab, void *first, void *last, uint32_t n)
    HAK_REQUIRES(heap->lock)
{
    if (hak_unlikely(slab->free_count + n > slab->carved))
        too_many_back(slab, first);
    hak_link_set(last, slab->free);
    slab->free = first;
    slab->free_count += n;
    settle_slab(heap, slab);
}

static bool in_same_slice(const void *a, const void *b)
{
    return ((uintptr_t)a ^ (uintptr_t)b) >> HAK_SLICE_SHIFT == 0;
}

/* What was freed together often lies together: neighbours in the list that are of one slice go back
 * as they are linked (8 instructions a block; one by one 22).
 *
 * The list comes from memory that programs can spoil, so why each loop ends: a chain is cut at what fits into a slice, and
 * put_chain aborts when a slab gets more than it has given; blocks of others that are met again lead to those met before
 * them, of which the first ends the list. */
void hak_slab_put_list(hak_heap_t *heap, void *list)
{
    uint64_t n = 0;
    void *remote = NULL;
    while (list != NULL) {
        void *first = list;
        void *last = first;
        uint32_t chain = 1;
        hak_slab_t *slab = hak_slab_of(first);
        const char *base = hak_slab_base(slab);
        hak_link_check_start(slab, (size_t)((char *)first - base), first);
        while ((list = hak_link_next(last)) != NULL && in_same_slice(list, first) && chain < CHAIN_MOST) {
            last = list;
            chain++;
            hak_link_check_start(slab, (size_t)((char *)last - base), last);
        }
        n += chain;
        if (hak_likely(atomic_load_explicit(&slab->heap, memory_order_relaxed) == heap)) {
            put_chain(heap, slab, first, last, chain);
            continue;
        }
        hak_link_set(last, remote);
        remote = first;
    }
    if (remote != NULL)
        hak_remote_send_list(remote);
    hak_count_add(&heap->counters, HAK_COUNTER_blocks_flushed, n);
}

/* Links the n blocks from `first` on in random order. They are filled, as all memory that was never used or that
 * hak_harden_forget has seen, but in debug. */
static void *carve_shuffled(hak_slab_t *slab, char *first, size_t n)
{
    uint16_t order[CARVED_MOST];
    void *list = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t j = ((hak_thread_random() >> 32) * (i + 1)) >> 32;
        order[i] = order[j];
        order[j] = (uint16_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        char *block = first + order[i] * (size_t)slab->size;
        if (HAK_FILL_BYTE != 0)
            hak_harden_fill_any(block, slab->size);
        *hak_harden_state(block) = HAK_BLOCK_FREE;
        hak_link_set(block, list);
        list = block;
    }
    return list;
}

/* One of a set; any, where an enemy could tell the lowest beforehand. */
static uint32_t pick_block(uint32_t set)
{
    uint32_t skipped =
        HAK_HARDEN ? (uint32_t)(hak_thread_random() >> 32) % (uint32_t)__builtin_popcount(set) : 0;
    for (; skipped != 0; skipped--)
        set &= set - 1;
    return (uint32_t)__builtin_ctz(set);
}

/* A purged block has no seal that would show its second free. What that wrote, or its next owner, is seen here. */
static HAK_COLD _Noreturn void purged_is_corrupted(const void *block)
{
    if (HAK_HARDEN)
        hak_harden_corrupted(block);
    if (hak_link_is_sealed(block))
        hak_link_freed_twice(block);
    hak_link_corrupted(block);
}

/* The first two words of a purged block are as they were left. In hardened, where blocks come this way that were never touched, the
 * first is written at once: a page that is read before it is written faults twice. */
static bool is_as_purged(void *block)
{
    hak_word_t *word = block;
    const hak_word_t left = (hak_word_t)HAK_FILL_WORD;
    return HAK_HARDEN ? __atomic_exchange_n(word, left, __ATOMIC_RELAXED) == left && word[1] == left
                      : hak_harden_is_unlinked(block);
}

/* One of the blocks whose pages went back. They come before those that were never handed out: the pages that they share with
 * others are there. */
static HAK_NOINLINE void *take_purged(hak_slab_t *slab)
{
    uint32_t index = pick_block(slab->purged);
    void *block = block_at(slab, index);
    if ((HAK_HARDEN || HAK_CHECK_LINKS) && !is_as_purged(block))
        purged_is_corrupted(block);
    remove_purged(slab, 1u << index);
    hak_link_set(block, NULL);
    return block;
}

/* True if the slab gives a single block next, and that is zero: it was purged. Or it was never handed out, its run was zero when
 * it came from the pool, and no slab that the heap has made of that since got as far as the block. */
static bool carves_zero(const hak_slab_t *slab)
{
    if (HAK_HARDEN || slab->free != NULL || slab->class < PURGED_FIRST)
        return false;
    return slab->purged != 0 || (slab->clean && slab->carved * slab->size >= slab->touched * HAK_SLICE);
}

/* How many are carved at a time; a single one from PURGED_FIRST on, so that it can be known to be zero. */
static size_t carved_at_a_time(const hak_slab_t *slab)
{
    if (slab->class >= PURGED_FIRST)
        return 1;
    size_t n = hak_policy()->carve_bytes / slab->size;
    return HAK_HARDEN ? hak_min(n, CARVED_MOST) : n;
}

/* Blocks that were never handed out, at least one. Or a purged one. */
static void *carve_block(hak_slab_t *slab)
{
    if (hak_unlikely(slab->purged != 0))
        return take_purged(slab);
    size_t n = hak_min(carved_at_a_time(slab), slab->capacity - slab->carved);
    char *first = block_at(slab, slab->carved);
    slab->carved += (uint32_t)n;
    if (HAK_HARDEN)
        return carve_shuffled(slab, first, n);
    char *block = first;
/* With a profile clang peels this loop instead, for the mean of all programs: 4 % more instructions under perl. */
#pragma GCC unroll 8
    for (size_t i = 1; i < n; i++, block += slab->size)
        hak_link_set(block, block + slab->size);
    hak_link_set(block, NULL);
    return first;
}

/* One that has blocks to take; NULL when memory is out. */
HAK_INLINE hak_slab_t *slab_with_blocks(hak_heap_t *heap, unsigned c) HAK_REQUIRES(heap->lock)
{
    hak_slab_t *slab = LIST_FIRST(hak_heap_slabs(heap, c));
    if (slab == NULL && (slab = hak_heap_adopt_slab(heap, c)) == NULL)
        slab = make_slab(heap, c);
    return slab;
}

void *hak_slab_take_blocks(hak_heap_t *heap, unsigned c)
{
    hak_slab_t *slab = slab_with_blocks(heap, c);
    if (slab == NULL)
        return NULL;
    void *list = slab->free;
    if (list == NULL)
        list = carve_block(slab);
    slab->free = NULL;
    slab->free_count = 0;
    if (slab->carved == slab->capacity)
        unlist_slab(heap, slab);
    return list;
}

void *hak_slab_take_zero(hak_heap_t *heap, unsigned c, bool *zero)
{
    /* From which the blocks will come: it is the first of its list. */
    hak_slab_t *slab = slab_with_blocks(heap, c);
    *zero = slab != NULL && carves_zero(slab);
    return slab != NULL ? hak_slab_take_blocks(heap, c) : NULL;
}

void *hak_slab_take_one(hak_heap_t *heap, unsigned c)
{
    hak_slab_t *slab = slab_with_blocks(heap, c);
    if (slab == NULL)
        return NULL;
    if (slab->free == NULL) {
        uint32_t before = slab->carved;
        slab->free = carve_block(slab);
        slab->free_count = slab->carved - before;
    }
    void *block = slab->free;
    slab->free = hak_link_next(block);
    slab->free_count--;
    if (slab->free == NULL && slab->carved == slab->capacity)
        unlist_slab(heap, slab);
    hak_link_unseal(block);
    return block;
}

void hak_slab_release_empty(hak_heap_t *heap)
{
    while (heap->empty_count != 0) {
        hak_slab_t *slab = heap->empty_slabs[--heap->empty_count];
        hak_chunk_release_run(slab, slab->touched);
    }
    heap->empty_slices = 0;
}

/* Takes the free blocks of the next slabs of a class, linked. Those that were purged have come to the front of the list, or stayed
 * there. */
static void *take_free_blocks(hak_heap_t *heap, hak_purging_t *place, uint32_t *most) HAK_REQUIRES(heap->lock)
{
    void *list = NULL;
    hak_slab_t *next, *slab = LIST_FIRST(hak_heap_slabs(heap, PURGED_FIRST + place->classes));
    for (uint32_t i = place->slabs; i != 0 && slab != NULL; i--)
        slab = LIST_NEXT(slab, in_class);
    for (; slab != NULL && *most != 0; slab = next, place->slabs++) { /* each slab once */
        next = LIST_NEXT(slab, in_class);
        if (slab->free == NULL)
            continue;
        --*most;
        void *last = slab->free;
        for (uint32_t n = slab->free_count; n > 1; n--)
            last = hak_link_next(last);
        hak_link_set(last, list);
        list = slab->free;
        slab->free = NULL;
        slab->free_count = 0;
        if (slab->carved == slab->capacity)
            unlist_slab(heap, slab);
    }
    if (slab == NULL) {
        place->classes++;
        place->slabs = 0;
    }
    return list;
}

/* Blocks of one slab that are on their way to be purged: in no list, as if they were in use. */
typedef struct batch {
    hak_slab_t *slab;
    uint32_t blocks; /* all of them, a set */
    uint32_t before; /* of them, those that were purged before */
    uint32_t purged; /* of them, those that are */
    bool refused;    /* by the system */
} batch_t;

/* The next blocks of a list, which is ours: it ends, and those of one slab follow each other. */
static batch_t next_batch(void **list)
{
    batch_t batch = {.slab = hak_slab_of(*list)};
    void *block = *list;
    for (; block != NULL && hak_slab_of(block) == batch.slab; block = hak_link_next(block))
        batch.blocks |= 1u << block_index(batch.slab, block);
    *list = block;
    return batch;
}

/* Locks the heap that the slab belongs to by now; NULL if nobody may touch that any more, in a forked child. Each round that it
 * does not return somebody has adopted the slab. Unchecked: no attribute can name the lock of the heap that it returns. */
static hak_heap_t *lock_owner(hak_slab_t *slab) HAK_LOCKS_UNCHECKED
{
    for (;;) {
        hak_heap_t *heap = atomic_load_explicit(&slab->heap, memory_order_relaxed);
        if (atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_LOST)
            return NULL;
        hak_os_lock(&heap->lock);
        if (atomic_load_explicit(&slab->heap, memory_order_relaxed) == heap)
            return heap;
        hak_os_unlock(&heap->lock);
    }
}

static void unlock_owner(hak_heap_t *heap) HAK_RELEASES(heap->lock)
{
    hak_os_unlock(&heap->lock);
    hak_remote_flush_unattended(heap); /* somebody may have found the lock taken */
}

/* Those that were purged before come along: their neighbours share pages with them. */
static bool add_purged_before(batch_t *batch)
{
    hak_slab_t *slab = batch->slab;
    hak_heap_t *heap = lock_owner(slab);
    if (heap == NULL)
        return false;
    hak_os_is_locked(&heap->lock);
    batch->before = slab->purged;
    batch->blocks |= slab->purged;
    remove_purged(slab, slab->purged);
    if (slab->listed && slab->free == NULL && slab->carved == slab->capacity)
        unlist_slab(heap, slab);
    unlock_owner(heap);
    return true;
}

/* Gives the pages back that have nothing but these blocks in them, which are adjacent, and clears the rest of the blocks. */
static void purge_adjacent(batch_t *batch, uint32_t blocks)
{
    char *begin = block_at(batch->slab, (uint32_t)__builtin_ctz(blocks));
    char *end = begin + (size_t)__builtin_popcount(blocks) * batch->slab->size;
    char *first = begin + (-(uintptr_t)begin & (HAK_OS_PAGE - 1));
    char *last = end - ((uintptr_t)end & (HAK_OS_PAGE - 1));
    if (first >= last)
        return;
    batch->refused = !hak_os_discard(first, (size_t)(last - first));
    if (batch->refused)
        return;
    memset(begin, 0, (size_t)(first - begin));
    memset(last, 0, (size_t)(end - last));
    batch->purged |= blocks;
}

/* Purges what can be of a batch. The rest has no whole page, or the system refuses. */
static void purge_batch(batch_t *batch)
{
    batch->purged = batch->before;
    for (uint32_t adjacent, rest = batch->blocks; rest != 0 && !batch->refused; rest &= ~adjacent) {
        adjacent = rest & ~(rest + (rest & -rest));
        if ((adjacent & ~batch->before) != 0)
            purge_adjacent(batch, adjacent);
    }
}

static void put_batch(const batch_t *batch)
{
    hak_slab_t *slab = batch->slab;
    hak_heap_t *heap = lock_owner(slab);
    if (heap == NULL)
        return;
    hak_os_is_locked(&heap->lock);
    add_purged(slab, batch->purged);
    for (uint32_t rest = batch->blocks & ~batch->purged; rest != 0; rest &= rest - 1) {
        void *block = block_at(slab, (uint32_t)__builtin_ctz(rest));
        hak_link_set(block, slab->free);
        slab->free = block;
        slab->free_count++;
    }
    settle_slab(heap, slab);
    unlock_owner(heap);
}

/* How many slabs in a row the system has refused by now, after so many before. */
static unsigned purge_list(hak_heap_t *heap, void *list, unsigned refused)
{
    while (list != NULL && refused < HAK_REFUSED_MOST) { /* each slab once */
        batch_t batch = next_batch(&list);
        if (!add_purged_before(&batch))
            continue;
        purge_batch(&batch);
        put_batch(&batch);
        refused = batch.refused ? refused + 1 : 0;
    }
    if (list == NULL || atomic_load_explicit(&heap->state, memory_order_seq_cst) == HAK_HEAP_LOST)
        return refused;
    hak_os_lock(&heap->lock);
    hak_slab_put_list(heap, list);
    hak_os_unlock(&heap->lock);
    return refused;
}

/* The same of the next class that has any; NULL behind the last, which is where it begins anew. */
static void *take_next_free(hak_heap_t *heap, hak_purging_t *place, uint32_t *most) HAK_REQUIRES(heap->lock)
{
    void *list = NULL;
    while (list == NULL && PURGED_FIRST + place->classes <= HAK_MID_CLASSES)
        list = take_free_blocks(heap, place, most);
    if (list == NULL)
        place->classes = 0;
    return list;
}

/* Classes that have none are passed under one lock. In debug nothing is purged: a free block holds HAK_FILL_BYTE, and one
 * whose pages went back would not. */
HAK_COLD bool hak_slab_purge_free(hak_heap_t *heap, hak_purging_t *place, uint32_t most)
{
    unsigned refused = 0;
    bool through = HAK_CHECKS;
    while (!through && most != 0 && refused < HAK_REFUSED_MOST) {
        if (!hak_os_try_lock(&heap->lock))
            return true;
        if (place->slabs / PASSED_EACH > most)
            most = place->slabs / PASSED_EACH;
        void *list = take_next_free(heap, place, &most);
        through = list == NULL;
        hak_os_unlock(&heap->lock);
        refused = purge_list(heap, list, refused);
    }
    return through || refused >= HAK_REFUSED_MOST;
}

/* Walks the free list of a slab. */
static uint32_t check_free(const hak_slab_t *slab)
{
    uint32_t n = 0;
    for (void *block = slab->free; block != NULL; block = hak_link_next(block), n++) {
        size_t at = (size_t)((char *)block - hak_slab_base(slab));
        uint32_t index = block_index(slab, block);
        if (n > slab->carved || at % slab->size != 0 || index >= hak_slab_edge(slab) ||
            hak_slab_is_purged(slab, index))
            hak_fatal("free list of slab %x holds %x, class %u", (uint64_t)(uintptr_t)hak_slab_base(slab),
                      (uint64_t)(uintptr_t)block, (uint64_t)slab->class);
    }
    return n;
}

void hak_slab_check(hak_heap_t *heap)
{
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        hak_slab_t *slab, **from = &LIST_FIRST(hak_heap_slabs(heap, c));
        LIST_FOREACH (slab, hak_heap_slabs(heap, c), in_class) {
            const char *base = hak_slab_base(slab);
            uint32_t n = check_free(slab);
            uint32_t edge = hak_slab_edge(slab);
            if (n != slab->free_count || is_empty(slab) || edge > slab->capacity || slab->class != c ||
                !slab->listed || (slab->free == NULL && slab->carved == slab->capacity) ||
                (slab->purged != 0 && (c < PURGED_FIRST || slab->purged >> edge != 0)) ||
                slab->in_class.le_prev != from ||
                atomic_load_explicit(&slab->heap, memory_order_relaxed) != heap ||
                hak_map_get(base) != hak_heap_entry(heap, c))
                hak_fatal("slab %x of class %u is inconsistent: %u free, expected %u",
                          (uint64_t)(uintptr_t)base, (uint64_t)c, (uint64_t)n, (uint64_t)slab->free_count);
            from = &LIST_NEXT(slab, in_class);
        }
    }
}
