// Every call to the system fails once, and fails from some moment on: for each N, the Nth call and (second pass) all
// calls from the Nth. Requests then give NULL and ENOMEM or succeed, contents stay whole, and once the system gives
// again, every size can be had. The linker's --wrap puts these functions in front of the real ones.
#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "check.h"
#include "hakmem.h"

void *__real_hak_os_map(size_t size, size_t align);
void *__real_hak_os_map_at(void *address, size_t size, bool writable);
bool __real_hak_os_make_writable(void *address, size_t size);
bool __real_hak_os_discard(void *address, size_t size);
bool __real_hak_os_resize(void *address, size_t old_size, size_t new_size);
bool __real_hak_os_move(void *address, size_t old_size, void *target, size_t new_size);

static long calls;     // made so far
static long fail_from; // number of the first call that fails; 0: none
static long fail_to;   // and of the last one

static bool fails(void)
{
    calls++;
    return fail_from != 0 && calls >= fail_from && calls <= fail_to;
}

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return fails() ? NULL : __real_hak_os_map(size, align);
}

void *__wrap_hak_os_map_at(void *address, size_t size, bool writable)
{
    return fails() ? NULL : __real_hak_os_map_at(address, size, writable);
}

bool __wrap_hak_os_make_writable(void *address, size_t size)
{
    return !fails() && __real_hak_os_make_writable(address, size);
}

bool __wrap_hak_os_discard(void *address, size_t size)
{
    return !fails() && __real_hak_os_discard(address, size);
}

bool __wrap_hak_os_resize(void *address, size_t old_size, size_t new_size)
{
    return !fails() && __real_hak_os_resize(address, old_size, new_size);
}

bool __wrap_hak_os_move(void *address, size_t old_size, void *target, size_t new_size)
{
    return !fails() && __real_hak_os_move(address, old_size, target, new_size);
}

enum {
    SLOTS = 24,
    CHECKED = 3000
};

static struct {
    unsigned char *block;
    size_t size;
} slots[SLOTS];

static size_t checked(size_t size)
{
    return size < CHECKED ? size : CHECKED;
}

static int refused;

static void put(size_t i, unsigned char *block, size_t size, const char *what)
{
    if (block == NULL) {
        CHECK(errno == ENOMEM, "%s(%zu) failed with errno %d", what, size, errno);
        refused++;
        return;
    }
    CHECK(errno == 0, "%s(%zu) succeeded and set errno %d", what, size, errno);
    slots[i].block = block;
    slots[i].size = size;
    fill(block, checked(size), i);
    block[size - 1] = (unsigned char)(size > CHECKED ? i : block[size - 1]);
}

static void check_slot(size_t i)
{
    if (slots[i].block != NULL) {
        CHECK(is_filled(slots[i].block, checked(slots[i].size), i), "slot %zu of %zu bytes changed", i,
              slots[i].size);
        CHECK(slots[i].size <= CHECKED || slots[i].block[slots[i].size - 1] == (unsigned char)i,
              "the end of slot %zu changed", i);
    }
}

static size_t size_of_step(uint64_t *random)
{
    static const size_t limits[] = {1000, 30000, 250000, 2000000, 6000000};
    return 1 + next_random(random) % limits[next_random(random) % 5];
}

static void work(void)
{
    uint64_t random = 4;
    for (int step = 0; step < 160; step++) {
        const size_t i = next_random(&random) % SLOTS;
        const size_t size = size_of_step(&random);
        check_slot(i);
        errno = 0;
        const int choice = step % 4;
        if (slots[i].block != NULL && choice < 2) {
            unsigned char *moved = hak_resize(slots[i].block, size);
            if (moved == NULL) {
                CHECK(errno == ENOMEM, "resize failed with errno %d", errno);
                refused++;
                check_slot(i);
            } else {
                CHECK(is_filled(moved, checked(size < slots[i].size ? size : slots[i].size), i),
                      "resize to %zu lost bytes", size);
                put(i, moved, size, "resize");
            }
            continue;
        }
        hak_free(slots[i].block);
        slots[i].block = NULL;
        if (choice == 2) {
            unsigned char *block = hak_alloc_zeroed(1, size);
            CHECK(block == NULL || is_zero(block, size), "zeroed block of %zu bytes is not zero", size);
            put(i, block, size, "alloc_zeroed");
        } else {
            put(i, step % 8 == 3 ? hak_alloc_aligned(8192, size) : hak_alloc(size), size, "alloc");
        }
        if (step % 40 == 39) {
            hak_trim();
        }
    }
}

static void release(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        check_slot(i);
        hak_free(slots[i].block);
        slots[i].block = NULL;
    }
}

// In a child, because the allocator's start is part of what must survive.
static void run_with(long from, long to)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        calls = 0;
        fail_from = from;
        fail_to = to;
        work();
        fail_from = 0;
        work();
        CHECK(from != 0 || refused == 0, "refused without a failing system");
        release();
        refused = 0;
        for (size_t size = 1; size < 20u << 20; size = size * 5 / 3 + 1) {
            void *block = hak_alloc(size);
            CHECK(block != NULL, "no block of %zu bytes once the system gives again", size);
            memset(block, 1, size);
            hak_free(block);
        }
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "calls %ld to %ld failing: status 0x%x", from, to,
          status);
}

// How many calls the work makes when none fails.
static long count_calls(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    if (fork() == 0) {
        work();
        CHECK(write(ends[1], &calls, sizeof calls) == sizeof calls, "write");
        _exit(0);
    }
    long made = 0;
    CHECK(read(ends[0], &made, sizeof made) == sizeof made, "read");
    wait(NULL);
    return made;
}

int main(void)
{
    const long made = count_calls();
    CHECK(made >= 5, "only %ld calls to the system: the test does not see them", made);
    run_with(0, 0);
    for (long n = 1; n <= made; n++) {
        run_with(n, n);
        run_with(n, n + 3);
        run_with(n, 1000000);
    }
    return 0;
}
