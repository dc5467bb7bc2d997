/* Fast-path micro-benchmark: one allocation pattern, repeated, so that the difference between two iteration counts
 * is the cost of an operation and nothing else.
 *
 * Every pattern exists twice: `pair64` makes the calls, `empty:pair64` runs the same loop, with the same sizes, slots
 * and writes, but takes its pointers from one static block. Subtracting both leaves malloc and free with call and PLT
 * stub. Before the counted loop each pattern warms itself up with a fixed amount of work. One thread.
 */
#include "harness.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    batch = 100,
    slots = 1024,
    warm_up = 20000,
    steps = 250
};

typedef enum shape {
    PAIR,
    LIFO,
    FIFO,
    RANDOM,
    CALLOC,
    GROW
} shape_t;

typedef struct pattern {
    const char *name;
    shape_t shape;
    size_t size;  /* bytes; the largest for RANDOM, the step for GROW */
    size_t small; /* smallest for RANDOM */
    size_t round; /* iterations come in multiples of this */
} pattern_t;

#define KIB ((size_t)1024)

/* One row a pattern; RANDOM replaces one of 1024 live blocks, GROW reallocates one block 250 times. */
static const pattern_t patterns[] = {
    {"pair64", PAIR, 64, 0, 1},
    {"lifo64", LIFO, 64, 0, batch},
    {"fifo64", FIFO, 64, 0, batch},
    {"random1024", RANDOM, 1024, 16, 1},
    {"mid32k", RANDOM, 32 * KIB, 1 * KIB, 1},
    {"pair64k", PAIR, 64 * KIB, 0, 1},
    {"pair256k", PAIR, 256 * KIB, 0, 1},
    {"pair2m", PAIR, 2048 * KIB, 0, 1},
    {"calloc64", CALLOC, 64, 0, 1},
    {"realloc16", GROW, 16, 0, steps},
};

enum {
    pattern_count = sizeof patterns / sizeof patterns[0]
};

static char block[64]; /* what the empty twins use in place of memory */
static void *table[slots];

INLINE void *take(bool empty, size_t size)
{
    size = bench_opaque_size(size);
    return bench_opaque(empty ? block : malloc(size));
}

INLINE void give(bool empty, void *p)
{
    p = bench_opaque(p);
    if (!empty) {
        free(p);
    }
}

INLINE void touch(void *p)
{
    *(char *)p = 1;
}

INLINE void run_pair(bool empty, uint64_t count, size_t size)
{
    for (uint64_t i = 0; i < count; i++) {
        void *p = take(empty, size);
        touch(p);
        give(empty, p);
    }
}

INLINE void run_batch(bool empty, uint64_t count, size_t size, bool backwards)
{
    for (uint64_t i = 0; i < count; i += batch) {
        for (size_t k = 0; k < batch; k++) {
            table[k] = take(empty, size);
            touch(table[k]);
        }
        for (size_t k = 0; k < batch; k++) {
            give(empty, table[backwards ? batch - 1 - k : k]);
        }
    }
}

INLINE void run_random(bool empty, uint64_t count, size_t small, size_t large)
{
    uint64_t state = 1;
    for (size_t k = 0; k < slots; k++) {
        table[k] = take(empty, bench_between(&state, small, large));
    }
    for (uint64_t i = 0; i < count; i++) {
        size_t k = bench_random(&state) & (slots - 1);
        give(empty, table[k]);
        table[k] = take(empty, bench_between(&state, small, large));
        touch(table[k]);
    }
    for (size_t k = 0; k < slots; k++) {
        give(empty, table[k]);
    }
}

INLINE void run_calloc(bool empty, uint64_t count, size_t size)
{
    for (uint64_t i = 0; i < count; i++) {
        size_t n = bench_opaque_size(size);
        char *p = bench_opaque(empty ? block : calloc(1, n));
        touch(p);
        give(empty, p);
    }
}

INLINE void run_grow(bool empty, uint64_t count, size_t step)
{
    for (uint64_t i = 0; i < count; i += steps) {
        void *p = NULL;
        for (size_t k = 1; k <= steps; k++) {
            size_t n = bench_opaque_size(k * step);
            p = bench_opaque(empty ? block : realloc(p, n));
            touch(p);
        }
        give(empty, p);
    }
}

INLINE void run_shape(bool empty, const pattern_t *pattern, uint64_t count)
{
    switch (pattern->shape) {
    case PAIR: run_pair(empty, count, pattern->size); break;
    case LIFO: run_batch(empty, count, pattern->size, true); break;
    case FIFO: run_batch(empty, count, pattern->size, false); break;
    case RANDOM: run_random(empty, count, pattern->small, pattern->size); break;
    case CALLOC: run_calloc(empty, count, pattern->size); break;
    case GROW: run_grow(empty, count, pattern->size); break;
    }
}

static __attribute__((noinline)) void run_empty(const pattern_t *pattern, uint64_t count)
{
    run_shape(true, pattern, count);
}

static __attribute__((noinline)) void run_calls(const pattern_t *pattern, uint64_t count)
{
    run_shape(false, pattern, count);
}

int main(int argc, char **argv)
{
    static char empty_names[pattern_count][32];
    static const char *words[2 * pattern_count + 1];
    for (size_t i = 0; i < pattern_count; i++) {
        strcpy(empty_names[i], "empty:");
        strcat(empty_names[i], patterns[i].name);
        words[i] = patterns[i].name;
        words[pattern_count + i] = empty_names[i];
    }
    bench_arg_t args[] = {
        {.name = "PATTERN", .value = 0, .words = words},
        {.name = "ITERATIONS", .value = 10000000, .min = 0, .max = 1000000000000u},
    };
    bench_parse(argc, argv, "Repeats one allocation pattern; empty:PATTERN runs its loop without the calls.",
                args, 2);
    size_t chosen = args[0].value;
    bool empty = chosen >= pattern_count;
    const pattern_t *pattern = &patterns[empty ? chosen - pattern_count : chosen];
    uint64_t iterations = args[1].value;
    if (iterations % pattern->round != 0) {
        bench_usage_error("ITERATIONS of %s must be a multiple of %zu", pattern->name, pattern->round);
    }
    if (empty) {
        run_empty(pattern, warm_up);
        run_empty(pattern, iterations);
    } else {
        run_calls(pattern, warm_up);
        run_calls(pattern, iterations);
    }
    return bench_report(iterations);
}
