/* heap.c: heaps: slabs in and out of the bins, blocks to and from other threads, the life of a heap.
 *
 * `heaps_lock` guards the table's growth and the list of orphans. A heap's own fields belong to the thread that has
 * it LIVE or BUSY, but for `inbox` and `state`. */
#include "mem/heap.h"

#include "base/message.h"
#include "base/options.h"
#include "map/map.h"
#include "mem/check.h"
#include "obs/trace.h"
#include "os/os.h"

#include <errno.h>
#include <pthread.h>

#define ENDINGS_MOST                                                                                         \
    3u /* libc tells a thread up to four times that it ends; after the third nobody listens */
#define PARCEL_MOST (80u * 16) /* entry of the largest class that waits in a parcel: blocks of 4 KiB */
#define META_BYTES  ((size_t)256 << 10) /* heaps are cut from pieces of so many bytes */

_Thread_local hak_thread_t hak_thread = {.self = HAK_NO_OWNER};

static hak_os_lock_t heaps_lock;
static hak_heap_t
    *heaps[HAK_OWNERS]; /* by owner; written once, before the owner's number is in any map entry */
static _Atomic uint32_t heap_count; /* the highest owner so far */
static hak_heap_t *orphans;
static char *meta, *meta_end;
static pthread_key_t thread_key;
static bool ready;

static_assert(HAK_MID_CLASSES == HAK_TINY_CLASSES + 8 * 5, "five doublings from 1 to 32 KiB");

/* Frees until a bin is full: as many blocks as make 64 KiB, of mid sizes 256 KiB (of 64 KiB: 60 instructions in place of
 * 46 for a random malloc and free of 1 to 32 KiB), but at least three and at most 256. */
static uint32_t cap_of(unsigned cls)
{
    size_t size = hak_class_size(cls);
    size_t bytes = (size_t)(size <= HAK_TINY_MAX ? 64 : 256) << 10;
    return (uint32_t)hak_min(hak_max(bytes / size, 3), 256);
}

static uint32_t entry_of(const hak_heap_t *heap, unsigned cls)
{
    return hak_entry(heap->owner, cls * 16);
}

static void *next_of(void *block)
{
    return *(void **)block;
}

static void set_next(void *block, void *next)
{
    *(void **)block = next;
}

/* --- slabs ------------------------------------------------------------------------------------------------------ */

static void list_slab(hak_heap_t *heap, hak_slab_t *slab)
{
    hak_slab_t **list = &heap->cls[slab->cls].slabs;
    slab->prev = NULL;
    slab->next = *list;
    if (slab->next != NULL)
        slab->next->prev = slab;
    *list = slab;
    slab->listed = true;
}

static void unlist_slab(hak_heap_t *heap, hak_slab_t *slab)
{
    if (slab->next != NULL)
        slab->next->prev = slab->prev;
    *(slab->prev != NULL ? &slab->prev->next : &heap->cls[slab->cls].slabs) = slab->next;
    slab->listed = false;
}

static hak_slab_t *make_slab(hak_heap_t *heap, unsigned cls)
{
    hak_slab_t *slab = hak_run_take(hak_class_slices(cls));
    if (slab == NULL)
        return NULL;
    slab->free = NULL;
    slab->heap = heap;
    slab->free_count = 0;
    slab->carved = 0;
    slab->capacity = hak_class_capacity(cls);
    slab->size = (uint32_t)hak_class_size(cls);
    slab->cls = (uint16_t)cls;
    char *base = hak_slab_base(slab);
    for (unsigned i = 0; i < slab->slices; i++)
        hak_map_set(base + i * HAK_SLICE, entry_of(heap, cls));
    list_slab(heap, slab);
    hak_count_add(&heap->counters, HAK_COUNTER_slabs_made, 1);
    return slab;
}

static void release_slab(hak_heap_t *heap, hak_slab_t *slab)
{
    unlist_slab(heap, slab);
    char *base = hak_slab_base(slab);
    for (unsigned i = 0; i < slab->slices; i++)
        hak_map_set(base + i * HAK_SLICE, 0);
    size_t touched = (size_t)slab->carved * slab->size;
    hak_count_add(&heap->counters, HAK_COUNTER_slabs_released, 1);
    hak_run_give(slab, (unsigned)((touched + HAK_SLICE - 1) >> HAK_SLICE_SHIFT));
}

static bool is_empty(const hak_slab_t *slab)
{
    return slab->free_count == slab->carved;
}

/* Puts n linked blocks of one slab back. An empty slab is released unless it is the only one of its class that a live
 * heap has. */
