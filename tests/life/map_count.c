/* SPDX-License-Identifier: MIT */
/* The system's limit on mappings (vm.max_map_count), reached: the test cuts a reservation into single pages until the
 * kernel gives no more. Requests are then served or refused with ENOMEM, frees (whose munmap may fail) lose nothing,
 * and once the pages are joined again every size can be had. */
#include <errno.h>
#include <sys/mman.h>
#include "threads.h"

enum {
    PAGE = 4096,
    COUNT = 400,
    CHECKED = 3000,
    JOINED = 8000 /* an even number */
};

static unsigned char *blocks[COUNT];

static size_t size_of(size_t i)
{
    static const size_t sizes[] = {2500000, 100, 5u << 20, 3000, 300000, 20000, 20u << 20, 1u << 20};
    return sizes[i % 8] + i;
}

static size_t checked(size_t i)
{
    return size_of(i) < CHECKED ? size_of(i) : CHECKED;
}

/* Takes what can be had; returns how many requests were refused. */
static int take_all(void)
{
    int refused = 0;
    for (size_t i = 0; i < COUNT; i++) {
        errno = 0;
        blocks[i] = i % 3 == 0 ? calloc(1, size_of(i)) : malloc(size_of(i));
        if (blocks[i] == NULL) {
            CHECK(errno == ENOMEM, "no block of %zu bytes, errno %d", size_of(i), errno);
            refused++;
            continue;
        }
        CHECK(errno == 0, "a block of %zu bytes, errno %d", size_of(i), errno);
        fill(blocks[i], checked(i), i);
    }
    return refused;
}

static void release_all(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (blocks[i] == NULL)
            continue;
        CHECK(is_filled(blocks[i], checked(i), i), "a block of %zu bytes changed", size_of(i));
        if (i % 5 == 0) {
            unsigned char *grown = realloc(blocks[i], size_of(i) * 2);
            CHECK(grown != NULL || errno == ENOMEM, "realloc: errno %d", errno);
            blocks[i] = grown != NULL ? grown : blocks[i];
            CHECK(is_filled(blocks[i], checked(i), i), "realloc of %zu bytes lost some", size_of(i));
        }
        errno = 7;
        free(blocks[i]);
        CHECK(errno == 7, "free set errno %d", errno);
    }
}

static long limit(void)
{
    char text[32] = "";
    const int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0)
        return 0;
    close(file);
    return atol(text);
}

int main(void)
{
    const long maps = limit();
    if (maps <= 0 || maps > 2000000) {
        printf("vm.max_map_count is %ld: not reached in a test\n", maps);
        return TEST_SKIPPED;
    }
    const size_t pages = (size_t)maps + 1000;
    char *reserved = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(reserved != MAP_FAILED, "mmap");
    size_t cut = 1;
    for (int round = 0; round < 2; round++) {
        /* Some mappings are in use already in the second round, so that the limit hits frees too. */
        if (round == 1)
            CHECK(take_all() == 0, "no memory before the limit");
        while (cut < pages && mprotect(reserved + cut * PAGE, PAGE, PROT_READ) == 0)
            cut += 2;
        CHECK(cut < pages, "%zu mappings and no limit", pages);
        if (round == 1)
            release_all();
        const int refused = take_all();
        release_all();
        /* The last of the pages that were cut are joined again: room for some thousand mappings. */
        cut -= JOINED;
        CHECK(mprotect(reserved + cut * PAGE, JOINED * PAGE, PROT_NONE) == 0, "mprotect");
        CHECK(round == 1 || refused > 0, "nothing was refused at the limit: the test shows nothing");
        CHECK(take_all() == 0, "below the limit again, and no memory");
        release_all();
        use_every_size();
    }
    return 0;
}
