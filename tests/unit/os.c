/* SPDX-License-Identifier: MIT */
/* The system seam: mappings are aligned, zero and writable; discarded pages read as zero; errno is never touched; locks know
 * their owners, and a child is repaired once, before its first lock. */
#define _GNU_SOURCE
#include "suite.h"

#include "os/os.h"
#include "os/vdso.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

unsigned long __real_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type);

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
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter, 400000);
    assert_false(hak_os_lock_reset(&lock));
}

static void *take_lock(void *held)
{
    hak_os_lock(held);
    return NULL;
}

/* What a child must know: a lock that it holds itself is left alone, one of a thread that is not there is made free. */
static void test_lock_has_an_owner(void **state)
{
    (void)state;
    hak_os_lock_t held = {0};
    assert_false(hak_os_lock_is_mine(&held));
    hak_os_lock(&held);
    assert_true(hak_os_lock_is_mine(&held));
    assert_false(hak_os_try_lock(&held));
    assert_false(hak_os_lock_reset(&held));
    assert_true(hak_os_lock_is_mine(&held));
    hak_os_unlock(&held);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_lock, &held), 0);
    pthread_join(thread, NULL);
    assert_false(hak_os_lock_is_mine(&held));
    assert_false(hak_os_try_lock(&held));
    assert_true(hak_os_lock_reset(&held));
    assert_true(hak_os_try_lock(&held));
    hak_os_unlock(&held);
}

/* The clock is the one that libc shows, though found without libc; a coarse tick of it is at most 10 ms. */
static void test_clock_is_the_systems(void **state)
{
    (void)state;
    struct timespec now;
    const uint64_t before = hak_os_now_ms();
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    const uint64_t theirs = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    assert_true(before <= theirs + 1 && theirs <= hak_os_now_ms() + 20);
}

static void test_clock_is_found_in_the_kernels_image(void **state)
{
    (void)state;
    const void *image =
        (const void *)__real_getauxval(AT_SYSINFO_EHDR); /* NOLINT(performance-no-int-to-ptr) */
    if (image == NULL)
        skip();
    const hak_clock_t clock = hak_vdso_clock(image);
    assert_non_null(clock);
    struct timespec now = {0};
    assert_int_equal(clock(CLOCK_MONOTONIC_COARSE, &now), 0);
    assert_true(now.tv_sec != 0 || now.tv_nsec != 0);
    assert_null(hak_vdso_clock(NULL));
    assert_null(hak_vdso_clock("no image at all, but sixty-four bytes that lie where it should be"));
}

static bool secure, without_clock;

unsigned long __wrap_getauxval(unsigned long type)
{
    if (type == AT_SYSINFO_EHDR && without_clock) {
        errno = ENOENT;
        return 0;
    }
    return type == AT_SECURE ? secure : __real_getauxval(type);
}

/* In a child, before anybody else: where the clock is, is found once. */
static void test_a_kernel_without_a_clock(void **state)
{
    (void)state;
    int status = 1;
    const pid_t child = fork();
    if (child == 0) {
        without_clock = true;
        errno = 77;
        _exit(hak_os_now_ms() != 0 && errno == 77 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_environment_of_a_privileged_program(void **state)
{
    (void)state;
    setenv("HAKMEM_MODE", "fast", 1);
    assert_string_equal(hak_os_environment("HAKMEM_MODE"), "fast");
    secure = true;
    assert_null(hak_os_environment("HAKMEM_MODE"));
    secure = false;
    unsetenv("HAKMEM_MODE");
}

/* --- what is seen through libc's names ---------------------------------------------------------------------------- */

static int seen[4]; /* mmap, munmap, madvise, mremap */
static bool nested;

static void note(int which)
{
    seen[which]++;
    if (!nested) { /* a watcher that comes back here */
        nested = true;
        void *mine = hak_os_map_seen(HAK_OS_PAGE, HAK_OS_PAGE);
        assert_true(hak_os_release(mine, HAK_OS_PAGE));
        nested = false;
    }
    errno = 99;
}

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
void *__real_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);
void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    note(0);
    return __real_mmap(address, size, protection, flags, file, offset);
}

int __wrap_munmap(void *address, size_t size)
{
    note(1);
    return __real_munmap(address, size);
}

int __wrap_madvise(void *address, size_t size, int advice)
{
    note(2);
    return __real_madvise(address, size, advice);
}

void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = va_arg(list, void *);
    va_end(list);
    note(3);
    return __real_mremap(address, old_size, new_size, flags, target);
}

