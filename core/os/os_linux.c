/* os_linux.c: the system calls. They go through syscall(2) rather than libc's wrappers, because programs and tools
 * interpose mmap and allocate in their interposer. The only state is how to tell a forked child. */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* A system call that leaves errno alone; -1 on failure. */
static long call(long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                 unsigned long e, unsigned long f)
{
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);
    errno = saved;
    return result;
}

static void *map_memory(void *address, size_t size, int protection, int flags)
{
    long result =
        call(SYS_mmap, (unsigned long)address, size, (unsigned long)protection,
             (unsigned long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags), (unsigned long)-1, 0);
    return result == -1 ? NULL : (void *)result; /* NOLINT(performance-no-int-to-ptr) */
}

void *hak_os_map(size_t size, size_t align)
{
    char *at = map_memory(NULL, size, PROT_READ | PROT_WRITE, 0);
    if (at == NULL || ((uintptr_t)at & (align - 1)) == 0)
        return at;
    /* The kernel places mappings one below the other: mapped again with room to cut, the next ones are aligned. */
    hak_os_unmap(at, size);
    size_t slack = align - HAK_OS_PAGE;
    at = map_memory(NULL, size + slack, PROT_READ | PROT_WRITE, 0);
    if (at == NULL)
        return NULL;
    size_t before = hak_round_up((uintptr_t)at, align) - (uintptr_t)at;
    if (before != 0)
        hak_os_unmap(at, before);
    if (before != slack)
        hak_os_unmap(at + before + size, slack - before);
    return at + before;
}

void *hak_os_map_at(void *address, size_t size, bool writable)
{
    void *at = map_memory(address, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_FIXED_NOREPLACE);
    if (at != NULL && at != address) { /* a kernel before 4.17 takes the address as a hint */
        hak_os_unmap(at, size);
        return NULL;
    }
    return at;
}

bool hak_os_make_writable(void *address, size_t size)
{
    return call(SYS_mprotect, (unsigned long)address, size, PROT_READ | PROT_WRITE, 0, 0, 0) == 0;
}

void hak_os_make_readable(void *address, size_t size)
{
    call(SYS_mprotect, (unsigned long)address, size, PROT_READ, 0, 0, 0);
}

void hak_os_forbid(void *address, size_t size)
{
    call(SYS_mprotect, (unsigned long)address, size, PROT_NONE, 0, 0, 0);
}

bool hak_os_unmap(void *address, size_t size)
{
    return call(SYS_munmap, (unsigned long)address, size, 0, 0, 0, 0) == 0;
}

bool hak_os_release(void *address, size_t size)
{
    return call(SYS_munmap, (unsigned long)address, size, 0, 0, 0, 0) == 0;
}

bool hak_os_discard(void *address, size_t size)
{
    return call(SYS_madvise, (unsigned long)address, size, MADV_DONTNEED, 0, 0, 0) == 0;
}

bool hak_os_resize(void *address, size_t old_size, size_t new_size)
{
    return call(SYS_mremap, (unsigned long)address, old_size, new_size, 0, 0, 0) != -1;
}

bool hak_os_move(void *address, size_t old_size, void *target, size_t new_size)
{
    return call(SYS_mremap, (unsigned long)address, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED,
                (unsigned long)target, 0) != -1;
}

void hak_os_huge_pages(void *address, size_t size, bool on)
{
    call(SYS_madvise, (unsigned long)address, size, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, 0, 0, 0);
}

uint64_t hak_os_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static char **early_environment;

void hak_os_use_environment(char **environment)
{
    early_environment = environment;
}

const char *hak_os_environment(const char *name)
{
    size_t length = strlen(name);
    for (char **at = environ != NULL ? environ : early_environment; at != NULL && *at != NULL; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return NULL;
}

void hak_os_random(uint64_t *words, size_t count)
{
    size_t size = count * sizeof *words;
    if (call(SYS_getrandom, (unsigned long)words, size, GRND_NONBLOCK, 0, 0, 0) == (long)size)
        return;
    /* Too early after the machine's start, or forbidden: the 16 bytes that the kernel gives each process. */
    const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM); /* NOLINT(performance-no-int-to-ptr) */
    for (size_t i = 0; i < count; i++)
        words[i] = (given[i % 2] ^ (uintptr_t)words) * (0x9e3779b97f4a7c15ull + 2 * i);
}

const void *hak_os_libraries(void)
{
    return &errno; /* the first thread's storage is mapped with the libraries, also in a program linked with the .a */
}

const void *hak_os_program(void)
{
    return (const void *)getauxval(AT_PHDR); /* NOLINT(performance-no-int-to-ptr) */
}

const char *hak_os_program_end(void)
{
    const ElfW(Phdr) *header = hak_os_program();
    uintptr_t base = 0, end = 0; /* a program without PT_PHDR is where it was linked to be */
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        if (header[i].p_type == PT_PHDR)
            base = (uintptr_t)header - header[i].p_vaddr;
        else if (header[i].p_type == PT_LOAD)
            end = hak_max(end, header[i].p_vaddr + header[i].p_memsz);
    }
    return (const char *)(base + end); /* NOLINT(performance-no-int-to-ptr) */
}

/* A futex call that waits not at all: it reads the word, which no other call does that is needed anyhow (a sandbox may
 * know only those). */
bool hak_os_readable(const void *address)
{
    int saved = errno;
    struct timespec at_once = {.tv_nsec = 0};
    bool readable = syscall(SYS_futex, (unsigned long)address, FUTEX_WAIT_PRIVATE, 0x5eed5eed,
                            (unsigned long)&at_once, 0ul, 0ul) == 0 ||
                    errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR;
    errno = saved;
    return readable;
}

static void (*repair_in_child)(void);
static _Atomic(_Atomic uint32_t *)
    mark; /* points to 1; in a forked child the system makes it 0 (and not in one of vfork) */

void hak_os_on_fork(void (*repair)(void))
{
    repair_in_child = repair;
}

void hak_os_mark_process(void)
{
    _Atomic uint32_t *page = hak_os_map(HAK_OS_PAGE, HAK_OS_PAGE);
    if (page == NULL)
        return;
    atomic_store_explicit(page, 1, memory_order_relaxed);
    if (call(SYS_madvise, (unsigned long)page, HAK_OS_PAGE, MADV_WIPEONFORK, 0, 0, 0) == 0)
        atomic_store_explicit(&mark, page, memory_order_release);
    else
        hak_os_unmap(page, HAK_OS_PAGE);
}

void hak_os_repair(void)
{
    _Atomic uint32_t *marked = atomic_load_explicit(&mark, memory_order_acquire);
    if (marked != NULL && atomic_exchange_explicit(marked, 1, memory_order_relaxed) != 0)
        return;
    repair_in_child();
}

void hak_os_lock_slow(hak_os_lock_t *lock)
{
    if (atomic_load_explicit(&mark, memory_order_relaxed) != NULL && repair_in_child != NULL)
        hak_os_repair();
    /* A holder is done within a few hundred instructions unless it is off its core: try a little, then sleep. */
    for (int i = 0; i < 64; i++) {
        uint32_t unlocked = 0;
        if (atomic_compare_exchange_weak_explicit(&lock->word, &unlocked, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        hak_pause();
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        call(SYS_futex, (unsigned long)&lock->word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

void hak_os_unlock_slow(hak_os_lock_t *lock)
{
    call(SYS_futex, (unsigned long)&lock->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
