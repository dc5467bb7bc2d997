/* SPDX-License-Identifier: MIT */
/* Huge pages are asked for as long as they are cheap: where the first touch of one is slow, only every second, fourth, ... chunk of
 * a large heap has one; once one is fast again, all have. Not for slabs that many threads barely touch. When one ends, all of it
 * that is not in use goes back, whether somebody ever used it or not. The clock is ours. */
#include "check.h"
#include "mem/chunk.h"
#include "mem/slab.h"
#include "os/os.h"

enum {
    SLICES = 4, /* of a slab of 8 KiB blocks, and of a block of 50,000 bytes */
    RUNS = 30,  /* in a chunk, about */
    CHUNKS = 100
};

static uint64_t now_ns;
static uint64_t touch_ns; /* what a first touch takes */
static int asked;
static size_t discarded; /* bytes */

uint64_t __wrap_hak_os_now_ns(void);
void __wrap_hak_os_thp(void *address, size_t size, bool on);

uint64_t __wrap_hak_os_now_ns(void)
{
    return now_ns += touch_ns;
}

void __wrap_hak_os_thp(void *address, size_t size, bool on)
{
    (void)address, (void)size;
    asked += on;
}

bool __wrap_hak_os_discard(void *address, size_t size);

bool __wrap_hak_os_discard(void *address, size_t size)
{
    (void)address;
    discarded += size;
    return true;
}

static uint32_t heaps = 1;

uint32_t __wrap_hak_heap_count(void);

uint32_t __wrap_hak_heap_count(void)
{
    return heaps;
}

static int asked_in(int chunks, uint64_t ns)
{
    asked = 0;
    touch_ns = ns;
    for (int i = 0; i < chunks * RUNS; i++)
        CHECK(hak_chunk_take_run(SLICES, HAK_RUN_FRONT) != NULL, "no run");
    return asked;
}

/* One of two runs in a chunk that has a huge page is given back. */
static void what_goes_back(void)
{
    asked = 0;
    for (int i = 0; asked == 0; i++)
        CHECK(i < 2 * RUNS && hak_chunk_take_run(SLICES, HAK_RUN_FRONT) != NULL, "no chunk with a huge page");
    hak_slab_t *run = hak_chunk_take_run(SLICES, HAK_RUN_FRONT);
    CHECK(run != NULL, "no run");
    hak_chunk_release_run(run, 1);
    hak_chunk_trim();
    const size_t used = SLICES * HAK_SLICE + HAK_STATES;
    CHECK(discarded == HAK_CHUNK - used, "%zu bytes of a huge page went back, with %zu of it in use",
          discarded, used);
}

/* Of a run that is a single block a program may touch little. */
static void nothing_for_buffers(void)
{
    asked = 0;
    for (int i = 0; i < 10 * RUNS; i++)
        CHECK(hak_chunk_take_run(SLICES, HAK_RUN_SINGLE) != NULL, "no run");
    CHECK(asked == 0, "%d huge pages for runs of %d slices", asked, SLICES);
}

/* Many threads with a block of each class have a slab of each, and a page of each slab: no huge pages for that. */
static void nothing_for_many_heaps(void)
{
    heaps = 9;
    const int few = asked_in(8, 1000); /* 16 MiB: what the heaps may have, 18 */
    heaps = 1;
    CHECK(few == 0, "%d huge pages while each of many heaps has little", few);
}

int main(void)
{
    asked_in(1, 1000); /* the first chunk is never one */
    nothing_for_many_heaps();
    CHECK(asked_in(2, 1000) > 0, "none beyond 16 MiB");
    const int warm = asked_in(CHUNKS, 300000);
    CHECK(warm > CHUNKS / 10 * 9, "fast: %d of some %d chunks", warm, CHUNKS);
    const int cold = asked_in(CHUNKS, 4000000);
    CHECK(cold >= 4 && cold <= 8, "slow: %d of some %d chunks", cold, CHUNKS);
    const int again = asked_in(2 * CHUNKS, 300000); /* at most 64 chunks later */
    CHECK(again > CHUNKS && again < 2 * CHUNKS, "fast again: %d of some %d chunks", again, 2 * CHUNKS);
    what_goes_back();
    nothing_for_buffers();
    return 0;
}
