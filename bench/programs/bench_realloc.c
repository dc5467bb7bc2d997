/* SPDX-License-Identifier: MIT */
/* Growth by realloc: a set of vectors, random ones of which grow, half of them by a few bytes as strings do, half by
 * a half as arrays do; a vector that has reached its own limit is checked, freed and starts again. One thread.
 */
#include "harness.h"

#include <string.h>

enum {
    vectors = 64,
    first_size = 16
};

typedef struct vector {
    unsigned char *bytes;
    size_t size;  /* bytes now */
    size_t limit; /* bytes at which it ends */
    bool array;   /* grows by a half, not by a few bytes */
} vector_t;

static void start(vector_t *vector, uint64_t *state)
{
    bool array = bench_between(state, 0, 1) != 0;
    vector->array = array;
    vector->size = first_size;
    vector->limit =
        array ? bench_between(state, 1u << 10, 1u << 20) : bench_between(state, 1u << 8, 1u << 13);
    vector->bytes = bench_new(first_size);
}

static void grow(vector_t *vector, uint64_t *state)
{
    size_t size = vector->size + (vector->array ? vector->size / 2 : bench_between(state, 1, 64));
    unsigned char *bytes = bench_opaque(realloc(vector->bytes, size));
    if (bytes == NULL)
        bench_fail("realloc to %zu bytes returned no memory", size);
    if (bytes[0] != (unsigned char)(first_size * 31 + 7))
        bench_fail("realloc to %zu bytes lost the first byte", size);
    memset(bytes + vector->size, 0x5a, size - vector->size);
    vector->bytes = bytes;
    vector->size = size;
}

static void end(vector_t *vector)
{
    if (vector->size > first_size && vector->bytes[vector->size - 1] != 0x5a)
        bench_fail("a vector of %zu bytes lost its last byte", vector->size);
    free(vector->bytes);
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "STEPS", .value = 1000000, .min = 1, .max = 1000000000000u},
        {.name = "SEED", .value = 12, .max = UINT64_MAX},
    };
    bench_parse(argc, argv, "Grows random ones of 64 vectors by realloc, by a few bytes or by a half.", args,
                2);
    uint64_t state = args[1].value;
    vector_t vector[vectors];
    for (size_t k = 0; k < vectors; k++)
        start(&vector[k], &state);
    for (uint64_t i = 0; i < args[0].value; i++) {
        vector_t *grown = &vector[bench_between(&state, 0, vectors - 1)];
        grow(grown, &state);
        if (grown->size >= grown->limit) {
            end(grown);
            start(grown, &state);
        }
    }
    for (size_t k = 0; k < vectors; k++)
        end(&vector[k]);
    return bench_report(args[0].value);
}
