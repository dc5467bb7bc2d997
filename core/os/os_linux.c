/* SPDX-License-Identifier: MIT */
/* os_linux.c: memory, the clock, the environment, random numbers, threads. State: whether the program runs, what the system has
 * refused before, how often it was called for memory, where the clock is, and the environment until libc has it. */
#define _GNU_SOURCE
#include "os/os.h"

#include "base/call.h"
#include "base/message.h"
#include "os/times.h"
#include "os/vdso.h"

#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* --- by libc's names ---------------------------------------------------------------------------------------------- */

static _Atomic bool program_runs; /* relaxed: set before there are threads */

void hak_os_program_runs(void)
{
    atomic_store_explicit(&program_runs, true, memory_order_relaxed);
}

/* True if the caller is to use libc's name; then it calls unwatch afterwards, with what this has kept of errno. */
static bool watch(int *saved)
{
    hak_assert(hak_os_thread.held == 0 ||
               atomic_load_explicit(&hak_is_fatal, memory_order_relaxed)); /* the watcher may allocate */
    if (hak_os_thread.watched || !atomic_load_explicit(&program_runs, memory_order_relaxed))
        return false;
    hak_os_thread.watched = true;
    *saved = errno;
    return true;
}

static void unwatch(int saved)
{
    errno = saved;
    hak_os_thread.watched = false;
}

/* --- how often ---------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t memory_calls; /* relaxed: any thread, and a number is all that is asked */

/* Each function below calls it once a system call: an atomic addition beside what costs some fifty times as much. */
static void count_memory_call(void)
{
    if (HAK_STATS)
        atomic_fetch_add_explicit(&memory_calls, 1, memory_order_relaxed);
}

uint64_t hak_os_memory_calls(void)
{
    return atomic_load_explicit(&memory_calls, memory_order_relaxed);
}

/* --- mapping ------------------------------------------------------------------------------------------------------ */

/* A sandbox may know the plain flags of mmap only: what it refuses is left out from then on. */
static bool is_refusal(long answer)
{
    return answer == -EINVAL || answer == -EPERM || answer == -EACCES || answer == -ENOSYS ||
           answer == -EOPNOTSUPP;
}

static _Atomic int refused_flags; /* relaxed: who does not see one is refused again */

/* One mmap; an error's number negated when it fails. */
static long map_once(void *address, size_t size, int protection, int flags, bool seen)
{
    int saved;
    count_memory_call();
    uint64_t since_ns = hak_time_begin();
    if (!seen || !watch(&saved)) {
        long given = hak_call(SYS_mmap, (long)address, (long)size, protection, flags, -1, 0);
        hak_time_end(HAK_TIME_system, since_ns);
        return given;
    }
    void *at = mmap(address, size, protection, flags, -1, 0);
    long answer = at == MAP_FAILED ? -errno : (long)at;
    unwatch(saved);
    hak_time_end(HAK_TIME_system, since_ns);
    return answer;
}

/* The flag that spares memory from being counted would hide that no machine has as much as is asked for at once: so much is asked
 * for without it. A mapping that has it grows unjudged. */
static bool is_judged(size_t more)
{
    return more >= (size_t)256 << 20;
}

static void *map_memory(void *address, size_t size, int protection, int wanted, bool seen)
{
    static const int without[] = {0, MAP_NORESERVE, MAP_FIXED_NOREPLACE, MAP_NORESERVE | MAP_FIXED_NOREPLACE};
    int refused = atomic_load_explicit(&refused_flags, memory_order_relaxed);
    int optional = wanted | (seen && is_judged(size) ? 0 : MAP_NORESERVE);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        if (i != 0 && (optional & ~refused & without[i]) != without[i])
            continue; /* asked for already without these */
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | (optional & ~refused & ~without[i]);
        long answer = map_once(address, size, protection, flags, seen);
        if (!hak_call_failed(answer)) {
            if (without[i] != 0)
                atomic_fetch_or_explicit(&refused_flags, without[i], memory_order_relaxed);
            return (void *)answer; /* NOLINT(performance-no-int-to-ptr) */
        }
        if (!is_refusal(answer))
            return NULL;
    }
    return NULL;
}

static bool unmap(void *address, size_t size, bool seen)
{
    return seen ? hak_os_release(address, size) : hak_os_unmap(address, size);
}

