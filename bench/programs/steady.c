/* steady.c: preloaded before the library where its work is counted, so that equal runs count the same.
 *
 * Two things differ between equal runs: how much time passes, which decides when free memory goes back to the system
 * (valgrind makes a run fifty times longer, and half a second of it passes sooner or later), and the random numbers of
 * the hardened variants. Here the coarse clock, which no other part of these programs reads, moves on by one
 * millisecond with each look at it, and getrandom by way of syscall(2) gives the same numbers. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static _Atomic uint64_t looks;
static _Atomic uint64_t drawn;

static long enter(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC_COARSE)
        return (int)enter(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0);
    uint64_t ms = 3600000 + looks++;
    now->tv_sec = (time_t)(ms / 1000);
    now->tv_nsec = (long)(ms % 1000) * 1000000;
    return 0;
}

static long fill(unsigned char *bytes, long size)
{
    for (long i = 0; i < size; i++)
        bytes[i] = (unsigned char)((drawn++ * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull) >> 56);
    return size;
}

/* The wrapper of libc is variadic, and takes whatever the registers hold: so does this. */
EXPORT long steady_call(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

EXPORT long steady_call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_getrandom)
        return fill((unsigned char *)a, b); /* NOLINT(performance-no-int-to-ptr) */
    return enter(number, a, b, c, d, e, f);
}
