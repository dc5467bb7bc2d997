/* SPDX-License-Identifier: MIT */
/* Memory beyond what was asked for: blocks are taken and written in full, then all but one in eight are freed in random
 * order. `filled` is resident memory for each byte asked for, `left` the same for what is still in use. One thread.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

enum {
    kept = 8 /* one block in so many stays */
};

typedef struct piece {
    unsigned char *block;
    size_t size; /* bytes */
} piece_t;

static void shuffle(piece_t *table, uint64_t count, uint64_t *state)
{
    for (uint64_t i = count - 1; i > 0; i--) {
        uint64_t k = bench_between(state, 0, i);
        piece_t other = table[k];
        table[k] = table[i];
        table[i] = other;
    }
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "COUNT", .value = 100000, .min = 8, .max = 1u << 28},
        {.name = "MIN", .value = 16, .min = 1, .max = 1u << 30},
        {.name = "MAX", .value = 1039, .min = 1, .max = 1u << 30},
        {.name = "SEED", .value = 5, .max = UINT64_MAX},
    };
    bool ratios = bench_flag(&argc, argv, "--ratios");
    bench_parse(argc, argv, "Resident memory beyond what was asked for; --ratios prints it.", args, 4);
    if (args[1].value > args[2].value)
        bench_usage_error("MIN must not be above MAX");
    uint64_t count = args[0].value, state = args[3].value, asked = 0, left = 0;
    piece_t *table = bench_pages(count * sizeof(piece_t));
    int statm = bench_open_statm();
    uint64_t before = bench_resident(statm);
    for (uint64_t i = 0; i < count; i++) {
        size_t size = bench_between(&state, args[1].value, args[2].value);
        table[i] = (piece_t){.block = bench_malloc(size), .size = size};
        memset(table[i].block, 7, size);
        asked += size;
    }
    uint64_t filled = bench_resident(statm) - before;
    shuffle(table, count, &state);
    for (uint64_t i = 0; i < count; i++)
        if (i % kept == 0)
            left += table[i].size;
        else
            free(bench_opaque(table[i].block));
    uint64_t remains = bench_resident(statm) - before;
    if (ratios)
        printf("filled=%.4f left=%.4f\n", (double)filled / (double)asked, (double)remains / (double)left);
    return bench_report(2 * count);
}