static void put_chain(hak_heap_t *heap, void *first, void *last, uint32_t n)
{
    hak_slab_t *slab = hak_slab_of(first);
    hak_assert(slab->heap == heap && slab->free_count + n <= slab->carved);
    set_next(last, slab->free);
    slab->free = first;
    slab->free_count += n;
    if (!slab->listed)
        list_slab(heap, slab);
    if (!is_empty(slab))
        return;
    bool only = slab->next == NULL && slab->prev == NULL;
    bool live = atomic_load_explicit(&heap->state, memory_order_relaxed) == HAK_HEAP_LIVE;
    if (!only || !live || slab->capacity == 1)
        release_slab(heap, slab);
}

static bool in_same_slice(const void *a, const void *b)
{
    return ((uintptr_t)a ^ (uintptr_t)b) >> HAK_SLICE_SHIFT == 0;
}

/* Puts a list of blocks back. What was freed together often lies together: neighbours in the list that are of one slice
 * go back as they are linked (6 instructions a block; one by one 22). */
static void put_list(hak_heap_t *heap, void *list)
{
    uint64_t n = 0;
    while (list != NULL) {
        void *first = list;
        void *last = first;
        uint32_t chain = 1;
        while ((list = next_of(last)) != NULL && in_same_slice(list, first)) {
            last = list;
            chain++;
        }
        put_chain(heap, first, last, chain);
        n += chain;
    }
    hak_count_add(&heap->counters, HAK_COUNTER_blocks_flushed, n);
}

/* Blocks that were never handed out: as many as lie in one page of memory, at least one. */
static void *carve(hak_slab_t *slab)
{
    size_t n = hak_min(hak_max(HAK_OS_PAGE / slab->size, 1), slab->capacity - slab->carved);
    char *first = hak_slab_base(slab) + (size_t)slab->carved * slab->size;
    char *block = first;
/* With a profile clang peels this loop instead, for the mean of all programs: 4 % more instructions under perl. */
#pragma GCC unroll 8
    for (size_t i = 1; i < n; i++, block += slab->size) {
        set_next(block, block + slab->size);
        hak_check_mark_free(block);
    }
    set_next(block, NULL);
    hak_check_mark_free(block);
    slab->carved += (uint32_t)n;
    return first;
}

/* A list of at least one block of the class, or NULL when memory is out. */
static void *take_blocks(hak_heap_t *heap, unsigned cls)
{
    hak_slab_t *slab = heap->cls[cls].slabs;
    if (slab == NULL && (slab = make_slab(heap, cls)) == NULL)
        return NULL;
    void *list = slab->free;
    if (list == NULL)
        list = carve(slab);
    slab->free = NULL;
    slab->free_count = 0;
    if (slab->carved == slab->capacity)
        unlist_slab(heap, slab);
    return list;
}

/* --- blocks from and to other threads ---------------------------------------------------------------------------- */

static void *take_inbox(hak_heap_t *heap)
{
    /* acquire: pairs with the release in push_inbox; the links are visible */
    return atomic_exchange_explicit(&heap->inbox, NULL, memory_order_acquire);
}

/* Puts what is in an orphan's inbox into its slabs, if nobody else is at it. */
static void tend_orphan(hak_heap_t *heap)
{
    while (atomic_load(&heap->inbox) != NULL) {
        uint32_t orphan = HAK_HEAP_ORPHAN;
        if (!atomic_compare_exchange_strong(&heap->state, &orphan, HAK_HEAP_BUSY))
            return;
        put_list(heap, take_inbox(heap));
        /* Sequentially consistent, like the push: either we see a later push or the pusher sees the orphan. */
        atomic_store(&heap->state, HAK_HEAP_ORPHAN);
    }
}

static void push_inbox(hak_heap_t *heap, void *first, void *last)
{
    void *head = atomic_load_explicit(&heap->inbox, memory_order_relaxed);
    do
        set_next(last, head);
    while (!atomic_compare_exchange_weak(&heap->inbox, &head, first));
    if (atomic_load(&heap->state) == HAK_HEAP_ORPHAN)
        tend_orphan(heap);
}

static void send_parcel(hak_heap_t *heap, hak_parcel_t *parcel)
{
    if (parcel->count == 0)
        return;
    hak_count_add(&heap->counters, HAK_COUNTER_remote_batches, 1);
    push_inbox(heaps[parcel->owner], parcel->first, parcel->last);
    *parcel = (hak_parcel_t){0};
}

static void send_parcels(hak_heap_t *heap)
{
    for (unsigned i = 0; i < HAK_PARCELS; i++)
        send_parcel(heap, &heap->parcels[i]);
}

/* The block has no parcel that it could join: there is none for its owner, or it is full, or the block is so large that
 * it should not wait. */
