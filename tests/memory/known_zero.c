/* SPDX-License-Identifier: MIT */
/* Memory that is known to be zero is not zeroed again by calloc: what is touched is what the program touches, for blocks that are
 * new, for those that were sparse before, and among others in use. What was written before is zero all the same. */
#include <malloc.h>
#include <sys/resource.h>

#include "check.h"

static const size_t MIB = 1 << 20;

static char *sparse(size_t size, size_t at)
{
    char *block = calloc(1, size);
    CHECK(block != NULL, "no block of %zu bytes", size);
    CHECK(block[0] == 0 && block[at] == 0 && block[size - 1] == 0, "calloc(%zu) is not zero", size);
    block[at] = 1;
    return block;
}

static void new_blocks(size_t size, long most_kib_each)
{
    const size_t count = 300 * MIB / size;
    char **blocks = calloc(count, sizeof *blocks);
    const long before = resident_kib();
    for (size_t i = 0; i < count; i++)
        blocks[i] = sparse(size, 100);
    const long each = (resident_kib() - before) / (long)count;
    CHECK(each <= most_kib_each, "calloc(%zu) and a byte touched: %ld KiB each", size, each);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    free(blocks);
    malloc_trim(0);
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* Nor is all of it read each time: that would be a fault for each page. */
static void again_and_again(size_t size)
{
    const long before = peak_resident_kib();
    const long faults_before = faults();
    for (size_t i = 0; i < 100; i++)
        free(sparse(size, i * 5000));
    CHECK(faults() - faults_before < 100 * 40, "sparse calloc(%zu) a hundred times: %ld page faults", size,
          faults() - faults_before);
    CHECK(peak_resident_kib() - before < 20 * 1024, "sparse calloc(%zu) a hundred times: %ld KiB more", size,
          peak_resident_kib() - before);
}

/* Every second block is freed, and its pages go back: they are not touched when it comes again. */
static void given_back(size_t size, long most_kib_each)
{
    const size_t count = 100 * MIB / size;
    char **blocks = calloc(count, sizeof *blocks);
    for (size_t i = 0; i < count; i++)
        blocks[i] = memset(malloc(size), 1, size);
    for (size_t i = 0; i < count; i += 2)
        free(blocks[i]);
    malloc_trim(0);
    const long before = resident_kib();
    for (size_t i = 0; i < count; i += 2)
        blocks[i] = sparse(size, 100);
    const long each = (resident_kib() - before) / (long)(count / 2);
    CHECK(each <= most_kib_each, "calloc(%zu) of pages given back: %ld KiB each", size, each);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    free(blocks);
    malloc_trim(0);
}

/* Bursts of sparse blocks: those of an earlier one are dirty, and have a page each. */
static void sparse_bursts(size_t size, long most_kib_each)
{
    const size_t count = 100 * MIB / size;
    char **blocks = calloc(count, sizeof *blocks);
    const long before = resident_kib();
    for (int burst = 0; burst < 4; burst++) {
        for (size_t i = 0; i < count; i++)
            blocks[i] = sparse(size, 5000);
        const long each = (resident_kib() - before) / (long)count;
        CHECK(each <= most_kib_each, "burst %d of sparse calloc(%zu): %ld KiB each", burst, size, each);
        for (size_t i = 0; i < count; i++)
            free(blocks[i]);
    }
    free(blocks);
    malloc_trim(0);
}

static void written_before(size_t size)
{
    for (int round = 0; round < 6; round++) {
        unsigned char *block = round % 2 ? calloc(1, size) : malloc(size);
        CHECK(block != NULL, "no block of %zu bytes", size);
        CHECK(round % 2 == 0 || is_zero(block, size), "calloc(%zu) of what was written is not zero", size);
        memset(block, round < 3 ? 0xee : 0, size);
        for (size_t at = 3000; at < size; at += 4096 + 64) /* of a page, this byte alone */
            block[at] = 1;
        free(block);
    }
}

static void resident_stays_small(void)
{
    new_blocks(20000, 12);
    new_blocks(200000, 40);
    new_blocks(400000, 40);
    new_blocks(3 * MIB, 80);
    if (!is_variant("hardened")) /* which writes zeroes over what is freed, of up to 64 KiB */
        sparse_bursts(50000, 24);
    sparse_bursts(200000, 40);
    sparse_bursts(400000, 40);
    sparse_bursts(3 * MIB, 80);
    given_back(20000, 12);
    given_back(32768, 12);
    char *live = malloc(100 * MIB);
    memset(live, 1, 100 * MIB);
    again_and_again(60 * MIB);
    again_and_again(1000 * MIB);
    free(live);
}

int main(void)
{
    if (RESIDENT_IS_KNOWN && !is_variant("debug"))
        resident_stays_small();
    for (size_t size = 3000; size < 80 * MIB; size = size * 3 + 1000)
        written_before(size);
    return 0;
}
