/* SPDX-License-Identifier: MIT */
/* Blocks that another thread frees come home in one piece: nobody touches those between the first and the last, the bin knows how
 * many they are, and what has several owners is sorted all the same. */
#include "deaths.h"

#include <pthread.h>

#include "hakmem.h"
#include "mem/batch.h"
#include "mem/chunk.h"

enum {
    SIZE = 256, /* bytes */
    OTHER = 128,
    BATCH = 64,
    MANY = 4096,
    UNTOUCHED = HAK_CHECK_LINKS
                    ? 2
                    : 1, /* a word behind what a free block needs; what follows a batch stands there, too */
};

static void *blocks[MANY];
static hak_heap_t *owners[2];

/* Not by a block of SIZE: who runs out of those keeps the batch. */
static hak_heap_t *have_heap(void)
{
    for (int i = 0; i < 100 && hak_thread.heap == NULL; i++)
        hakmem_free(hakmem_alloc(OTHER));
    assert_non_null(hak_thread.heap);
    return hak_thread.heap;
}

static void take(size_t many, size_t size)
{
    for (size_t i = 0; i < many; i++) {
        blocks[i] = hakmem_alloc(size);
        assert_non_null(blocks[i]);
        if (size > 16)
            ((uint64_t *)blocks[i])[UNTOUCHED] = i;
    }
}

static void *free_batch(void *unused)
{
    have_heap();
    for (size_t i = 0; i < BATCH; i++)
        hakmem_free(blocks[i]);
    return unused;
}

static void in_thread(void *(*work)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
    pthread_join(thread, NULL);
}

/* Number of blocks in an inbox; those of its first batch in *batch. */
static uint32_t waiting(hak_heap_t *heap, hak_batch_t *batch)
{
    void *inbox = atomic_load(&heap->inbox);
    uint32_t number = 0;
    for (hak_batch_t next; inbox != NULL; number += next.blocks) {
        void *rest = hak_batch_untie(inbox, hak_entry_class(hak_map_get(inbox)), &next);
        *batch = number == 0 ? next : *batch;
        inbox = rest;
    }
    return number;
}

static void test_a_batch_is_sent_untouched(void **state)
{
    (void)state;
    hakmem_trim();
    take(BATCH, SIZE);
    in_thread(free_batch);
    hak_batch_t batch;
    assert_int_equal(waiting(have_heap(), &batch), BATCH);
    assert_int_equal(batch.blocks, BATCH);
    assert_ptr_equal(batch.last, blocks[0]);
    assert_ptr_equal(batch.first, blocks[BATCH - 1]);
    for (size_t i = 1; i < BATCH; i++) {
        assert_ptr_equal(*(void **)blocks[i], blocks[i - 1]);
        assert_int_equal(((uint64_t *)blocks[i])[UNTOUCHED], i);
    }
}

static void test_a_batch_is_received_untouched(void **state)
{
    (void)state;
    hakmem_trim();
    take(BATCH, SIZE);
    in_thread(free_batch);
    const hak_bin_t *bin = &hak_thread.bins[SIZE / HAK_ALIGN];
    assert_null(bin->head);
    hakmem_free(hakmem_alloc(OTHER)); /* its bin was empty: the inbox is emptied */
    assert_null(atomic_load(&hak_thread.heap->inbox));
    assert_int_equal(bin->frees_left, bin->cap - BATCH);
    for (size_t i = BATCH; i-- != 0;) {
        assert_ptr_equal(hakmem_alloc(SIZE), blocks[i]);
        assert_true(i == 0 || ((uint64_t *)blocks[i])[UNTOUCHED] == i);
    }
    assert_null(bin->head);
    free_batch(NULL);
}

static void *take_every_second(void *unused)
{
    owners[1] = have_heap();
    for (size_t i = 1; i < BATCH; i += 2)
        blocks[i] = hakmem_alloc(SIZE);
    in_thread(free_batch);
    hak_batch_t batch;
    assert_int_equal(waiting(owners[0], &batch), BATCH / 2);
    assert_int_equal(waiting(owners[1], &batch), BATCH / 2);
    return unused;
}

static void test_a_batch_of_two_owners_is_sorted(void **state)
{
    (void)state;
    hakmem_trim();
    take(BATCH, SIZE);
    owners[0] = have_heap();
    for (size_t i = 1; i < BATCH; i += 2)
        hakmem_free(blocks[i]);
    in_thread(take_every_second);
}

static void *free_all(void *unused)
{
    for (size_t i = 0; i < MANY; i++)
        hakmem_free(blocks[i]);
    return unused;
}

/* As many batches as no bin holds: what is beyond goes on into the slabs, and nothing is lost. */
static void test_bins_have_an_end_for_batches_too(void **state)
{
    (void)state;
    for (size_t size = 16; size <= 5000; size += 498) {
        hakmem_trim();
        const size_t before = hak_chunk_view().used;
        take(MANY, size);
        in_thread(free_all);
        void *one = hakmem_alloc(size);
        const hak_bin_t *bin = &hak_thread.bins[hak_class_of(size)];
        size_t held = 0;
        for (const void *block = bin->head; block != NULL; block = hak_link_next(block))
            held++;
        assert_in_range(held, 0, 2 * bin->cap);
        hakmem_free(one);
        hakmem_trim();
        assert_int_equal(hak_chunk_view().used, before);
    }
}

static void empty_inbox(void *unused)
{
    (void)unused;
    hakmem_trim();
}

/* Who writes to a freed block leads nobody to a batch of his own. */
static void test_what_is_said_of_a_batch_is_sealed(void **state)
{
    (void)state;
    if (!HAK_CHECK_LINKS)
        skip();
    hakmem_trim();
    take(BATCH, SIZE);
    in_thread(free_batch);
    hak_batch_t batch;
    assert_int_equal(waiting(have_heap(), &batch), BATCH);
    uint64_t *said_of_it = (uint64_t *)batch.last + HAK_BATCH_WORD;
    char said[300];
    *said_of_it ^= 1;
    assert_int_equal(death_by(empty_inbox, NULL, said, sizeof said), SIGABRT);
    assert_non_null(strstr(said, "write after free"));
    *said_of_it ^= 1;
    assert_int_equal(death_by(empty_inbox, NULL, said, sizeof said), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_is_sent_untouched),
        cmocka_unit_test(test_a_batch_is_received_untouched),
        cmocka_unit_test(test_what_is_said_of_a_batch_is_sealed),
        cmocka_unit_test(test_a_batch_of_two_owners_is_sorted),
        cmocka_unit_test(test_bins_have_an_end_for_batches_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