static HAK_NOINLINE void send_slow(void *p, uint32_t entry)
{
    uint32_t owner = hak_entry_high(entry);
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach();
    if (heap == NULL || !HAK_REMOTE_BATCH || hak_entry_low(entry) > PARCEL_MOST) {
        push_inbox(heaps[owner], p, p);
        return;
    }
    hak_count_add(&heap->counters, HAK_COUNTER_remote_blocks, 1);
    hak_parcel_t *parcel = &heap->parcels[owner % HAK_PARCELS];
    send_parcel(heap, parcel);
    set_next(p, NULL);
    *parcel = (hak_parcel_t){.owner = owner, .count = 1, .first = p, .last = p};
}

void hak_heap_send(void *p, uint32_t entry)
{
    hak_heap_t *heap = hak_thread.heap;
    uint32_t owner = hak_entry_high(entry);
    if (HAK_REMOTE_BATCH && hak_likely(heap != NULL && hak_entry_low(entry) <= PARCEL_MOST)) {
        hak_parcel_t *parcel = &heap->parcels[owner % HAK_PARCELS];
        if (hak_likely(parcel->owner == owner && parcel->count < HAK_PARCEL_BLOCKS)) {
            hak_count_add(&heap->counters, HAK_COUNTER_remote_blocks, 1);
            set_next(p, parcel->first);
            parcel->first = p;
            parcel->count++;
            return;
        }
    }
    send_slow(p, entry);
}

/* Takes what other threads have freed into the calling thread's bins. */
static void drain_inbox(hak_thread_t *thread, hak_heap_t *heap)
{
    uint64_t n = 0;
    void *block = take_inbox(heap);
    for (void *next; block != NULL; block = next, n++) {
        next = next_of(block);
        uint32_t offset = hak_entry_low(hak_map_get(block));
        hak_bin_t *bin = &thread->bins[offset / 16];
        hak_assert(hak_entry_high(hak_map_get(block)) == heap->owner);
        set_next(block, bin->head);
        bin->head = block;
        if (--bin->room == 0)
            hak_bin_full(offset);
    }
    hak_count_add(&heap->counters, HAK_COUNTER_inbox_blocks, n);
}

/* --- the bins ---------------------------------------------------------------------------------------------------- */

/* Of blocks that are runs by themselves a bin keeps half of what it may hold, and there is no stash: each is memory that
 * others could use. */
static HAK_NOINLINE void bin_full_of_runs(hak_heap_t *heap, hak_bin_t *bin)
{
    void *last = bin->head;
    uint32_t kept = 1;
    for (; kept < bin->cap / 2 && next_of(last) != NULL; kept++)
        last = next_of(last);
    void *rest = next_of(last);
    set_next(last, NULL);
    bin->room = bin->cap - kept;
    put_list(heap, rest);
}

void hak_bin_full(size_t offset)
{
    unsigned cls = (unsigned)(offset / 16);
    hak_heap_t *heap = hak_thread.heap;
    hak_bin_t *bin = &hak_thread.bins[cls];
    if (cls > HAK_MID_CLASSES) {
        bin_full_of_runs(heap, bin);
        return;
    }
    void *stale = heap->cls[cls].stash;
    heap->cls[cls].stash = bin->head;
    bin->head = NULL;
    bin->room = bin->cap;
    if (stale != NULL)
        put_list(heap, stale);
}

/* For a thread that is past its end: one block by way of a heap that is given up again at once. */
static hak_heap_t *take_heap(void);
static void give_up_heap(hak_heap_t *heap);

static void *take_by_borrowing(unsigned cls)
{
    hak_heap_t *heap = take_heap();
    if (heap == NULL)
        return NULL;
    void *block = take_blocks(heap, cls);
    if (block != NULL)
        put_list(heap, next_of(block));
    give_up_heap(heap);
    return block;
}

/* The bin is empty and has no stash. */
static HAK_NOINLINE void *refill_from_slabs(unsigned cls)
{
    hak_heap_t *heap = hak_thread.heap != NULL ? hak_thread.heap : hak_heap_attach();
    if (heap == NULL)
        return take_by_borrowing(cls);
    hak_bin_t *bin = &hak_thread.bins[cls];
    hak_count_add(&heap->counters, HAK_COUNTER_refills, 1);
    if (atomic_load_explicit(&heap->inbox, memory_order_relaxed) != NULL)
        drain_inbox(&hak_thread, heap);
    if (bin->head == NULL && (bin->head = take_blocks(heap, cls)) == NULL)
        return NULL;
    bin->room = bin->cap;
    void *block = bin->head;
    bin->head = next_of(block);
    return block;
}

