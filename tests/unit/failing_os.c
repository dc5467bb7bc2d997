/* SPDX-License-Identifier: MIT */
/* Every mmap, munmap, mremap, mprotect and madvise fails once, and fails from some moment on: for each N, the Nth call
 * alone, every third with the three after it or all after it. Requests then give NULL and ENOMEM or succeed, contents stay
 * whole, and once the system gives again, every size can be had. The linker's --wrap puts these in front of the
 * allocator's own way into the system, and of libc's names. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "threads.h"
#include "hakmem.h"

static long calls;     /* made so far */
static long fail_from; /* number of the first call that fails; 0: none */
static long fail_to;   /* and of the last one */

static int fails(long number)
{
    if (number != SYS_mmap && number != SYS_munmap && number != SYS_mremap && number != SYS_mprotect &&
        number != SYS_madvise)
        return 0;
    calls++;
    return fail_from != 0 && calls >= fail_from && calls <= fail_to;
}

long __real_hak_call(long number, long a, long b, long c, long d, long e, long f);
long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_madvise(void *address, size_t size, int advice);
void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);

long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f)
{
    return fails(number) ? -ENOMEM : __real_hak_call(number, a, b, c, d, e, f);
}

static long by_name(long number, long a, long b, long c, long d, long e, long f)
{
    const long answer = __wrap_hak_call(number, a, b, c, d, e, f);
    if (answer < 0 && answer > -4096) {
        errno = (int)-answer;
        return -1;
    }
    return answer;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    return (void *)by_name(SYS_mmap, (long)address, (long)size, protection, flags, file, offset);
}

int __wrap_munmap(void *address, size_t size)
{
    return (int)by_name(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

int __wrap_madvise(void *address, size_t size, int advice)
{
    return (int)by_name(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    return (void *)by_name(SYS_mremap, (long)address, (long)old_size, (long)new_size, flags, (long)target, 0);
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

/* All of it would be most of the test's time. */
static bool has_zero_ends(const unsigned char *block, size_t size)
{
    const size_t end = size < 300000 ? size : 300000;
    return is_zero(block, end) && is_zero(block + size - end, end);
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
    static const size_t limits[] = {1000, 30000, 250000, 2000000, 6000000, 6000000};
    return 1 + next_random(random) % limits[next_random(random) % 6];
}

/* Another thread frees a few blocks and makes others; its heap is new, or that of the one before. */
static void *visit(void *index)
{
    uint64_t random = 77;
    for (size_t i = 0; i < SLOTS; i += 5) {
        const size_t size = size_of_step(&random) % 100000 + 1;
        check_slot(i);
        hakmem_free(slots[i].block);
        slots[i].block = NULL;
        errno = 0;
        put(i, hakmem_alloc(size), size, "alloc in a thread");
    }
    return index == (void *)1 ? index : NULL;
}

static void work(void)
{
    uint64_t random = 4;
    for (int step = 0; step < 120; step++) {
        const size_t i = next_random(&random) % SLOTS;
        const int choice = step % 4;
        size_t size = size_of_step(&random);
        if (choice < 2 && slots[i].size > 2000000) /* a big block stays big: resized where it is, or moved */
            size = 2500000 + slots[i].size * 7 % 5000000;
        check_slot(i);
        errno = 0;
        if (slots[i].block != NULL && choice < 2) {
            unsigned char *moved = hakmem_resize(slots[i].block, size);
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
        hakmem_free(slots[i].block);
        slots[i].block = NULL;
        slots[i].size = 0;
        if (choice == 2) {
            unsigned char *block = hakmem_alloc_zeroed(1, size);
            CHECK(block == NULL || has_zero_ends(block, size), "zeroed block of %zu bytes is not zero", size);
            put(i, block, size, "alloc_zeroed");
        } else {
            put(i, step % 8 == 3 ? hakmem_alloc_aligned(8192, size) : hakmem_alloc(size), size, "alloc");
        }
        if (step % 30 == 14)
            run_threads(1, visit);
        if (step % 30 == 29)
            hakmem_trim();
    }
}

static void release(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        check_slot(i);
        hakmem_free(slots[i].block);
        slots[i].block = NULL;
    }
}

/* In a child, because the allocator's start is part of what must survive. */
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
            void *block = hakmem_alloc(size);
            CHECK(block != NULL, "no block of %zu bytes once the system gives again", size);
            memset(block, 1, size < 300000 ? size : 300000);
            ((unsigned char *)block)[size - 1] = 1;
            hakmem_free(block);
        }
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "calls %ld to %ld failing: status 0x%x", from, to,
          status);
}

/* How many calls the work makes when none fails. */
static long count_calls(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    if (fork() == 0) {
        alarm(20);
        work();
        CHECK(write(ends[1], &calls, sizeof calls) == sizeof calls, "write");
        _exit(0);
    }
    close(ends[1]); /* so that a child that crashes is seen, not waited for */
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
        if (n % 3 == 0)
            run_with(n, n % 2 == 0 ? n + 3 : 1000000);
    }
    return 0;
}
