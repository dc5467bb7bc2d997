/* SPDX-License-Identifier: MIT */
/* The order of locks, as debug checks it: a thread may wait for one that comes later in core/os/ranks.def, and may try any; one
 * that waits for an earlier one, or for a second of the same rank, is ended with both names, whether or not it would have
 * deadlocked. */
#include "deaths.h"
#include "hakmem.h"
#include "mem/heap.h"
#include "os/os.h"

static char said[256]; /* by the last child */

static void take_both(void *locks)
{
    hak_os_lock_t **both = locks;
    hak_os_lock(both[0]);
    hak_os_lock(both[1]);
}

/* Takes the first lock, then waits for the second, in a child. The signal that ends it, 0 if none does. */
static int end_of(hak_os_lock_t *first, hak_os_lock_t *second)
{
    return death_by(take_both, (hak_os_lock_t *[]){first, second}, said, sizeof said);
}

static hak_os_lock_t locks[] = {
#define RANK(name, guards, reason) HAK_OS_LOCK(name),
#include "os/ranks.def"
#undef RANK
};
static const char *const names[] = {
#define RANK(name, guards, reason) #name,
#include "os/ranks.def"
#undef RANK
};

static void test_every_pair(void **state)
{
    (void)state;
    for (int first = 0; first < HAK_OS_RANKS; first++) {
        for (int second = 0; second < HAK_OS_RANKS; second++) {
            hak_os_lock_t other = locks[second];
            assert_int_equal(end_of(&locks[first], &other), first < second ? 0 : SIGABRT);
            char expected[128] = "";
            if (first >= second) {
                snprintf(expected, sizeof expected, "lock %s is waited for by a thread that holds %s",
                         names[second], names[first]);
            }
            assert_non_null(strstr(said, expected));
        }
    }
}

/* As a thread does with its own heap's and those of orphans; more than one digit of what counts them can hold. */
static void test_many_heaps_are_tried(void **state)
{
    (void)state;
    static hak_os_lock_t heaps[100];
    const uint32_t before = hak_os_thread.held;
    for (int i = 0; i < 100; i++)
        assert_true(hak_os_try_lock(&heaps[i]));
    hak_os_lock(&locks[1]);
    assert_false(hak_os_try_lock(&heaps[0]));
    assert_int_equal(end_of(&locks[2], &heaps[99]), SIGABRT);
    hak_os_unlock(&locks[1]);
    for (int i = 0; i < 100; i++)
        hak_os_unlock(&heaps[i]);
    assert_int_equal(hak_os_thread.held, before);
}

/* What the locks of the allocator are declared as. */
static void test_ranks_of_heaps(void **state)
{
    (void)state;
    hakmem_free(hakmem_alloc(100));
    for (int i = 0; i < 20; i++)
        hakmem_free(hakmem_alloc(100000));
    assert_non_null(hak_thread.heap);
    assert_int_equal(hak_thread.heap->lock.rank, HAK_OS_RANK_HEAP);
    assert_int_equal(hak_heaps_lock.rank, HAK_OS_RANK_HEAPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_many_heaps_are_tried),
        cmocka_unit_test(test_ranks_of_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
