/* SPDX-License-Identifier: MIT */
/* Fast-path micro-benchmark: one allocation pattern, repeated, so that the difference between two iteration counts
 * is the cost of an operation and nothing else.
 *
 * Every pattern exists twice: `pair64` makes the calls, `empty:pair64` runs the same loop, with the same sizes, slots
 * and writes, but uses one static address as every block; where the call would stand it has an empty statement
 * that needs the same argument registers and spoils the same others. Subtracting both leaves malloc and free with
 * call and PLT stub. Before the counted loop each pattern warms itself up with a fixed amount of work. One thread.
 *
 * `each` runs all patterns, `empty:each` all twins, each in a child of its own, which has allocated nothing before: under a tool
 * that is slow to start, that is one start instead of many. A line of output says which process ran which pattern.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    batch = 100,
    slots = 1024,
    few_slots = 64,
    warm_up = 20000,
    steps = 250
};

typedef struct pattern pattern_t;

struct pattern {
    const char *name;
    void (*calls)(const pattern_t *, uint64_t count);
    void (*empty)(const pattern_t *, uint64_t count);
    size_t size;  /* bytes; the largest size of random patterns, the step of growing ones */
    size_t small; /* smallest size of random patterns */
    size_t round; /* iterations come in multiples of this */
};

static void *table[slots]; /* live blocks; the empty twins use its address in place of a block */

