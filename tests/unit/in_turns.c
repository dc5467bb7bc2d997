/* SPDX-License-Identifier: MIT */
/* What small blocks have left serves huge ones, and the other way round: in bursts of the two in turns little more is resident
 * than in one of them, and from the third on hardly a page is new. The clock stands still, so nothing goes back by time. Where
 * the system gives nothing more, small blocks get what was mapped for huge ones. */
#include <stdbool.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "hakmem.h"
#include "mem/extent.h"
#include "still.h"

enum {
    MIB = 1 << 20,
    BURST = 96 * MIB,
    ROUNDS = 3,
    KEPT = 60 * MIB,        /* besides: what is free in chunks partly used, and in ranges that hold none */
    FRESH_THIRD = 48 * MIB, /* of the third burst */
    FRESH_LATER = 30 * MIB,
    AHEAD = 10 * MIB, /* mapped for huge blocks to come */
    REGION = 8 * MIB, /* reserved by the pool */
    BLOCKS_MOST = BURST / 2000 + 1
};

static bool failing;
static char *blocks[BLOCKS_MOST];

void *__real_hak_os_map(size_t size, size_t align);
void *__wrap_hak_os_map(size_t size, size_t align);

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return failing ? NULL : __real_hak_os_map(size, align);
}

static size_t asked[2]; /* in vain, while the system gives nothing: for a clean range, for a dirty one */

char *__real_hak_extent_take_chunk(bool dirty, hak_retain_t *pool);
char *__wrap_hak_extent_take_chunk(bool dirty, hak_retain_t *pool);

char *__wrap_hak_extent_take_chunk(bool dirty, hak_retain_t *pool)
{
    char *chunk = __real_hak_extent_take_chunk(dirty, pool);
    asked[dirty] += failing && (chunk == NULL || !dirty);
    return chunk;
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* Returns what is resident while all blocks live, in KiB. */
static long burst(const size_t sizes[2])
{
    static uint64_t random = 1;
    size_t count = 0;
    for (size_t bytes = 0; bytes < BURST; count++) {
        const size_t size = sizes[0] + next_random(&random) % (sizes[1] - sizes[0] + 1);
        blocks[count] = hakmem_alloc(size);
        CHECK(blocks[count] != NULL, "no block of %zu bytes", size);
        memset(blocks[count], 1, size);
        bytes += size;
    }
    const long resident = resident_kib();
    for (size_t i = 0; i < count; i++)
        hakmem_free(blocks[i]);
    return resident;
}

/* In a process of its own: what is learned stays. */
static void in_turns(const size_t first[2], const size_t second[2])
{
    const pid_t child = fork();
    if (child != 0) {
        int status = 1;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "a child ended with %d", status);
        return;
    }
    const long before = resident_kib();
    for (int i = 0; i < 2 * ROUNDS; i++) {
        const long touched = faults();
        const long resident = burst(i % 2 == 0 ? first : second) - before;
        const long fresh = (faults() - touched) * 4;
        CHECK(!RESIDENT_IS_KNOWN || resident < (BURST + KEPT) >> 10,
              "burst %d of %zu, %zu bytes: %ld KiB resident", i, first[0], second[0], resident);
        CHECK(!RESIDENT_IS_KNOWN || i < 2 || fresh < (i == 2 ? FRESH_THIRD : FRESH_LATER) >> 10,
              "burst %d of %zu, %zu bytes: %ld KiB touched anew", i, first[0], second[0], fresh);
    }
    _exit(0);
}

static void at_a_limit(void)
{
    for (size_t before = SIZE_MAX;
         before > hak_extent_view().clean || hak_extent_view().clean - before < AHEAD;) {
        before = hak_extent_view().clean;
        CHECK(hakmem_alloc(2 * MIB) != NULL && hak_extent_view().live < 4UL * BURST,
              "nothing is mapped ahead");
    }
    CHECK(hakmem_alloc(15000) != NULL, "no heap");
    failing = true;
    size_t bytes = 0;
    for (char *block; (block = hakmem_alloc(15000)) != NULL; bytes += 15000)
        memset(block, 1, 15000);
    CHECK(bytes > REGION + AHEAD / 3, "small blocks got %zu bytes of what was mapped", bytes);
    CHECK(asked[1] <= asked[0] + REGION / HAK_CHUNK, "a dirty range was asked for %zu times, a clean one %zu",
          asked[1], asked[0]);
}

int main(void)
{
    static const size_t mids[] = {1 << 10, 32 << 10}, smalls[] = {2000, 2000}, huges[] = {600 << 10, 4 * MIB},
                        same[] = {2 * MIB, 2 * MIB};
    in_turns(mids, huges);
    in_turns(huges, mids);
    in_turns(smalls, same);
    in_turns(same, smalls);
    at_a_limit();
    return 0;
}
