// SPDX-License-Identifier: MIT
// The map: entries of covered addresses can be set and read, all other pointers a program can hold read as 0.
#include "suite.h"

#include "map/map.h"
#include "os/os.h"

#include <sys/wait.h>
#include <unistd.h>

static int in_image;

static int set_up(void **state)
{
    (void)state;
    return hak_map_init() ? 0 : -1;
}

static void test_pointers_that_are_not_ours(void **state)
{
    (void)state;
    int on_stack = 0;
    assert_int_equal(hak_map_get(NULL), 0);
    assert_int_equal(hak_map_get((void *)(uintptr_t)1), 0);
    assert_int_equal(hak_map_get((void *)(uintptr_t)4096), 0);
    assert_int_equal(hak_map_get(&in_image), 0);
    assert_int_equal(hak_map_get(&on_stack), 0);
    assert_int_equal(hak_map_get((void *)(uintptr_t)printf), 0);
}

static void test_covered_entries_are_kept(void **state)
{
    (void)state;
    char *area = hak_os_map(64 * HAK_SLICE, HAK_SLICE);
    assert_non_null(area);
    assert_true(hak_map_cover(area, 64 * HAK_SLICE));
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(hak_map_get(area + i * HAK_SLICE), 0);
        hak_map_set(area + i * HAK_SLICE, i + 1000);
    }
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(hak_map_get(area + i * HAK_SLICE), i + 1000);
        assert_int_equal(hak_map_get(area + i * HAK_SLICE + HAK_SLICE - 1), i + 1000);
        hak_map_set(area + i * HAK_SLICE, 0);
    }
    hak_os_unmap(area, 64 * HAK_SLICE);
}

// Mappings far apart, so that each needs a window of its own.
static void test_far_apart(void **state)
{
    (void)state;
    int covered = 0;
    for (uintptr_t i = 1; i < 40; i++) {
        char *wanted = (char *)(i * (uintptr_t)3000000 * HAK_SLICE);
        char *area = hak_os_map_at(wanted, HAK_SLICE, true);
        if (area == NULL) {
            continue;
        }
        assert_true(hak_map_cover(area, HAK_SLICE));
        hak_map_set(area, (uint32_t)i);
        assert_int_equal(hak_map_get(area), i);
        hak_map_set(area, 0);
        hak_os_unmap(area, HAK_SLICE);
        covered++;
    }
    assert_true(covered > 10);
}

// One mapping across the border of two windows.
static void test_across_windows(void **state)
{
    (void)state;
    const uintptr_t window = (uintptr_t)1 << 32;
    int covered = 0;
    for (uintptr_t i = 1; i < 20 && covered == 0; i++) {
        char *area = hak_os_map_at((char *)(i * 1000 * window - HAK_SLICE), 2 * HAK_SLICE, true);
        if (area == NULL) {
            continue;
        }
        assert_true(hak_map_cover(area, 2 * HAK_SLICE));
        hak_map_set(area, 1);
        hak_map_set(area + HAK_SLICE, 2);
        assert_int_equal(hak_map_get(area), 1);
        assert_int_equal(hak_map_get(area + HAK_SLICE), 2);
        hak_map_set(area, 0);
        hak_map_set(area + HAK_SLICE, 0);
        hak_os_unmap(area, 2 * HAK_SLICE);
        covered++;
    }
    assert_int_equal(covered, 1);
}

// Not the same for everybody: of three more processes no two, and none as here.
static void test_place_is_random(void **state)
{
    (void)state;
    uintptr_t places[4] = {(uintptr_t)hak_map};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 1; i < 4; i++) {
        const pid_t child = fork();
        if (child == 0) {
            const uintptr_t place = hak_map_init() ? (uintptr_t)hak_map : 0;
            _exit(write(ends[1], &place, sizeof place) != sizeof place);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(read(ends[0], &places[i], sizeof places[i]), sizeof places[i]);
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(places[i], places[k]);
        }
    }
    close(ends[0]);
    close(ends[1]);
}

static const void *visited[8];
static size_t visits;

static void note_visit(const void *slice, uint32_t owner)
{
    assert_int_equal(owner, 77);
    visited[visits++ % 8] = slice;
}

// The slices of one owner's slabs, and no others.
static void test_each_slice_of_an_owner(void **state)
{
    (void)state;
    char *area = hak_os_map(64 * HAK_SLICE, HAK_SLICE);
    assert_non_null(area);
    assert_true(hak_map_cover(area, 64 * HAK_SLICE));
    hak_map_set(area + 3 * HAK_SLICE, hak_entry(77, 16));
    hak_map_set(area + 4 * HAK_SLICE, hak_entry(77, HAK_ENTRY_HUGE));
    hak_map_set(area + 5 * HAK_SLICE, hak_entry(78, 16));
    hak_map_set(area + 63 * HAK_SLICE, hak_entry(77, 128 * 16));
    hak_map_each(77, note_visit);
    assert_int_equal(visits, 2);
    assert_ptr_equal(visited[0], area + 3 * HAK_SLICE);
    assert_ptr_equal(visited[1], area + 63 * HAK_SLICE);
    for (size_t i = 0; i < 64; i++) {
        hak_map_set(area + i * HAK_SLICE, 0);
    }
    hak_os_unmap(area, 64 * HAK_SLICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointers_that_are_not_ours),
        cmocka_unit_test(test_covered_entries_are_kept),
        cmocka_unit_test(test_far_apart),
        cmocka_unit_test(test_across_windows),
        cmocka_unit_test(test_each_slice_of_an_owner),
        cmocka_unit_test(test_place_is_random),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
