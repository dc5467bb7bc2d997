/* SPDX-License-Identifier: MIT */
/* The system refuses to take pages back (as it does under mlockall, or in a sandbox): madvise, which the program defines
 * itself, fails with EINVAL. Frees must not try all of it again and again: few calls, little time, and nothing is lost. What has no
 * blocks at all is unmapped instead. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "threads.h"

enum {
    COUNT = 3000,
    ROUNDS = 4,
    CALLS_MOST = 50,
    SECONDS_MOST = 2,
    SECONDS_OF_POISON = 10, /* `debug` writes all of 2.6 GB, in 660,000 page faults */
    EACH = 40000,           /* bytes: 117 MiB in all */
    STAYS_KIB = 60 << 10,
    PEAK_KIB = 300 << 10, /* 2.6 GB are freed at 900,000 bytes each, of which 3,000 are touched */
};

/* volatile: libc's headers tell the compiler that free calls nothing in this file. */
static volatile long calls;

int madvise(void *address, size_t size, int advice)
{
    if (advice != MADV_DONTNEED && advice != MADV_FREE)
        return (int)syscall(SYS_madvise, address, size, advice);
    calls++;
    errno = EINVAL;
    return -1;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Memory was touched and freed; time passes, and slow paths are taken. */
static void go_on(unsigned char **blocks)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(EACH);
        CHECK(blocks[i] != NULL, "block %zu", i);
        memset(blocks[i], 1, EACH);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
    for (int i = 0; i < 300; i++) {
        char *volatile small[300];
        for (int k = 0; k < 300; k++)
            small[k] = malloc(2000);
        for (int k = 0; k < 300; k++)
            free(small[k]);
        usleep(5000);
    }
}

int main(void)
{
    static unsigned char *blocks[COUNT];
    static const size_t sizes[] = {200000, 900000, 30000, 20000};
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = round % 2 ? calloc(1, sizes[round]) : malloc(sizes[round]);
            CHECK(blocks[i] != NULL, "block %zu", i);
            CHECK(round % 2 == 0 || is_zero(blocks[i], 3000), "calloc(%zu) is not zero", sizes[round]);
            fill(blocks[i], 3000, i);
        }
        const double before = cpu_seconds();
        for (size_t i = 0; i < COUNT; i++) {
            CHECK(is_filled(blocks[i], 3000, i), "block %zu changed", i);
            free(blocks[i]);
        }
        const double took = cpu_seconds() - before;
        CHECK(took < (is_variant("debug") ? SECONDS_OF_POISON : SECONDS_MOST),
              "free of %d blocks of %zu bytes: %.1f s", COUNT, sizes[round], took);
    }
    printf("%ld calls\n", calls);
    /* `hardened` empties each block of this size that is freed, and tries that each time. */
    const long frees = is_variant("hardened") || is_variant("debug") ? COUNT * ROUNDS : 0;
    CHECK(calls < CALLS_MOST + frees, "%ld calls that were bound to fail", calls);
    if (is_variant("hardened")) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        CHECK(usage.ru_maxrss < PEAK_KIB, "%ld KiB at the peak: what nobody touched was touched",
              usage.ru_maxrss);
    }
    /* In `minimal` nothing goes back by time, nor does it elsewhere. */
    if (frees == 0 && (!is_variant("minimal") || is_variant("bench_minimal"))) {
        go_on(blocks);
        const long kib = resident_kib();
        CHECK(kib < STAYS_KIB, "%ld KiB stay, though whole mappings could go", kib);
    }
    malloc_trim(0);
    use_every_size();
    return 0;
}