static void use_memory(void)
{
    char *area = hak_os_map_seen(8 * HAK_OS_PAGE, HAK_OS_PAGE);
    char *target = hak_os_map(8 * HAK_OS_PAGE, HAK_OS_PAGE);
    bool no_room;
    assert_non_null(area);
    assert_non_null(target);
    assert_true(hak_os_discard(area, HAK_OS_PAGE));
    assert_true(hak_os_resize(area, 8 * HAK_OS_PAGE, 4 * HAK_OS_PAGE, &no_room));
    assert_true(hak_os_move(area, 4 * HAK_OS_PAGE, target, 8 * HAK_OS_PAGE));
    assert_true(hak_os_release(target, 8 * HAK_OS_PAGE));
    hak_os_unmap(hak_os_map(HAK_OS_PAGE, HAK_OS_PAGE), HAK_OS_PAGE);
    hak_os_thp(&seen, 0, false);
}

static void test_what_goes_back_is_seen(void **state)
{
    (void)state;
    errno = 77;
    memset(seen, 0, sizeof seen);
    use_memory();
    assert_int_equal(errno, 77);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 1);
    assert_int_equal(seen[3], 2);
}

/* --- threads and forks -------------------------------------------------------------------------------------------- */

static uint64_t name_of_thread;

static bool ended(uint64_t name)
{
    return hak_os_thread_ended(name, hak_os_thread_name());
}

static void *tell_name(void *stays)
{
    name_of_thread = hak_os_thread_name();
    assert_false(ended(name_of_thread));
    return stays;
}

static void test_end_of_a_thread(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_name, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(name_of_thread != 0 && name_of_thread != hak_os_thread_name());
    for (int i = 0; i < 1000 && !ended(name_of_thread); i++)
        usleep(1000); /* joined a moment before the kernel forgets it */
    assert_true(ended(name_of_thread));
    assert_false(ended(hak_os_thread_name()));
    assert_false(ended(name_of_thread + (1ull << 32))); /* of another process: not known */
}

static struct {
    int firsts, others, by_forker;
    bool answer;
} repairs;

static hak_os_lock_t held_by_a_thread;
static bool was_reset;

static bool repair(bool first, bool forker)
{
    was_reset |= first && hak_os_lock_reset(&held_by_a_thread);
    repairs.firsts += first;
    repairs.others += !first;
    repairs.by_forker += forker;
    return repairs.answer && forker;
}

static void *use_lock(void *unused)
{
    hak_os_lock_t mine = {0};
    hak_os_lock(&mine);
    hak_os_unlock(&mine);
    return unused;
}

/* What happens in a child, told by its exit status. */
static void expect_in_child(int (*work)(void))
{
    hak_os_on_fork(repair);
    memset(&repairs, 0, sizeof repairs);
    repairs.answer = true;
    use_lock(NULL);
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        alarm(10);
        _exit(work());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    use_lock(NULL);
    assert_int_equal(repairs.firsts, 0);
    assert_int_equal(repairs.others, 0);
}

static int first_lock_repairs(void)
{
    hak_os_lock_t other = {0};
    bool taken = hak_os_try_lock(&other); /* free, and yet the repair comes first */
    use_lock(NULL);
    return taken && repairs.firsts == 1 && repairs.others == 0 && repairs.by_forker == 1 ? 0 : 1;
}

static int new_thread_is_not_the_forker(void)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread, NULL, use_lock, NULL) != 0 || pthread_join(thread, NULL) != 0)
            return 2;
    if (repairs.firsts != 1 || repairs.others != 0 || repairs.by_forker != 0)
        return 3;
    use_lock(NULL);
    use_lock(NULL);
    return repairs.firsts == 1 && repairs.others == 1 && repairs.by_forker == 1 ? 0 : 4;
}

/* Threads whose stack is the same, and with it the address by which a lock knows them. */
static alignas(4096) char stack[256 << 10];

static pthread_t thread_on_the_stack(void *(*work)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, sizeof stack), 0);
    assert_int_equal(pthread_create(&thread, &attributes, work, NULL), 0);
    return thread;
}

static _Atomic bool holds, may_end;

static void *hold_lock(void *unused)
{
    hak_os_lock(&held_by_a_thread);
    holds = true;
    while (!may_end)
        usleep(1000);
    hak_os_unlock(&held_by_a_thread);
    return unused;
}

static int new_thread_on_the_holder_s_stack(void)
{
    pthread_join(thread_on_the_stack(use_lock), NULL);
    return was_reset ? 0 : 8;
}