static void *map_aligned(size_t size, size_t align, bool seen)
{
    char *at = map_memory(NULL, size, PROT_READ | PROT_WRITE, 0, seen);
    if (at == NULL || ((uintptr_t)at & (align - 1)) == 0)
        return at;
    /* The kernel places mappings one below the other: mapped again with room to cut, the next ones are aligned. */
    unmap(at, size, seen);
    size_t slack = align - HAK_OS_PAGE;
    at = map_memory(NULL, size + slack, PROT_READ | PROT_WRITE, 0, seen);
    if (at == NULL)
        return NULL;
    size_t before = hak_round_up((uintptr_t)at, align) - (uintptr_t)at;
    if (before != 0)
        unmap(at, before, seen);
    if (before != slack)
        unmap(at + before + size, slack - before, seen);
    return at + before;
}

void *hak_os_map(size_t size, size_t align)
{
    return map_aligned(size, align, false);
}

void *hak_os_map_seen(size_t size, size_t align)
{
    return map_aligned(size, align, true);
}

void *hak_os_map_at(void *address, size_t size, bool writable)
{
    void *at =
        map_memory(address, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_FIXED_NOREPLACE, false);
    if (at != NULL && at != address) { /* where the flag is not known, the address is a hint */
        hak_os_unmap(at, size);
        return NULL;
    }
    return at;
}

/* The kernel's answer. */
static long protect(void *address, size_t size, int protection)
{
    count_memory_call();
    return hak_call(SYS_mprotect, (long)address, (long)size, protection, 0, 0, 0);
}

bool hak_os_make_writable(void *address, size_t size)
{
    long answer = protect(address, size, PROT_READ | PROT_WRITE);
    if (!is_refusal(answer))
        return answer == 0;
    /* Nothing in it counts: another mapping of zeroes in its place is as good. */
    return map_memory(address, size, PROT_READ | PROT_WRITE, MAP_FIXED, false) != NULL;
}

bool hak_os_allow_writes(void *address, size_t size)
{
    return protect(address, size, PROT_READ | PROT_WRITE) == 0;
}

void hak_os_make_readable(void *address, size_t size)
{
    protect(address, size, PROT_READ);
}

bool hak_os_forbid(void *address, size_t size)
{
    return protect(address, size, PROT_NONE) == 0;
}

bool hak_os_unmap(void *address, size_t size)
{
    count_memory_call();
    return hak_call(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0) == 0;
}

HAK_INLINE bool release(void *address, size_t size)
{
    int saved;
    if (!watch(&saved))
        return hak_os_unmap(address, size);
    count_memory_call();
    bool done = munmap(address, size) == 0;
    unwatch(saved);
    return done;
}

bool hak_os_release(void *address, size_t size)
{
    uint64_t since_ns = hak_time_begin();
    bool done = release(address, size);
    hak_time_end(HAK_TIME_system, since_ns);
    return done;
}

HAK_INLINE bool discard(void *address, size_t size)
{
    int saved;
    count_memory_call();
    if (!watch(&saved))
        return hak_call(SYS_madvise, (long)address, (long)size, MADV_DONTNEED, 0, 0, 0) == 0;
    bool done = madvise(address, size, MADV_DONTNEED) == 0;
    unwatch(saved);
    return done;
}

bool hak_os_discard(void *address, size_t size)
{
    uint64_t since_ns = hak_time_begin();
    bool done = discard(address, size);
    hak_time_end(HAK_TIME_system, since_ns);
    return done;
}

/* One mremap in place; an error's number negated when it fails. */
static long resize(void *address, size_t old_size, size_t new_size)
{
    int saved;
    count_memory_call();
    if (!watch(&saved))
        return hak_call(SYS_mremap, (long)address, (long)old_size, (long)new_size, 0, 0, 0);
    long answer = mremap(address, old_size, new_size, 0) == MAP_FAILED ? -errno : 0;
    unwatch(saved);
    return answer;
}

bool hak_os_resize(void *address, size_t old_size, size_t new_size, bool *no_room)
{
    *no_room = false;
    if (new_size > old_size && is_judged(new_size - old_size))
        return false;
    long answer = resize(address, old_size, new_size);
    *no_room = answer == -ENOMEM;
    return !hak_call_failed(answer);
}

bool hak_os_is_mapped(const void *address, size_t size)
{
    count_memory_call();
    return hak_call(SYS_msync, (long)address, (long)size, MS_ASYNC, 0, 0, 0) == 0;
}

bool hak_os_move(void *address, size_t old_size, void *target, size_t new_size)
{
    int saved, how = MREMAP_MAYMOVE | MREMAP_FIXED;
    count_memory_call();
    if (!watch(&saved))
        return !hak_call_failed(
            hak_call(SYS_mremap, (long)address, (long)old_size, (long)new_size, how, (long)target, 0));
    bool done = mremap(address, old_size, new_size, how, target) != MAP_FAILED;
    unwatch(saved);
    return done;
}

