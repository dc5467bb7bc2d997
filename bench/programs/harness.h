/* SPDX-License-Identifier: MIT */
/* What every benchmark program shares: arguments, clock, random numbers, block contents, threads and the report.
 *
 * A program declares its arguments as a table, calls bench_parse, does its work and ends with bench_report.
 * Nothing here allocates while the work runs, so that all calls to malloc are the benchmark's own. Threads may
 * call everything except bench_parse, bench_flag, bench_option and bench_report, which belong to main.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* One positional argument: a whole number in [min, max], or, when words is set, one of those words. */
typedef struct bench_arg {
    const char *name; /* as the usage line prints it */
    uint64_t value;   /* default on entry, what the user gave afterwards; an index when words is set */
    uint64_t min;     /* smallest number accepted */
    uint64_t max;     /* largest number accepted */
    const char *const *words; /* NULL, or a NULL-terminated list of the accepted words */
} bench_arg_t;

/* Reads `[-v] [-h] ARGUMENTS...` into args; starts the clock. Bad input: one sentence, exit 2. */
void bench_parse(int argc, char **argv, const char *sentence, bench_arg_t *args, size_t count);

/* Removes the option `flag` from argv and tells whether it was there. Call before bench_parse. */
bool bench_flag(int *argc, char **argv, const char *flag);

/* Removes `name VALUE` or `name=VALUE` from argv; NULL when it is absent. Call before bench_parse. */
const char *bench_option(int *argc, char **argv, const char *name);

/* Refuses the command line: prints `<program>: <sentence>` and exits 2. */
_Noreturn void bench_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives up on a failed run: prints `<program>: <sentence>` and exits 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints `name ops=N seconds=S ops_per_sec=R peak_rss_kib=K` when -v was given; returns main's exit code. */
int bench_report(uint64_t operations);

/* Monotonic time in seconds. */
double bench_now(void);

/* Highest resident memory of this process so far, in KiB. */
uint64_t bench_peak_rss_kib(void);

/* A file that bench_resident reads. It stays about this process, also when a child of fork reads it. */
int bench_open_statm(void);

/* Resident memory now, in bytes, by a file from bench_open_statm. */
uint64_t bench_resident(int statm);

/* So many bytes that do not come from the allocator which is judged, shared with children and already touched. */
void *bench_pages(size_t bytes);

/* Runs body(contexts + i * size) for i < count, each in its own thread, and waits for all of them. */
void bench_threads(size_t count, void *(*body)(void *), void *contexts, size_t size);

/* Starts one thread; failure ends the program. */
void bench_thread_start(unsigned long *handle, void *(*body)(void *), void *context);

/* Waits for a thread from bench_thread_start. */
void bench_thread_join(unsigned long handle);

/* Makes the compiler forget where a pointer came from, so that no malloc or free is optimised away. */
static inline void *bench_opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

/* The same for a size: the compiler has to put it in a register and may not fold it. */
static inline size_t bench_opaque_size(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

/* A small fast generator (SplitMix64): every seed gives a different, repeatable stream. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number in [low, high], both included; high - low must be below 2^32. No division: programs call it often. */
static inline uint64_t bench_between(uint64_t *state, uint64_t low, uint64_t high)
{
    return low + (((bench_random(state) >> 32) * (high - low + 1)) >> 32);
}

/* malloc that never returns NULL: a benchmark that ran out of memory has no result. */
static inline void *bench_malloc(size_t size)
{
    void *p = bench_opaque(malloc(size));
    if (p == NULL)
        bench_fail("malloc(%zu) returned no memory", size);
    return p;
}

/* Writes a mark of size and address into the first and last byte, as a program that uses its block would. */
static inline void bench_mark(void *p, size_t size)
{
    unsigned char *bytes = p;
    bytes[0] = (unsigned char)(size * 31 + 7);
    bytes[size - 1] = (unsigned char)(size * 31 + 7);
}

/* Checks bench_mark's bytes; a difference means that two blocks overlapped. */
static inline void bench_check(const void *p, size_t size)
{
    const unsigned char *bytes = p;
    unsigned char expected = (unsigned char)(size * 31 + 7);
    if (bytes[0] != expected || bytes[size - 1] != expected)
        bench_fail("a block of %zu bytes lost its contents", size);
}

/* A block of at least 1 byte, marked. */
static inline void *bench_new(size_t size)
{
    void *p = bench_malloc(size);
    bench_mark(p, size);
    return p;
}

/* Checks and frees a block from bench_new. */
static inline void bench_delete(void *p, size_t size)
{
    bench_check(p, size);
    free(bench_opaque(p));
}

#endif
