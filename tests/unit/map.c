/* SPDX-License-Identifier: MIT */
/* The map: entries of covered addresses can be set and read, all other pointers a program can hold read as 0. What the program
 * has mapped where a window would lie stays as it is. */
#include "suite.h"

#include "map/map.h"
#include "os/os.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WINDOW_BYTES (((size_t)1 << (HAK_WINDOW_SHIFT - HAK_SLICE_SHIFT)) * sizeof(uint32_t))
#define MAP_BYTES    (WINDOW_BYTES << (HAK_ADDRESS_BITS - HAK_WINDOW_SHIFT))

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

/* What reaches beyond the last address has no entries, and nothing is made writable for it. */
static void test_beyond_the_last_address(void **state)
{
    (void)state;
    const uintptr_t end = (uintptr_t)1 << HAK_ADDRESS_BITS;
    const char *last = (const char *)(end - ((uintptr_t)1 << HAK_WINDOW_SHIFT)); /* NOLINT */
    assert_false(hak_map_cover(last, (size_t)1 << 46));
    assert_false(hak_map_cover(last, ((size_t)1 << HAK_WINDOW_SHIFT) + HAK_SLICE));
    assert_int_equal(hak_map_find(last), 0);
    assert_true(hak_map_cover(last, (size_t)1 << HAK_WINDOW_SHIFT));
}

/* Mappings far apart, so that each needs a window of its own. */
static void test_far_apart(void **state)
{
    (void)state;
    int covered = 0;
    for (uintptr_t i = 1; i < 40; i++) {
        char *wanted = (char *)(i * (uintptr_t)3000000 * HAK_SLICE);
        char *area = hak_os_map_at(wanted, HAK_SLICE, true);
        if (area == NULL)
            continue;
        assert_true(hak_map_cover(area, HAK_SLICE));
        hak_map_set(area, (uint32_t)i);
        assert_int_equal(hak_map_get(area), i);
        hak_map_set(area, 0);
        hak_os_unmap(area, HAK_SLICE);
        covered++;
    }
    assert_true(covered > 10);
}