/* A thread of the parent's holds a lock; one that the child makes has its name, and is not taken for it. */
static void test_a_new_thread_is_not_who_held_the_lock(void **state)
{
    (void)state;
    const pthread_t holder = thread_on_the_stack(hold_lock);
    while (!holds)
        usleep(1000);
    expect_in_child(new_thread_on_the_holder_s_stack);
    may_end = true;
    pthread_join(holder, NULL);
}

static volatile bool in_child;
static volatile int status_of_child = -1;

static void fork_here(int signal)
{
    (void)signal;
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    in_child = child == 0;
    if (in_child) {
        alarm(10);
        return;
    }
    int status = 0;
    status_of_child = waitpid(child, &status, 0) == child ? status : -1;
    may_end = true;
}

static void *interrupt_soon(void *thread)
{
    usleep(50000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

/* A thread waits for a lock, and a handler forks: its child goes on waiting, for a thread that does not exist there. */
static void test_a_child_that_waits_for_a_lock(void **state)
{
    (void)state;
    holds = may_end = was_reset = false;
    const pthread_t holder = thread_on_the_stack(hold_lock);
    while (!holds)
        usleep(1000);
    hak_os_on_fork(repair);
    repairs.answer = true;
    const struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t interrupter, self = pthread_self();
    assert_int_equal(pthread_create(&interrupter, NULL, interrupt_soon, &self), 0);
    hak_os_lock(&held_by_a_thread);
    if (in_child)
        _exit(was_reset ? 0 : 9);
    hak_os_unlock(&held_by_a_thread);
    assert_int_equal(status_of_child, 0);
    pthread_join(holder, NULL);
    pthread_join(interrupter, NULL);
}

static int asked_until_it_can(void)
{
    repairs.answer = false;
    use_lock(NULL);
    const int before = repairs.others;
    repairs.answer = true;
    use_lock(NULL);
    const int then = repairs.others;
    use_lock(NULL);
    return repairs.firsts == 1 && then == before + 1 && repairs.others == then ? 0 : 5;
}

static int grandchild_repairs_again(void)
{
    use_lock(NULL);
    memset(&repairs, 0, sizeof repairs);
    repairs.answer = true;
    const uint32_t generation = hak_os_generation();
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(first_lock_repairs() == 0 && hak_os_generation() == generation + 1 ? 0 : 6);
    int status = 0;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 7;
}

static void test_a_child_is_repaired(void **state)
{
    (void)state;
    expect_in_child(first_lock_repairs);
    expect_in_child(new_thread_is_not_the_forker);
    expect_in_child(asked_until_it_can);
    expect_in_child(grandchild_repairs_again);
}

static bool is_pending(int signal)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal) == 1;
}

/* What waited before the message does so afterwards, and nothing else. */
static void expect_quiet(int fd, int signal)
{
    sigset_t blocked, before;
    hak_text_t text = {.length = 0};
    hak_text_string(&text, "for nobody\n");
    hak_text_write(&text, fd); /* or this ends here */
    sigemptyset(&blocked);
    sigaddset(&blocked, signal);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    assert_int_equal(sigismember(&before, signal), 0);
    hak_text_write(&text, fd);
    assert_false(is_pending(signal));
    raise(signal);
    hak_text_write(&text, fd);
    assert_true(is_pending(signal));
    assert_int_equal(sigwaitinfo(&blocked, NULL), signal);
    assert_false(is_pending(signal));
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void test_a_message_raises_no_signal(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    expect_quiet(ends[1], SIGPIPE);
    close(ends[1]);
    FILE *file = tmpfile();
    assert_non_null(file);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, before.rlim_max});
    expect_quiet(fileno(file), SIGXFSZ);
    setrlimit(RLIMIT_FSIZE, &before);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kernel_without_a_clock), /* first of all */
        cmocka_unit_test(test_a_message_raises_no_signal),
        cmocka_unit_test(test_map_is_aligned_and_zero),
        cmocka_unit_test(test_too_large_is_null),
        cmocka_unit_test(test_discard_makes_zero),
        cmocka_unit_test(test_move_keeps_contents),
        cmocka_unit_test(test_clock_does_not_go_back),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_lock_excludes),
        cmocka_unit_test(test_lock_has_an_owner),
        cmocka_unit_test(test_clock_is_the_systems),
        cmocka_unit_test(test_clock_is_found_in_the_kernels_image),
        cmocka_unit_test(test_environment_of_a_privileged_program),
        cmocka_unit_test(test_what_goes_back_is_seen),
        cmocka_unit_test(test_end_of_a_thread),
        cmocka_unit_test(test_a_child_is_repaired),
        cmocka_unit_test(test_a_new_thread_is_not_who_held_the_lock),
        cmocka_unit_test(test_a_child_that_waits_for_a_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