void hak_os_thp(void *address, size_t size, bool on)
{
    count_memory_call();
    hak_call(SYS_madvise, (long)address, (long)size, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, 0, 0, 0);
}

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; before that it fails */
#define MADV_POPULATE_WRITE 23
#endif

void hak_os_populate(void *address, size_t size)
{
    count_memory_call();
    hak_call(SYS_madvise, (long)address, (long)size, MADV_POPULATE_WRITE, 0, 0, 0);
}

bool hak_os_locks_memory(void *page)
{
    count_memory_call();
    return hak_call(SYS_madvise, (long)page, HAK_OS_PAGE, MADV_DONTNEED, 0, 0, 0) == -EINVAL;
}

/* SIZE_MAX without a limit. */
static size_t limit_of(int resource)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    long answer = hak_call(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0);
    return hak_call_failed(answer) || limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : limit.rlim_cur;
}

size_t hak_os_space_limit(void)
{
    return limit_of(RLIMIT_AS);
}

size_t hak_os_memory_limit(void)
{
    return hak_min(limit_of(RLIMIT_AS), limit_of(RLIMIT_DATA));
}

/* --- clock -------------------------------------------------------------------------------------------------------- */

static int clock_by_call(clockid_t id, struct timespec *now)
{
    return (int)hak_call(SYS_clock_gettime, id, (long)now, 0, 0, 0, 0);
}

/* Looked for once; two threads that look at the same time find the same. */
static hak_clock_t find_clock(void)
{
    static _Atomic(hak_clock_t) found; /* relaxed: each thread finds the same */
    hak_clock_t clock = atomic_load_explicit(&found, memory_order_relaxed);
    if (hak_likely(clock != NULL))
        return clock;
    int saved = errno; /* getauxval sets it where the kernel maps no clock */
    clock = hak_vdso_clock((const void *)getauxval(AT_SYSINFO_EHDR)); /* NOLINT(performance-no-int-to-ptr) */
    errno = saved;
    if (clock == NULL)
        clock = clock_by_call;
    atomic_store_explicit(&found, clock, memory_order_relaxed);
    return clock;
}

/* Where instructions are counted, something that is preloaded defines these (bench/programs/steady.c), so that equal runs count
 * the same; nothing else does. They take no lock and do not allocate. */
__attribute__((weak, visibility("default"))) extern uint64_t hakmem_steady_ms(void);
__attribute__((weak, visibility("default"))) extern uint64_t hakmem_steady_random(void);

