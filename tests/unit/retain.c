/* SPDX-License-Identifier: MIT */
/* The rule of what goes back to the system (mem/retain.h): by time, by amount, and what it learns from being asked again. */
#include "suite.h"

#include "mem/retain.h"
#include "mem/scarce.h"

enum {
    WINDOW = 500
};

static const uint64_t MIB = 1 << 20;

static void test_small_amounts_stay_for_a_window(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_tick(&retain, 1000, WINDOW);
    hak_retain_freed(&retain, 10 * MIB);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 0);
    hak_retain_tick(&retain, 1400, WINDOW);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 0);
    hak_retain_tick(&retain, 1500, WINDOW); /* the first window began without it */
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 0);
    hak_retain_tick(&retain, 2000, WINDOW);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 10 * MIB);
    hak_retain_released(&retain, 10 * MIB);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 0);
    assert_int_equal(retain.free, 0);
}

static void test_what_is_used_in_each_window_stays(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_freed(&retain, 12 * MIB);
    for (uint32_t now = 500; now < 20000; now += WINDOW) {
        hak_retain_reused(&retain, 5 * MIB);
        hak_retain_freed(&retain, 5 * MIB);
        hak_retain_tick(&retain, now, WINDOW);
        const uint64_t due = hak_retain_due(&retain, 16 * MIB);
        assert_true(due <= 7 * MIB);
        hak_retain_released(&retain, due);
    }
    /* Beside something busy, what nobody needs goes nevertheless. */
    assert_int_equal(retain.free, 5 * MIB);
}

static void test_beyond_the_limit_goes_at_once(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_freed(&retain, 100 * MIB);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 86 * MIB); /* down to seven eighths of the limit */
}

/* One burst: touches what is not there, frees all of it, gives back what is due. Returns the bytes touched anew. */
static uint64_t burst(hak_retain_t *retain, uint64_t bytes)
{
    const uint64_t there = bytes < retain->free ? bytes : retain->free;
    hak_retain_reused(retain, there);
    hak_retain_fresh(retain, bytes - there);
    hak_retain_freed(retain, bytes);
    hak_retain_released(retain, hak_retain_due(retain, 16 * MIB));
    return bytes - there;
}

static void test_a_burst_that_repeats_keeps_what_it_used(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_tick(&retain, 1000, WINDOW);
    assert_int_equal(burst(&retain, 100 * MIB), 100 * MIB);
    assert_true(retain.free <= 16 * MIB);
    assert_int_equal(burst(&retain, 100 * MIB), 86 * MIB);
    for (uint32_t i = 0; i < 20; i++) {
        assert_in_range(burst(&retain, 100 * MIB), 0, 14 * MIB); /* an eighth of the limit, once */
        hak_retain_tick(&retain, 1000 + 100 * i, WINDOW);
        hak_retain_released(&retain, hak_retain_due(&retain, 16 * MIB));
    }
    assert_int_equal(burst(&retain, 100 * MIB), 0);
    /* Then nothing for two windows: all of it goes, and the limit comes down. */
    hak_retain_tick(&retain, 5000, WINDOW);
    hak_retain_released(&retain, hak_retain_due(&retain, 16 * MIB));
    hak_retain_tick(&retain, 5500, WINDOW);
    hak_retain_released(&retain, hak_retain_due(&retain, 16 * MIB));
    assert_int_equal(retain.free, 0);
    hak_retain_tick(&retain, 9000, WINDOW);
    assert_in_range(retain.rise, 0, 2 * MIB);
}

static void test_growth_is_not_asking_again(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_fresh(&retain, 1000 * MIB);
    assert_int_equal(retain.rise, 0);
    hak_retain_freed(&retain, 1000 * MIB);
    hak_retain_released(&retain, hak_retain_due(&retain, 16 * MIB));
    hak_retain_tick(&retain, 500, WINDOW);
    hak_retain_tick(&retain, 1000, WINDOW);
    hak_retain_tick(&retain, 1500, WINDOW);
    hak_retain_fresh(&retain, 1000 * MIB); /* long after it went */
    assert_int_equal(retain.rise, 0);
}

static void test_no_delay_keeps_nothing(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_freed(&retain, 3 * MIB);
    hak_retain_tick(&retain, 1, 0);
    assert_int_equal(hak_retain_due(&retain, 0), 3 * MIB);
}

static void test_the_clock_may_wrap(void **state)
{
    (void)state;
    hak_retain_t retain = {0};
    hak_retain_tick(&retain, UINT32_MAX - 100000, WINDOW);
    hak_retain_tick(&retain, UINT32_MAX - 100, WINDOW);
    hak_retain_freed(&retain, MIB);
    hak_retain_tick(&retain, 399, WINDOW);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), 0);
    hak_retain_tick(&retain, 899, WINDOW);
    assert_int_equal(hak_retain_due(&retain, 16 * MIB), MIB);
}

/* From the first look at the clock on, wherever it stands, and also when the next look comes in the same millisecond. */
static void test_memory_is_scarce_for_two_seconds(void **state)
{
    (void)state;
    static const uint32_t begins[] = {0, 1, 1000, 1001, UINT32_MAX - 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        hak_scarce_begin();
        hak_scarce_tick(begins[i]);
        hak_scarce_tick(begins[i]);
        hak_scarce_tick(begins[i] + 1);
        hak_scarce_tick(begins[i] + 1990);
        assert_true(hak_is_scarce());
        hak_scarce_tick(begins[i] + 2001);
        assert_false(hak_is_scarce());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_amounts_stay_for_a_window),
        cmocka_unit_test(test_what_is_used_in_each_window_stays),
        cmocka_unit_test(test_beyond_the_limit_goes_at_once),
        cmocka_unit_test(test_a_burst_that_repeats_keeps_what_it_used),
        cmocka_unit_test(test_growth_is_not_asking_again),
        cmocka_unit_test(test_no_delay_keeps_nothing),
        cmocka_unit_test(test_the_clock_may_wrap),
        cmocka_unit_test(test_memory_is_scarce_for_two_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