/* Stands for a call with two arguments: no instruction, but the registers of one. */
INLINE void no_call(uintptr_t first, uintptr_t second)
{
#if defined(__x86_64__)
    __asm__ volatile(""
                     : "+D"(first), "+S"(second)
                     :
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
#else
    __asm__ volatile("" : "+r"(first), "+r"(second) : : "memory");
#endif
}

/* The same for one argument. */
INLINE void no_call_1(uintptr_t first)
{
#if defined(__x86_64__)
    __asm__ volatile(""
                     : "+D"(first)
                     :
                     : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#else
    __asm__ volatile("" : "+r"(first) : : "memory");
#endif
}

INLINE void *take(bool empty, size_t size)
{
    if (empty) {
        no_call_1(size);
        return table;
    }
    return bench_opaque(malloc(size));
}

INLINE void *take_zeroed(bool empty, size_t size)
{
    if (empty) {
        no_call(1, size);
        return table;
    }
    return bench_opaque(calloc(1, size));
}

INLINE void *resize(bool empty, void *p, size_t size)
{
    if (empty) {
        no_call((uintptr_t)p, size);
        return table;
    }
    return bench_opaque(realloc(p, size));
}

INLINE void give(bool empty, void *p)
{
    if (empty)
        no_call_1((uintptr_t)p);
    else
        free(p);
}

INLINE void touch(void *p)
{
    *(volatile char *)p = 1;
}

INLINE void run_pair(bool empty, const pattern_t *pattern, uint64_t count)
{
    size_t size = pattern->size;
    for (uint64_t i = 0; i < count; i++) {
        void *p = take(empty, size);
        touch(p);
        give(empty, p);
    }
}

/* The most recent block of a batch is freed first. */
INLINE void run_lifo(bool empty, const pattern_t *pattern, uint64_t count)
{
    size_t size = pattern->size;
    for (uint64_t i = 0; i < count; i += batch) {
        for (size_t k = 0; k < batch; k++)
            touch(table[k] = take(empty, size));
        for (size_t k = batch; k-- > 0;)
            give(empty, table[k]);
    }
}

/* The oldest block of a batch is freed first. */
INLINE void run_fifo(bool empty, const pattern_t *pattern, uint64_t count)
{
    size_t size = pattern->size;
    for (uint64_t i = 0; i < count; i += batch) {
        for (size_t k = 0; k < batch; k++)
            touch(table[k] = take(empty, size));
        for (size_t k = 0; k < batch; k++)
            give(empty, table[k]);
    }
}

/* A linear congruential step whose constants fit into instructions: the loop below must not run out of registers,
 * or its spills would differ between the twins.
 */
INLINE uint64_t next(uint64_t state)
{
    return state * 0x5d588b65 + 1;
}

INLINE size_t size_from(uint64_t state, size_t small, size_t range)
{
    return small + (((state >> 32) * range) >> 32);
}

static __attribute__((noinline)) void fill_table(bool empty, size_t live, size_t small, size_t range)
{
    uint64_t state = 1;
    for (size_t k = 0; k < live; k++) {
        state = next(state);
        table[k] = take(empty, size_from(state, small, range));
    }
}

static __attribute__((noinline)) void empty_table(bool empty, size_t live)
{
    for (size_t k = 0; k < live; k++)
        give(empty, table[k]);
}

/* Replaces random ones of so many live blocks by blocks of random sizes. */
INLINE void replace(bool empty, const pattern_t *pattern, uint64_t count, size_t live)
{
    uint64_t state = 2;
    size_t small = pattern->small;
    size_t range = pattern->size - small + 1;
    fill_table(empty, live, small, range);
    while (count-- > 0) {
        state = next(state);
        void **slot = &table[(state >> 20) & (live - 1)];
        give(empty, *slot);
        touch(*slot = take(empty, size_from(state, small, range)));
    }
    empty_table(empty, live);
}

INLINE void run_random(bool empty, const pattern_t *pattern, uint64_t count)
{
    replace(empty, pattern, count, slots);
}

INLINE void run_few(bool empty, const pattern_t *pattern, uint64_t count)
{
    replace(empty, pattern, count, few_slots);
}

INLINE void run_calloc(bool empty, const pattern_t *pattern, uint64_t count)
{
    size_t size = pattern->size;
    for (uint64_t i = 0; i < count; i++) {
        void *p = take_zeroed(empty, size);
        touch(p);
        give(empty, p);
    }
}

/* Grows a block 250 times by one step, frees it and starts again. */
INLINE void run_grow(bool empty, const pattern_t *pattern, uint64_t count)
{
    size_t step = pattern->size;
    for (uint64_t i = 0; i < count; i += steps) {
        void *p = NULL;
        for (size_t size = step; size <= steps * step; size += step) {
            p = resize(empty, p, size);
            touch(p);
        }
        give(empty, p);
    }
}

/* Both twins of a pattern are functions of their own, so that neither disturbs the registers of another. */
#define TWINS(name)                                                                                          \
    static __attribute__((noinline)) void name##_calls(const pattern_t *pattern, uint64_t count)             \
    {                                                                                                        \
        run_##name(false, pattern, count);                                                                   \
    }                                                                                                        \
    static __attribute__((noinline)) void name##_empty(const pattern_t *pattern, uint64_t count)             \
    {                                                                                                        \
        run_##name(true, pattern, count);                                                                    \
    }
TWINS(pair)
TWINS(lifo)
TWINS(fifo)
TWINS(random)
TWINS(few)
TWINS(calloc)
TWINS(grow)

#define KIB ((size_t)1024)

static const pattern_t patterns[] = {
    {"pair64", pair_calls, pair_empty, 64, 0, 1},
    {"lifo64", lifo_calls, lifo_empty, 64, 0, batch},
    {"fifo64", fifo_calls, fifo_empty, 64, 0, batch},
    {"random1024", random_calls, random_empty, 1024, 16, 1},
    {"mid32k", random_calls, random_empty, 32 * KIB, 1 * KIB, 1},
    {"pair64k", pair_calls, pair_empty, 64 * KIB, 0, 1},
    {"pair256k", pair_calls, pair_empty, 256 * KIB, 0, 1},
    {"pair2m", pair_calls, pair_empty, 2048 * KIB, 0, 1},
    {"random2m", few_calls, few_empty, 2048 * KIB, 64 * KIB, 1},
    {"calloc64", calloc_calls, calloc_empty, 64, 0, 1},
    {"realloc16", grow_calls, grow_empty, 16, 0, steps},
};

enum {
    pattern_count = sizeof patterns / sizeof patterns[0],
    each = 2 * pattern_count,
    each_empty
};

static void check_round(const pattern_t *pattern, uint64_t iterations)
{
    if (iterations % pattern->round != 0)
        bench_usage_error("ITERATIONS of %s must be a multiple of %zu", pattern->name, pattern->round);
}

static void run_one(const pattern_t *pattern, bool empty, uint64_t iterations)
{
    void (*run)(const pattern_t *, uint64_t) = empty ? pattern->empty : pattern->calls;
    run(pattern, warm_up);
    run(pattern, iterations);
}

/* Without malloc, stdio's too: what a child starts with is what a program starts with. */
static void run_each(bool empty, uint64_t iterations)
{
    for (size_t i = 0; i < pattern_count; i++) {
        const pid_t child = fork();
        if (child == 0) {
            run_one(&patterns[i], empty, iterations);
            _exit(0);
        }
        int status = 1;
        char line[64];
        const int length = snprintf(line, sizeof line, "%d %s\n", (int)child, patterns[i].name);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0 ||
            write(STDOUT_FILENO, line, (size_t)length) != length)
            bench_fail("%s: its process did not end well (status %d)", patterns[i].name, status);
    }
}

int main(int argc, char **argv)
{
    static char empty_names[pattern_count][32];
    static const char *words[2 * pattern_count + 3];
    for (size_t i = 0; i < pattern_count; i++) {
        strcpy(empty_names[i], "empty:");
        strcat(empty_names[i], patterns[i].name);
        words[i] = patterns[i].name;
        words[pattern_count + i] = empty_names[i];
    }
    words[each] = "each";
    words[each_empty] = "empty:each";
    bench_arg_t args[] = {
        {.name = "PATTERN", .value = 0, .words = words},
        {.name = "ITERATIONS", .value = 30000000, .min = 0, .max = 1000000000000u},
    };
    bench_parse(argc, argv, "Repeats one allocation pattern; empty:PATTERN runs its loop without the calls.",
                args, 2);
    size_t chosen = args[0].value;
    const uint64_t iterations = args[1].value;
    for (size_t i = 0; i < pattern_count; i++)
        if (chosen >= each || i == chosen % pattern_count)
            check_round(&patterns[i], iterations);
    if (chosen >= each) {
        run_each(chosen == each_empty, iterations);
        return 0;
    }
    run_one(&patterns[chosen % pattern_count], chosen >= pattern_count, iterations);
    return bench_report(iterations);
}
