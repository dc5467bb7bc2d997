/* SPDX-License-Identifier: MIT */
/* Snapshots of the policy: one that is published is read at once, older ones stay as they were, and nothing is put in force
 * that no row allows. */
#include "suite.h"

#include "base/policy.h"

static void test_the_table(void **state)
{
    (void)state;
    hak_policy_t policy = hak_policy_default;
    for (size_t row = 0; row < HAK_POLICIES; row++) {
        const hak_policy_row_t *of = &hak_policy_rows[row];
        assert_in_range(*hak_policy_value(&policy, row), of->low, of->high);
        assert_true(strlen(of->sentence) > 10);
        assert_int_equal(hak_policy_find(of->name, strlen(of->name)), row);
        assert_int_equal(hak_policy_origin(row), HAK_FROM_DEFAULT);
    }
    assert_int_equal(hak_policy_find("borrow_", 7), HAK_POLICIES);
    assert_int_equal(hak_policy_find("borrow_", 6), HAK_POLICY_borrow);
    assert_int_equal(hak_policy_find("", 0), HAK_POLICIES);
    assert_ptr_equal(hak_policy_value(&policy, HAK_POLICY_borrow), &policy.borrow);
}

static void test_old_snapshots_stay(void **state)
{
    (void)state;
    const hak_policy_t *seen[HAK_SNAPSHOTS];
    for (uint32_t i = 0; i < HAK_SNAPSHOTS; i++) {
        hak_policy_t next = *hak_policy();
        next.borrow = i + 1;
        hak_policy_publish(&next);
        seen[i] = hak_policy();
        assert_int_equal(seen[i]->borrow, i + 1);
        assert_int_equal(seen[i]->carve_bytes, hak_policy_default.carve_bytes);
    }
    for (uint32_t i = 0; i < HAK_SNAPSHOTS; i++)
        assert_int_equal(seen[i]->borrow, i + 1);
    assert_int_equal(hak_policy_origin(HAK_POLICY_borrow), HAK_FROM_LEARNER);
    assert_int_equal(hak_policy_origin(HAK_POLICY_carve_bytes), HAK_FROM_DEFAULT);
}

static void test_what_no_row_allows_is_not_taken(void **state)
{
    (void)state;
    hak_policy_t next = *hak_policy();
    next.borrow = 256;
    next.tick_every = 0;
    next.tiny_max = 512; /* compiled in */
    next.empty_slabs = 3;
    hak_policy_publish_from(&next, HAK_FROM_PROGRAM);
    assert_in_range(hak_policy()->borrow, 0, 255);
    assert_int_equal(hak_policy()->tick_every, hak_policy_default.tick_every);
    assert_int_equal(hak_policy()->tiny_max, hak_policy_default.tiny_max);
    assert_int_equal(hak_policy()->empty_slabs, 3);
    assert_int_equal(hak_policy_origin(HAK_POLICY_empty_slabs), HAK_FROM_PROGRAM);
    assert_int_equal(hak_policy_origin(HAK_POLICY_tick_every), HAK_FROM_DEFAULT);
}

static void test_what_follows_from_the_values(void **state)
{
    (void)state;
    hak_policy_t next = *hak_policy();
    next.purge_delay_ms = 0;
    hak_policy_publish(&next);
    assert_int_equal(hak_policy()->pool_floor_mb, 0);
    assert_int_equal(hak_policy()->huge_floor_mb, 0);
    next.purge_delay_ms = 100;
    next.retain_mb = 5;
    next.bigcache_mb = 7;
    hak_policy_publish(&next);
    assert_int_equal(hak_policy()->pool_floor_mb, 5);
    assert_int_equal(hak_policy()->huge_floor_mb, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_old_snapshots_stay),
        cmocka_unit_test(test_what_no_row_allows_is_not_taken),
        cmocka_unit_test(test_what_follows_from_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