void *hak_heap_refill(unsigned cls)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap == NULL || heap->cls[cls].stash == NULL)
        return refill_from_slabs(cls);
    hak_bin_t *bin = &hak_thread.bins[cls];
    void *block = heap->cls[cls].stash;
    heap->cls[cls].stash = NULL;
    hak_count_add(&heap->counters, HAK_COUNTER_stash_refills, 1);
    bin->room = bin->cap;
    bin->head = next_of(block);
    return block;
}

static void release_large(hak_slab_t *run)
{
    hak_run_give(run, (unsigned)((run->size + HAK_SLICE - 1) >> HAK_SLICE_SHIFT));
}

hak_slab_t *hak_heap_take_large(unsigned slices)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap == NULL && (heap = hak_heap_attach()) == NULL)
        return NULL;
    hak_count_add(&heap->counters, HAK_COUNTER_large_blocks, 1);
    for (unsigned i = 0; i < HAK_LARGES; i++) {
        hak_slab_t *run = heap->larges[i];
        if (run == NULL || run->slices != slices)
            continue;
        heap->larges[i] = NULL;
        return run;
    }
    return NULL;
}

static HAK_NOINLINE void keep_large_in_place_of_another(hak_heap_t *heap, hak_slab_t *run)
{
    hak_slab_t **slot = &heap->larges[heap->next_large++ % HAK_LARGES];
    release_large(*slot);
    *slot = run;
}

void hak_heap_keep_large(hak_slab_t *run)
{
    hak_heap_t *heap = hak_thread.heap;
    if (hak_unlikely(heap == NULL)) {
        release_large(run);
        return;
    }
    for (unsigned i = 0; i < HAK_LARGES; i++) {
        if (heap->larges[i] == NULL) {
            heap->larges[i] = run;
            return;
        }
    }
    keep_large_in_place_of_another(heap, run);
}

/* Everything in bins, stashes and parcels goes where it belongs. */
static void empty_thread(hak_thread_t *thread, hak_heap_t *heap)
{
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        put_list(heap, thread->bins[cls].head);
        put_list(heap, heap->cls[cls].stash);
        thread->bins[cls].head = NULL;
        thread->bins[cls].room = thread->bins[cls].cap;
        heap->cls[cls].stash = NULL;
    }
    for (unsigned i = 0; i < HAK_LARGES; i++) {
        if (heap->larges[i] != NULL)
            release_large(heap->larges[i]);
        heap->larges[i] = NULL;
    }
    send_parcels(heap);
    put_list(heap, take_inbox(heap));
}

static void release_empty_slabs(hak_heap_t *heap)
{
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        hak_slab_t *next;
        for (hak_slab_t *slab = heap->cls[cls].slabs; slab != NULL; slab = next) {
            next = slab->next;
            if (is_empty(slab))
                release_slab(heap, slab);
        }
    }
}

/* --- the life of a heap ------------------------------------------------------------------------------------------ */

static void thread_ends(void *unused)
{
    (void)unused;
    hak_thread.endings++;
    if (hak_thread.heap != NULL)
        hak_heap_detach();
}

/* Once per process, before the first block. Under the lock. */
static bool prepare_process(void)
{
    if (!hak_map_init())
        return false;
    if (HAK_OPTIONS)
        hak_options_read(hak_os_environment);
    ready = pthread_key_create(&thread_key, thread_ends) == 0;
    return ready;
}

static hak_heap_t *new_heap_locked(void)
{
    uint32_t owner = atomic_load_explicit(&heap_count, memory_order_relaxed) + 1;
    if (owner == HAK_OWNERS)
        return NULL;
    if ((size_t)(meta_end - meta) < sizeof(hak_heap_t)) {
        char *piece = hak_os_map(META_BYTES, HAK_OS_PAGE);
        if (piece == NULL)
            return NULL;
        meta = piece;
        meta_end = piece + META_BYTES;
    }
    hak_heap_t *heap = (hak_heap_t *)(void *)meta;
    meta += hak_round_up(sizeof(hak_heap_t), HAK_CACHE_LINE);
    heap->owner = owner;
    heaps[owner] = heap;
    atomic_store_explicit(&heap_count, owner, memory_order_release);
    return heap;
}

static hak_heap_t *adopt_orphan_locked(void)
{
    for (hak_heap_t **at = &orphans; *at != NULL; at = &(*at)->next_orphan) {
        hak_heap_t *heap = *at;
        uint32_t orphan = HAK_HEAP_ORPHAN;
        if (!atomic_compare_exchange_strong(&heap->state, &orphan, HAK_HEAP_LIVE))
            continue;
        *at = heap->next_orphan;
        return heap;
    }
    return NULL;
}

