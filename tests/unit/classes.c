/* SPDX-License-Identifier: MIT */
/* Size classes: every size has one, it holds the size, no smaller one does, and the waste stays within its bound. Whatever limits
 * and steps the policy has: tests/test_policy.py builds this with others. */
#include "suite.h"

#include "base/classes.h"

/* Where sizes of the first kind are far apart, the classes between are those of no request. */
static bool is_used(unsigned c)
{
    return c > HAK_TINY_CLASSES || c * HAK_ALIGN % HAK_TINY_STEP == 0;
}

static unsigned used_before(unsigned c)
{
    do {
        c--;
    } while (c != 0 && !is_used(c));
    return c;
}

static void test_class_holds_its_sizes(void **state)
{
    (void)state;
    for (size_t size = 0; size <= HAK_CLASS_MAX; size++) {
        const unsigned c = hak_class_of(size);
        assert_in_range(c, 1, HAK_CLASSES - 1);
        assert_true(hak_class_size(c) >= size);
        assert_true(used_before(c) == 0 || hak_class_size(used_before(c)) < size);
    }
}

static void test_waste_is_bounded(void **state)
{
    (void)state;
    for (size_t size = 1; size <= HAK_CLASS_MAX; size++) {
        const size_t waste = hak_class_size(hak_class_of(size)) - size;
        if (size > HAK_TINY_MAX ? waste * HAK_STEPS > hak_class_size(hak_class_of(size))
                                : waste >= HAK_TINY_STEP)
            fail_msg("%zu of a block for %zu bytes are waste", waste, size);
    }
}

static void test_classes_are_aligned_and_ascend(void **state)
{
    (void)state;
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        assert_int_equal(hak_class_size(c) % HAK_ALIGN, 0);
        assert_true(c == 1 || hak_class_size(c) > hak_class_size(c - 1));
        assert_true(!is_used(c) || hak_class_of(hak_class_size(c)) == c);
    }
    assert_int_equal(hak_class_size(HAK_CLASSES - 1), HAK_CLASS_MAX);
}

static void test_slabs_hold_their_capacity(void **state)
{
    (void)state;
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        for (size_t blocks = 1; blocks <= 16; blocks++) {
            for (size_t least = 1; least <= (hak_class_size(c) <= HAK_OS_PAGE / 2 ? 32 : 1); least++) {
                const size_t slices = hak_class_slices(c, blocks, least);
                const unsigned capacity = hak_class_capacity(c, slices);
                assert_in_range(slices, hak_class_size(c) <= HAK_MID_MAX ? least : 1, 32);
                assert_true(capacity >= (hak_class_size(c) <= HAK_MID_MAX ? blocks : 1));
                assert_true(capacity * hak_class_size(c) <= slices * HAK_SLICE);
                /* Above that one is carved at a time, and a set of 32 bits says which are purged. */
                assert_true(hak_class_size(c) <= HAK_OS_PAGE / 2 || capacity < 32);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_class_holds_its_sizes),
        cmocka_unit_test(test_waste_is_bounded),
        cmocka_unit_test(test_classes_are_aligned_and_ascend),
        cmocka_unit_test(test_slabs_hold_their_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
