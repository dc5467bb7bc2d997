/* SPDX-License-Identifier: MIT */
/* The program puts itself in front of libc's names, and each of its functions allocates, as tools do that are preloaded: nothing
 * deadlocks or ends, whichever thread calls what, at start and later. And whoever watches munmap, madvise and mremap (memory that
 * is registered with a device) sees what blocks lay in go, with a malloc that works. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include "threads.h"

static atomic_int in_clock, in_syscall, in_key, in_write;
static atomic_int releases, discards, moves;
static _Thread_local int depth;

static void allocate(void)
{
    if (depth++ == 0) {
        void *volatile blocks[20];
        for (size_t i = 0; i < 20; i++)
            blocks[i] = malloc(64 + i * 300);
        blocks[0] = realloc(blocks[0], 300000);
        for (size_t i = 0; i < 20; i++)
            free(blocks[i]);
    }
    depth--;
}

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long answer;
    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (answer < 0 && answer > -4096) {
        errno = (int)-answer;
        return -1;
    }
    return answer;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    in_clock++;
    allocate();
    return (int)raw(SYS_clock_gettime, id, (long)now, 0, 0, 0, 0);
}

long syscall(long number, ...)
{
    in_syscall++;
    allocate();
    errno = ENOSYS;
    return -1 + 0 * number;
}

ssize_t write(int file, const void *bytes, size_t size)
{
    in_write++;
    allocate();
    return raw(SYS_write, file, (long)bytes, (long)size, 0, 0, 0);
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
    static int (*next)(pthread_key_t, const void *);
    in_key++;
    allocate();
    if (next == NULL)
        next = (int (*)(pthread_key_t, const void *))dlsym(RTLD_NEXT, "pthread_setspecific");
    return next(key, value);
}

int munmap(void *address, size_t size)
{
    releases++;
    allocate();
    return (int)raw(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

int madvise(void *address, size_t size, int advice)
{
    discards += advice == MADV_DONTNEED;
    allocate();
    return (int)raw(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

void *mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    moves++;
    allocate();
    return (void *)raw(SYS_mremap, (long)address, (long)old_size, (long)new_size, flags, (long)target, 0);
}

static void *churn(void *index)
{
    enum {
        SLOTS = 100
    };
    void *blocks[SLOTS] = {NULL};
    uint64_t random = (uintptr_t)index + 1;
    for (int step = 0; step < 20000; step++) {
        const size_t i = next_random(&random) % SLOTS;
        free(blocks[i]);
        blocks[i] = malloc(step % 100 == 0 ? next_random(&random) % 5000000 : random_size(&random, 400000));
        CHECK(blocks[i] != NULL, "no memory");
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(blocks[i]);
    return NULL;
}

static void preinit(void)
{
    free(escape(malloc(100)));
}

__attribute__((section(".preinit_array"), used)) static void (*entry)(void) = preinit;

int main(void)
{
    alarm(50);
    churn((void *)5);
    CHECK(run_threads(4, churn) == 0, "threads");
    char *block = malloc(3000000);
    for (size_t size = 4000000; size < 100000000; size *= 2) {
        char *other = malloc(3000000); /* in the way */
        block = realloc(block, size);
        CHECK(block != NULL, "no memory to grow");
        free(other);
    }
    free(block);
    free(escape(malloc(200000)));
    void *(*libc_malloc)(size_t);
    *(void **)&libc_malloc = dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "malloc");
    free(escape(libc_malloc(100))); /* whether the words around it are there is asked of the kernel */
    void *kept = malloc(250000);
    memset(escape(kept), 1, 250000);
    free(kept);
    void (*trim)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "hakmem_trim");
    if (trim == NULL)
        return 0; /* the C library is under no obligation */
    trim();
    CHECK(in_clock == 0 && in_syscall == 0, "%d calls of clock_gettime, %d of syscall", in_clock, in_syscall);
    CHECK(releases > 0, "no block that was unmapped was seen, though %d were moved", moves);
    CHECK(discards > 0, "no page that was given back was seen");
    return 0;
}