/* A heap for the caller alone: an orphan, else a new one. */
static hak_heap_t *take_heap(void)
{
    hak_os_lock(&heaps_lock);
    hak_heap_t *heap = NULL;
    if (ready || prepare_process()) {
        heap = adopt_orphan_locked();
        if (heap == NULL)
            heap = new_heap_locked();
    }
    hak_os_unlock(&heaps_lock);
    return heap;
}

static void give_up_heap(hak_heap_t *heap)
{
    hak_os_lock(&heaps_lock);
    heap->next_orphan = orphans;
    orphans = heap;
    atomic_store(&heap->state, HAK_HEAP_ORPHAN); /* seq_cst: see tend_orphan */
    hak_os_unlock(&heaps_lock);
    tend_orphan(heap);
}

hak_heap_t *hak_heap_attach(void)
{
    hak_thread_t *thread = &hak_thread;
    if (thread->endings >= ENDINGS_MOST)
        return NULL;
    hak_heap_t *heap = take_heap();
    if (heap == NULL)
        return NULL;
    thread->heap = heap;
    thread->self = hak_policy()->safe_free ? HAK_NO_OWNER : hak_entry(heap->owner, 0);
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++)
        thread->bins[cls].room = thread->bins[cls].cap = cap_of(cls);
    /* May call calloc, which by now finds the heap. If it fails, the heap is lost with the thread, not corrupted. */
    int saved = errno;
    pthread_setspecific(thread_key, heap);
    errno = saved;
    return heap;
}

void hak_heap_detach(void)
{
    hak_thread_t *thread = &hak_thread;
    hak_heap_t *heap = thread->heap;
    empty_thread(thread, heap);
    release_empty_slabs(heap);
    thread->heap = NULL;
    thread->self = HAK_NO_OWNER;
    hak_trace("heap orphaned", heap, heap->owner);
    give_up_heap(heap);
}

void hak_heap_trim(void)
{
    hak_heap_t *heap = hak_thread.heap;
    if (heap != NULL) {
        empty_thread(&hak_thread, heap);
        release_empty_slabs(heap);
        if (HAK_CHECKS)
            hak_heap_check(heap);
    }
    uint32_t count = hak_heap_count();
    for (uint32_t owner = 1; owner <= count; owner++)
        tend_orphan(heaps[owner]);
}

void hak_heaps_after_fork(void)
{
    uint32_t count = hak_heap_count();
    bool was_held = hak_os_lock_reset(&heaps_lock);
    if (was_held)
        orphans = NULL;
    for (uint32_t owner = 1; owner <= count; owner++) {
        hak_heap_t *heap = heaps[owner];
        if (heap == NULL || heap == hak_thread.heap)
            continue;
        /* The threads of LIVE and BUSY heaps do not exist here, and may have been in the midst of anything: their
         * blocks stay readable, what is freed to them waits in the inbox for ever. */
        if (was_held && atomic_load(&heap->state) == HAK_HEAP_ORPHAN) {
            heap->next_orphan = orphans;
            orphans = heap;
        }
    }
}

uint32_t hak_heap_count(void)
{
    return atomic_load_explicit(&heap_count, memory_order_acquire);
}

const hak_heap_t *hak_heap_by_owner(uint32_t owner)
{
    return heaps[owner];
}

void hak_heap_check(const hak_heap_t *heap)
{
    for (unsigned cls = 1; cls < HAK_CLASSES; cls++) {
        const hak_slab_t *prev = NULL;
        for (const hak_slab_t *slab = heap->cls[cls].slabs; slab != NULL; prev = slab, slab = slab->next) {
            const char *base = hak_slab_base(slab);
            uint32_t n = 0;
            for (void *block = slab->free; block != NULL; block = next_of(block), n++) {
                size_t at = (size_t)((char *)block - base);
                if (n > slab->carved || at % slab->size != 0 || at / slab->size >= slab->carved)
                    hak_fatal("free list of slab %x holds %x, class %u", (uint64_t)(uintptr_t)base,
                              (uint64_t)(uintptr_t)block, (uint64_t)cls);
            }
            if (n != slab->free_count || slab->carved > slab->capacity || slab->cls != cls || !slab->listed ||
                slab->prev != prev || slab->heap != heap || hak_map_get(base) != entry_of(heap, cls))
                hak_fatal("slab %x of class %u is inconsistent: %u free, expected %u",
                          (uint64_t)(uintptr_t)base, (uint64_t)cls, (uint64_t)n, (uint64_t)slab->free_count);
        }
    }
}
