/* SPDX-License-Identifier: MIT */
/* Which pages are touched, and what a TLB would make of it: one of 64 entries (four ways) for pages of 4 KiB beside one of 32
 * (four ways) for those of 2 MiB, behind them one of 1,536 (twelve ways) for both; the entry used longest ago goes. All threads
 * share it. A page of 2 MiB is one where /proc/self/smaps says so at the last look: where more than half of what
 * a mapping has in memory is in huge pages, all of its whole 2 MiB are taken for one. */
#define _GNU_SOURCE
#include "replay.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE = 12,        /* bits */
    HUGE = 21,        /* bits */
    CHUNKS = 1 << 18, /* places, each for 2 MiB: 512 GiB of addresses */
    CHUNKS_MOST = CHUNKS - CHUNKS / 4,
    WAYS_1 = 4,
    SETS_SMALL = 64 / WAYS_1,
    SETS_HUGE = 32 / WAYS_1,
    WAYS_2 = 12,
    SETS_2 = 1536 / WAYS_2,
};

typedef struct chunk {
    uint64_t number; /* address >> HUGE; 0: an empty place */
    uint64_t huge;
    uint64_t touched[8]; /* a bit a page */
} chunk_t;

model_t model;

static chunk_t *chunks, *last;
static size_t chunk_count;
static uint64_t small_1[SETS_SMALL][WAYS_1], huge_1[SETS_HUGE][WAYS_1], both_2[SETS_2][WAYS_2];
static char text[1 << 16];

void model_start(void)
{
    chunks = trace_memory(CHUNKS * sizeof *chunks);
    last = NULL;
}

/* The place of a chunk; NULL when there are too many. */
static chunk_t *chunk_of(uint64_t number)
{
    if (last != NULL && last->number == number)
        return last;
    size_t at = (size_t)(number * 0x9e3779b97f4a7c15u >> 40) & (CHUNKS - 1);
    while (chunks[at].number != 0 && chunks[at].number != number)
        at = (at + 1) & (CHUNKS - 1);
    if (chunks[at].number == 0) {
        if (chunk_count == CHUNKS_MOST)
            return NULL;
        chunk_count++;
        chunks[at].number = number;
    }
    return last = &chunks[at];
}

/* Looks a key up in a set, of which the first is the one used last, and puts it there. True if it was in it. */
static bool hit(uint64_t *set, unsigned ways, uint64_t key)
{
    unsigned at = 0;
    while (at < ways - 1 && set[at] != key)
        at++;
    const bool found = set[at] == key;
    memmove(set + 1, set, at * sizeof *set);
    set[0] = key;
    return found;
}

static void look_up(uint64_t page, bool huge)
{
    /* keys are not 0: pages of blocks are not at the address 0 */
    const uint64_t key = page << 1 | huge;
    uint64_t *first = huge ? huge_1[page % SETS_HUGE] : small_1[page % SETS_SMALL];
    if (hit(first, WAYS_1, key))
        return;
    model.misses[0]++;
    model.misses[1] += !hit(both_2[page % SETS_2], WAYS_2, key);
}

void model_touch(const void *p, uint64_t size)
{
    if (size == 0)
        return;
    const uint64_t from = (uint64_t)(uintptr_t)p >> PAGE, to = ((uint64_t)(uintptr_t)p + size - 1) >> PAGE;
    for (uint64_t page = from; page <= to; page++) {
        chunk_t *chunk = chunk_of(page >> (HUGE - PAGE));
        bool huge = false;
        if (chunk != NULL) {
            uint64_t *word = &chunk->touched[page >> 6 & 7];
            model.pages += (*word >> (page & 63) & 1) == 0;
            *word |= (uint64_t)1 << (page & 63);
            huge = chunk->huge != 0;
        }
        look_up(huge ? page >> (HUGE - PAGE) : page, huge);
    }
}

/* --- which pages are huge ----------------------------------------------------------------------------------------- */

static void mark(uint64_t from, uint64_t to, bool huge)
{
    const uint64_t first = (from + (1u << HUGE) - 1) >> HUGE, end = to >> HUGE;
    for (uint64_t number = first; number < end && end - first < CHUNKS; number++) {
        chunk_t *chunk = chunk_of(number);
        if (chunk != NULL)
            chunk->huge = huge;
    }
}

/* A line of smaps: the head of a mapping, or "Rss:" or "AnonHugePages:" of the one above. */
static void read_line(const char *line, uint64_t range[2], uint64_t *resident, uint64_t *huge_kib)
{
    unsigned long from, to, kib;
    if (sscanf(line, "Rss: %lu", &kib) == 1) {
        *resident = kib;
    } else if (sscanf(line, "AnonHugePages: %lu", &kib) == 1) {
        *huge_kib += kib;
        if (kib != 0)
            mark(range[0], range[1], 2 * kib > *resident);
    } else if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
        range[0] = from;
        range[1] = to;
    }
}

void model_look(void)
{
    uint64_t range[2] = {0, 0}, resident = 0, huge_kib = 0;
    const int file = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    size_t kept = 0;
    ssize_t n;
    while (file >= 0 && (n = read(file, text + kept, sizeof text - 1 - kept)) > 0) {
        kept += (size_t)n;
        text[kept] = 0;
        char *line = text;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            read_line(line, range, &resident, &huge_kib);
        }
        kept -= (size_t)(line - text);
        kept = kept < sizeof text - 1 ? kept : 0;
        memmove(text, line, kept);
    }
    if (file >= 0)
        close(file);
    const uint64_t huge = huge_kib >> (HUGE - 10);
    model.huge_most = huge > model.huge_most ? huge : model.huge_most;
}