/* One mapping across the border of two windows. */
static void test_across_windows(void **state)
{
    (void)state;
    const uintptr_t window = (uintptr_t)1 << 32;
    int covered = 0;
    for (uintptr_t i = 1; i < 20 && covered == 0; i++) {
        char *area = hak_os_map_at((char *)(i * 1000 * window - HAK_SLICE), 2 * HAK_SLICE, true);
        if (area == NULL)
            continue;
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

/* Where nobody has mapped anything, nor the map has been covered. */
static char *nowhere(uintptr_t number)
{
    return (char *)(number << HAK_WINDOW_SHIFT);
}

static void test_memory_of_others_is_left(void **state)
{
    (void)state;
    char *address = nowhere(0x1234);
    char *window = (char *)hak_map + 0x1234 * WINDOW_BYTES;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_ptr_equal(mmap(window, WINDOW_BYTES, PROT_NONE, flags, -1, 0), window);
    assert_false(hak_map_cover(address, HAK_SLICE));
    assert_int_equal(write(ends[1], window, 1), -1); /* nobody may read it, as before */
    assert_int_equal(munmap(window, WINDOW_BYTES), 0);
    assert_true(hak_map_cover(address, HAK_SLICE));
    close(ends[0]);
    close(ends[1]);
}

static sem_t mapped, forked;
static atomic_bool stops;

void __real_hak_os_thp(void *address, size_t size, bool on);
void __wrap_hak_os_thp(void *address, size_t size, bool on);

/* It is called when a window is mapped, and before the map says that it is covered. */
void __wrap_hak_os_thp(void *address, size_t size, bool on)
{
    if (atomic_exchange(&stops, false)) {
        sem_post(&mapped);
        sem_wait(&forked);
    }
    __real_hak_os_thp(address, size, on);
}

static void *cover(void *address)
{
    return hak_map_cover(address, HAK_SLICE) ? address : NULL;
}

/* A child is forked while another thread is in the middle of covering a window: it has it, too. */
static void test_child_of_one_that_covers(void **state)
{
    (void)state;
    char *address = nowhere(0x2345);
    sem_init(&mapped, 0, 0);
    sem_init(&forked, 0, 0);
    atomic_store(&stops, true);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cover, address), 0);
    sem_wait(&mapped);
    const pid_t child = fork();
    if (child == 0) {
        hak_map_after_fork();
        if (!hak_map_cover(address, HAK_SLICE))
            _exit(1);
        hak_map_set(address, 5);
        _exit(hak_map_get(address) != 5);
    }
    sem_post(&forked);
    void *covered = NULL;
    pthread_join(thread, &covered);
    assert_ptr_equal(covered, address);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Not the same for everybody: of eight more processes no two, and none as here. And below a third of the addresses, from where the
 * system maps upwards if it is told to. */
static void test_place_is_random(void **state)
{
    (void)state;
    uintptr_t places[9] = {(uintptr_t)hak_map};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 1; i < 9; i++) {
        const pid_t child = fork();
        if (child == 0) {
            const uintptr_t place = hak_map_init() ? (uintptr_t)hak_map : 0;
            _exit(write(ends[1], &place, sizeof place) != sizeof place);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(read(ends[0], &places[i], sizeof places[i]), sizeof places[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(places[i], places[k]);
        assert_true(places[i] + MAP_BYTES <= ((uintptr_t)1 << HAK_ADDRESS_BITS) / 3);
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

/* The slices of one owner's slabs, and no others. */
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
    for (size_t i = 0; i < 64; i++)
        hak_map_set(area + i * HAK_SLICE, 0);
    hak_os_unmap(area, 64 * HAK_SLICE);
}

static bool keeps; /* what is to be unmapped */

bool __real_hak_os_unmap(void *address, size_t size);
bool __wrap_hak_os_unmap(void *address, size_t size);

bool __wrap_hak_os_unmap(void *address, size_t size)
{
    return !keeps && __real_hak_os_unmap(address, size);
}

/* With little address space to have. */
static size_t give_up(void)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit little = {.rlim_cur = (size_t)1 << 29, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    const size_t bytes = hak_map_give_up();
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    return bytes;
}

/* Some windows beside the libraries, on either side; where the last address is nearer than that, twice as far below them. */
static void cover_beside(uintptr_t windows)
{
    const uintptr_t one = (uintptr_t)hak_os_libraries(), other = (uintptr_t)hak_os_libraries_end();
    const uintptr_t distance = windows << HAK_WINDOW_SHIFT;
    const uintptr_t below = hak_min(one, other) - distance, above = hak_max(one, other) + distance;
    assert_true(hak_map_cover((void *)below, HAK_SLICE));
    assert_true(
        hak_map_cover((void *)(above >> HAK_ADDRESS_BITS == 0 ? above : below - distance), HAK_SLICE));
}

/* The last test, since it takes windows away. */
static void test_what_is_given_up_can_be_covered(void **state)
{
    (void)state;
    keeps = true;
    assert_int_equal(give_up(), 0);
    keeps = false;
    cover_beside(8);
    assert_true(give_up() >= 8 * WINDOW_BYTES);
    cover_beside(9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointers_that_are_not_ours),
        cmocka_unit_test(test_covered_entries_are_kept),
        cmocka_unit_test(test_beyond_the_last_address),
        cmocka_unit_test(test_far_apart),
        cmocka_unit_test(test_across_windows),
        cmocka_unit_test(test_each_slice_of_an_owner),
        cmocka_unit_test(test_memory_of_others_is_left),
        cmocka_unit_test(test_child_of_one_that_covers),
        cmocka_unit_test(test_place_is_random),
        cmocka_unit_test(test_what_is_given_up_can_be_covered),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