uint64_t hak_os_now_ms(void)
{
    if (hak_unlikely(hakmem_steady_ms != NULL))
        return hakmem_steady_ms();
    struct timespec now = {0}; /* a clock that is refused stands still */
    if (find_clock()(CLOCK_MONOTONIC_COARSE, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t hak_os_now_ns(void)
{
    if (hak_unlikely(hakmem_steady_ms != NULL))
        return hakmem_steady_ms() * 1000000;
    struct timespec now = {0};
    if (find_clock()(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- the process -------------------------------------------------------------------------------------------------- */

static char **early_environment;

void hak_os_use_environment(char **environment)
{
    early_environment = environment;
}

char *const *hak_os_environment_list(void)
{
    if (getauxval(AT_SECURE) != 0)
        return NULL;
    return environ != NULL ? environ : early_environment;
}

const char *hak_os_environment(const char *name)
{
    size_t length = strlen(name);
    for (char *const *at = hak_os_environment_list(); at != NULL && *at != NULL; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return NULL;
}

void hak_os_random(uint64_t *words, size_t count)
{
    long size = (long)(count * sizeof *words);
    if (hak_unlikely(hakmem_steady_random != NULL)) {
        for (size_t i = 0; i < count; i++)
            words[i] = hakmem_steady_random();
        return;
    }
    if (hak_call(SYS_getrandom, (long)words, size, GRND_NONBLOCK, 0, 0, 0) == size)
        return;
    /* Too early after the machine's start, or forbidden: the 16 bytes that the kernel gives each process. */
    const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); /* NOLINT(performance-no-int-to-ptr) */
    for (size_t i = 0; i < count; i++)
        words[i] = (given[i % 2] ^ (uintptr_t)words) * (0x9e3779b97f4a7c15ull + 2 * i);
}

/* As the kernel wants it. Not by libc's sigaction: a sanitizer is in front of that, and not ready when we start. */
typedef struct action {
    void (*handler)(int signal);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
} action_t;

#if defined(__x86_64__)
#define RESTORER_FLAG 0x04000000ul
void hak_os_signal_return(void) HAK_HIDDEN;
__asm__(
    ".pushsection .text.hak_os_signal_return,\"ax\",@progbits\n"
    ".hidden hak_os_signal_return\n.globl hak_os_signal_return\n.type hak_os_signal_return,@function\n"
    "hak_os_signal_return:\n\tmovl $15, %eax\n\tsyscall\n.size hak_os_signal_return, . - hak_os_signal_return\n"
    ".popsection");
#define RESTORER hak_os_signal_return
#else
#define RESTORER_FLAG 0ul
#define RESTORER      NULL
#endif

void hak_os_on_signal(int signal, void (*handler)(int signal))
{
    action_t before = {0};
    /* SA_ONSTACK: it may come while a small stack is in use, of a coroutine, whose thread has another one for signals */
    action_t after = {
        .handler = handler, .flags = SA_RESTART | SA_ONSTACK | RESTORER_FLAG, .restorer = RESTORER};
    long size = (long)sizeof after.mask;
    if (hak_call(SYS_rt_sigaction, signal, 0, (long)&before, size, 0, 0) == 0 && before.handler == SIG_DFL)
        hak_call(SYS_rt_sigaction, signal, (long)&after, 0, size, 0, 0);
}

const void *hak_os_libraries(void)
{
    return &errno; /* the first thread's storage is mapped with the libraries, also in a program linked with the .a */
}

#define LOADER_MOST ((size_t)1 << 20) /* bytes; it has some 220 KiB */

const void *hak_os_libraries_end(void)
{
    uintptr_t loader = getauxval(AT_BASE);
    if (loader == 0)
        return hak_os_libraries();
    return (const void *)(loader + LOADER_MOST); /* NOLINT(performance-no-int-to-ptr) */
}

const void *hak_os_program(void)
{
    return (const void *)getauxval(AT_PHDR); /* NOLINT(performance-no-int-to-ptr) */
}

size_t hak_os_program_parts(void)
{
    return getauxval(AT_PHNUM);
}

uintptr_t hak_os_program_base(void)
{
    const ElfW(Phdr) *part = hak_os_program();
    for (size_t i = 0; i < hak_os_program_parts(); i++)
        if (part[i].p_type == PT_PHDR)
            return (uintptr_t)part - part[i].p_vaddr;
    return 0;
}

const char *hak_os_program_end(void)
{
    const ElfW(Phdr) *part = hak_os_program();
    uintptr_t end = 0;
    for (size_t i = 0; i < hak_os_program_parts(); i++)
        if (part[i].p_type == PT_LOAD)
            end = hak_max(end, part[i].p_vaddr + part[i].p_memsz);
    return (const char *)(hak_os_program_base() + end); /* NOLINT(performance-no-int-to-ptr) */
}

/* The error, or 0, of a futex call that waits not at all: it reads the word, which no other call does that is needed anyhow (a
 * sandbox may know only those). */
static int read_by_kernel(const void *address)
{
    struct timespec at_once = {.tv_nsec = 0};
    return (int)-hak_call(SYS_futex, (long)address, FUTEX_WAIT_PRIVATE, 0x5eed5eed, (long)&at_once, 0, 0);
}

bool hak_os_readable(const void *address)
{
    int error = read_by_kernel(address);
    return error == 0 || error == EAGAIN || error == ETIMEDOUT || error == EINTR;
}

bool hak_os_unmapped(const void *address)
{
    return read_by_kernel(address) == EFAULT;
}

#define STACK_MOST ((uintptr_t)8 << 20) /* bytes: what is further up may be beyond the stack of a coroutine */

/* A thread's storage lies at the top of its stack, but for the first one's, which is below: there the program's name is. */
bool hak_os_on_stack(const void *address)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t storage = (uintptr_t)&errno;
    uintptr_t end = storage > here ? storage : getauxval(AT_EXECFN);
    return (uintptr_t)address - here < STACK_MOST && (uintptr_t)address < end;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

uint64_t hak_os_thread_name(void)
{
    uint64_t process = (uint64_t)hak_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    return process << 32 | (uint32_t)hak_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

bool hak_os_thread_ended(uint64_t name, uint64_t self)
{
    return name >> 32 == self >> 32 &&
           hak_call(SYS_tgkill, (long)(name >> 32), (long)(uint32_t)name, 0, 0, 0, 0) == -ESRCH;
}
