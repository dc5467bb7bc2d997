/* SPDX-License-Identifier: MIT */
/* What a thread leaves to the next one of its heap: a few blocks of each class, unless it took many runs; and how they go back.
 * That the bins of the next one begin as any do, and that what a thread has collected of others' blocks is sent as it ends. */
#include "mem/bin.h"
#include "mem/heap.h"
#include "threads.h"
#include "hakmem.h"

enum {
    BLOCKS = 100,
    SIZE = 208,
    CLASS = SIZE / HAK_ALIGN,
    MID = 2000,
    MANY = 40
};

static hak_heap_t *heap;
static void *first; /* what malloc gave first */

static void use(size_t size, int count)
{
    static void *blocks[BLOCKS * 64];
    for (int i = 0; i < count; i++) {
        blocks[i] = hakmem_alloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        if (first == NULL)
            first = blocks[i];
    }
    for (int i = 0; i < count; i++)
        hakmem_free(blocks[i]);
}

static void *use_little(void *unused)
{
    use(16, BLOCKS); /* the first few are taken without a heap */
    first = NULL;
    use(SIZE, BLOCKS);
    heap = hak_thread.heap;
    (void)unused;
    return NULL;
}

/* Ends with a long previous list, and nothing in the bin. */
static void *set_aside(void *unused)
{
    use_little(NULL);
    use(SIZE, BLOCKS * 10);
    while (hak_thread.bins[CLASS].head != NULL)
        CHECK(hakmem_alloc(SIZE) != NULL, "no block of %d bytes", SIZE);
    CHECK(atomic_load(&heap->class[CLASS].previous) != NULL, "nothing was set aside");
    (void)unused;
    return NULL;
}

/* The same, but no slab has become empty. */
static void *set_aside_once(void *unused)
{
    use_little(NULL);
    use(SIZE, hak_thread.bins[CLASS].cap);
    CHECK(hak_thread.bins[CLASS].head == NULL && atomic_load(&heap->class[CLASS].previous) != NULL,
          "a bin that was full holds blocks");
    (void)unused;
    return NULL;
}

static void *use_much(void *unused)
{
    use_little(NULL);
    use(4000, BLOCKS * 64); /* 800 slabs of eight */
    (void)unused;
    return NULL;
}

static unsigned left_of_class(const hak_heap_t *of, unsigned c)
{
    unsigned count = 0;
    for (void *block = atomic_load(&of->class[c].previous); block != NULL; block = hak_link_next(block))
        count++;
    return count;
}

static void *another; /* thread's block */

static void *free_another(void *unused)
{
    use_little(NULL);
    hakmem_free(another);
    CHECK(heap->class[CLASS].remote == another, "the block of another thread was not collected");
    (void)unused;
    return NULL;
}

static bool has_grown(void)
{
    const unsigned c = hak_class_of_mid(MID);
    CHECK((hak_thread.bins[c].cap != heap->first_caps[c]) == (heap->class[c].grown != 0), "a cap of %u frees",
          hak_thread.bins[c].cap);
    return heap->class[c].grown != 0;
}

static void *grow(void *unused)
{
    use_little(NULL);
    CHECK(!has_grown(), "a bin begins as if it had grown");
    for (int i = 0; i < 4; i++)
        use(MID, 20);
    CHECK(has_grown(), "a bin does not grow");
    (void)unused;
    return NULL;
}

/* One of the blocks that were left. */
static void *take_one(void *unused)
{
    use_little(NULL);
    const unsigned left = left_of_class(heap, hak_class_of_mid(MID));
    use(MID, 1);
    CHECK(left != 0 && !has_grown(), "a bin grows by what was left: %u blocks", left);
    (void)unused;
    return NULL;
}

static pthread_barrier_t barrier;

static void *use_together(void *unused)
{
    for (size_t size = 16; size <= 1024; size += 16) {
        void *block = hakmem_alloc(size);
        CHECK(block != NULL, "no block of %zu bytes", size);
        hakmem_free(block);
    }
    pthread_barrier_wait(&barrier); /* so each has a heap */
    (void)unused;
    return NULL;
}

static unsigned left_by(const hak_heap_t *of)
{
    unsigned count = 0;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        count += left_of_class(of, c);
    return count;
}

static void run_one(void *(*work)(void *))
{
    CHECK(run_threads(1, work) == 0, "a thread");
    CHECK(atomic_load(&heap->state) == HAK_HEAP_ORPHAN, "a heap that was not given up");
}

int main(void)
{
    another = hakmem_alloc(SIZE); /* of this thread, which so has a heap */
    run_one(use_little);
    hak_heap_t *of_first = heap;
    CHECK(left_of_class(heap, CLASS) == HAK_LEFT_BLOCKS, "%u blocks were left", left_of_class(heap, CLASS));
    void *left = atomic_load(&heap->class[CLASS].previous);
    run_one(use_little);
    CHECK(heap == of_first && first == left, "the next thread began with %p, not with %p", first, left);
    CHECK(left_of_class(heap, CLASS) == HAK_LEFT_BLOCKS, "%u blocks were left then",
          left_of_class(heap, CLASS));

    run_one(set_aside);
    CHECK(left_of_class(heap, CLASS) == HAK_LEFT_BLOCKS, "%u of a list were left",
          left_of_class(heap, CLASS));

    run_one(set_aside_once);
    CHECK(left_of_class(heap, CLASS) == HAK_LEFT_BLOCKS, "%u of a full bin were left",
          left_of_class(heap, CLASS));

    run_one(free_another);
    CHECK(heap->class[CLASS].remote == NULL, "a block of another thread was not sent");
    run_one(grow);
    run_one(grow);
    run_one(take_one);

    hakmem_trim();
    CHECK(left_by(heap) == 0, "%u blocks were left behind malloc_trim", left_by(heap));
    run_one(use_little);
    CHECK(left_by(heap) != 0, "nothing was left behind malloc_trim");
    run_one(use_much);
    CHECK(left_by(heap) == 0, "a thread that took much left %u blocks", left_by(heap));
    run_one(use_little);
    CHECK(left_by(heap) != 0, "a thread that took little after that left nothing");

    CHECK(pthread_barrier_init(&barrier, NULL, MANY) == 0, "a barrier");
    CHECK(run_threads(MANY, use_together) == 0, "many threads");
    for (uint32_t owner = hak_heap_count(); owner > hak_heap_count() - MANY / 2; owner--)
        CHECK(left_by(hak_heap_by_owner(owner)) == 0, "one of many left %u blocks",
              left_by(hak_heap_by_owner(owner)));
    return 0;
}
