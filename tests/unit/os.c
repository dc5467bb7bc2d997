// The system seam: mappings are aligned, zero and writable; discarded pages read as zero; errno is never touched.
#include "suite.h"

#include "os/os.h"

#include <pthread.h>

static void test_map_is_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t align = HAK_OS_PAGE; align <= (size_t)64 << 20; align *= 4) {
        errno = 77;
        unsigned char *area = hak_os_map(3 * HAK_OS_PAGE, align);
        assert_non_null(area);
        assert_int_equal((uintptr_t)area % align, 0);
        assert_true(is_zero(area, 3 * HAK_OS_PAGE));
        memset(area, 1, 3 * HAK_OS_PAGE);
        hak_os_unmap(area, 3 * HAK_OS_PAGE);
        assert_int_equal(errno, 77);
    }
}

static void test_too_large_is_null(void **state)
{
    (void)state;
    errno = 77;
    assert_null(hak_os_map((size_t)1 << 60, HAK_OS_PAGE));
    assert_int_equal(errno, 77);
}

static void test_discard_makes_zero(void **state)
{
    (void)state;
    unsigned char *area = hak_os_map(16 * HAK_OS_PAGE, HAK_OS_PAGE);
    assert_non_null(area);
    memset(area, 0xee, 16 * HAK_OS_PAGE);
    assert_true(hak_os_discard(area + 4 * HAK_OS_PAGE, 8 * HAK_OS_PAGE));
    assert_int_equal(area[4 * HAK_OS_PAGE - 1], 0xee);
    assert_true(is_zero(area + 4 * HAK_OS_PAGE, 8 * HAK_OS_PAGE));
    assert_int_equal(area[12 * HAK_OS_PAGE], 0xee);
    hak_os_unmap(area, 16 * HAK_OS_PAGE);
}

static void test_move_keeps_contents(void **state)
{
    (void)state;
    unsigned char *area = hak_os_map(4 * HAK_OS_PAGE, HAK_OS_PAGE);
    unsigned char *target = hak_os_map(8 * HAK_OS_PAGE, HAK_OS_PAGE);
    assert_non_null(area);
    assert_non_null(target);
    fill(area, 4 * HAK_OS_PAGE, 3);
    assert_true(hak_os_move(area, 4 * HAK_OS_PAGE, target, 8 * HAK_OS_PAGE));
    assert_true(is_filled(target, 4 * HAK_OS_PAGE, 3));
    assert_true(is_zero(target + 4 * HAK_OS_PAGE, 4 * HAK_OS_PAGE));
    hak_os_unmap(target, 8 * HAK_OS_PAGE);
}

static void test_clock_does_not_go_back(void **state)
{
    (void)state;
    uint64_t last = hak_os_now_ms();
    for (int i = 0; i < 100000; i++) {
        const uint64_t now = hak_os_now_ms();
        assert_true(now >= last);
        last = now;
    }
}

static void test_environment(void **state)
{
    (void)state;
    assert_null(hak_os_environment("HAKMEM_NO_SUCH_VARIABLE"));
    assert_string_equal(hak_os_environment("CMOCKA_MESSAGE_OUTPUT"), getenv("CMOCKA_MESSAGE_OUTPUT"));
    assert_null(hak_os_environment("CMOCKA_MESSAGE"));
}

static hak_os_lock_t lock;
static long counter;

static void *count_up(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100000; i++) {
        hak_os_lock(&lock);
        counter++;
        hak_os_unlock(&lock);
    }
    return NULL;
}

static void test_lock_excludes(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(counter, 400000);
    assert_false(hak_os_lock_reset(&lock));
    hak_os_lock(&lock);
    assert_true(hak_os_lock_reset(&lock));
    hak_os_lock(&lock);
    hak_os_unlock(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_is_aligned_and_zero), cmocka_unit_test(test_too_large_is_null),
        cmocka_unit_test(test_discard_makes_zero),      cmocka_unit_test(test_move_keeps_contents),
        cmocka_unit_test(test_clock_does_not_go_back),  cmocka_unit_test(test_environment),
        cmocka_unit_test(test_lock_excludes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
