/* SPDX-License-Identifier: MIT */
/* Huge pages are asked for where they pay: not in a heap of a few MiB, not for large buffers of which little is touched, but for
 * the small blocks that a heap beyond 8 MiB is made of. What counts is what the system was asked for (VmFlags in smaps), since
 * whether it has huge pages to give is not ours to say; and what is resident. */
#include "check.h"

enum {
    SMALL = 64,
    FEW = 4 << 20,   /* bytes */
    MANY = 96 << 20, /* bytes */
    BUFFER = 300000,
    BUFFERS = 200,
    CHUNK = (1 << 20) / SMALL, /* blocks: half of one is full of them */
    TOUCHED = 4096
};

#define ASKED " hg"
#define LINE  512
#define PAGES "/sys/kernel/mm/transparent_hugepage"

static char *blocks[MANY / SMALL];

/* One's own reading of smaps, a byte at a time through a buffer on the stack: nothing here allocates. */
static int next_line(int fd, char line[LINE])
{
    static char held[1 << 16];
    static ssize_t filled, at;
    for (int n = 0;;) {
        if (at == filled) {
            filled = read(fd, held, sizeof held);
            at = 0;
            if (filled <= 0) {
                filled = 0;
                return 0;
            }
        }
        const char c = held[at++];
        line[n] = c == '\n' ? '\0' : c;
        if (c == '\n')
            return 1;
        n += n < LINE - 2;
    }
}

/* How many of the blocks lie where huge pages were asked for. The blocks are in ascending order, as the mappings are. */
static size_t in_huge_pages(size_t count)
{
    const int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "no smaps");
    char line[LINE];
    uintptr_t from = 0;
    uintptr_t to = 0;
    size_t asked = 0;
    while (next_line(fd, line)) {
        if (strncmp(line, "VmFlags:", 8) != 0) {
            char *end;
            const uintptr_t first = strtoul(line, &end, 16);
            if (end != line && *end == '-') {
                from = first;
                to = strtoul(end + 1, NULL, 16);
            }
            continue;
        }
        for (size_t i = 0; strstr(line, ASKED) != NULL && i < count; i++)
            asked += (uintptr_t)blocks[i] >= from && (uintptr_t)blocks[i] < to;
    }
    close(fd);
    return asked;
}

static void take(size_t from, size_t to, size_t size, size_t touched)
{
    for (size_t i = from; i < to; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", size);
        memset(blocks[i], 1, touched);
    }
}

/* While the heap is large. */
static void buffers(int guarded)
{
    const long start = resident_kib();
    take(0, BUFFERS, BUFFER, TOUCHED);
    const long kib = resident_kib() - start;
    const long pages = guarded ? 5 : 3; /* each buffer's first one, and what describes it */
    CHECK(kib < BUFFERS * (TOUCHED >> 10) * pages, "%d buffers with 4 KiB touched each: %ld KiB resident",
          BUFFERS, kib);
    const size_t asked = in_huge_pages(BUFFERS); /* one may find room in a chunk that small blocks have */
    CHECK(asked <= BUFFERS / 20, "%zu buffers have huge pages", asked);
}

int main(void)
{
    if (access(PAGES, F_OK) != 0) {
        dprintf(2, "this system has no huge pages\n");
        return TEST_SKIPPED;
    }
    take(0, FEW / SMALL, SMALL, 1);
    CHECK(in_huge_pages(FEW / SMALL) == 0, "%zu blocks of a small heap have huge pages",
          in_huge_pages(FEW / SMALL));
    take(FEW / SMALL, MANY / SMALL, SMALL, 1);
    const size_t asked = in_huge_pages(MANY / SMALL);
    /* In `hardened` and `debug` inaccessible pages lie in most chunks, which no huge page can cover. */
    const int guarded = is_variant("hardened") || is_variant("debug");
    /* How many more chunks have some depends on how fast the system gives them (unit_huge_pages). */
    CHECK(guarded ? asked == 0 : asked > CHUNK, "%zu of %d blocks of a large heap have huge pages", asked,
          MANY / SMALL);
    buffers(guarded);
    return 0;
}
