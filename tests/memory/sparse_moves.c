/* SPDX-License-Identifier: MIT */
/* realloc moves a block above 32 KiB without touching what the program did not touch, in fresh memory and in what others have left;
 * what it did touch is there afterwards. */
#include "check.h"

enum {
    COUNT = 200
};

static unsigned char *blocks[COUNT];

/* What is touched of a block: a few bytes of its first page, of one in the middle, and of its last one. */
static void mark(unsigned char *block, size_t size, size_t seed)
{
    block[0] = (unsigned char)seed;
    block[size / 2] = (unsigned char)(seed + 1);
    block[size - 1] = (unsigned char)(seed + 2);
}

static void check_marks(const unsigned char *block, size_t size, size_t seed)
{
    CHECK(block[0] == (unsigned char)seed && block[size / 2] == (unsigned char)(seed + 1) &&
              block[size - 1] == (unsigned char)(seed + 2),
          "block %zu of %zu bytes changed when it moved", seed, size);
}

static void move_all(size_t from, size_t to)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(from);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", from);
        mark(blocks[i], from, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        unsigned char *moved = realloc(blocks[i], to);
        CHECK(moved != NULL, "no block of %zu bytes", to);
        check_marks(moved, from, i);
        blocks[i] = moved;
    }
    for (size_t i = 0; i < COUNT; i++) {
        check_marks(blocks[i], from, i);
        free(blocks[i]);
    }
}

/* A block that moves takes all of its bytes along, also zeroes into a place that held something else. */
static void move_filled(size_t from, size_t to)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(to);
        memset(escape(blocks[i]), 0xff, to);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = calloc(1, from);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", from);
        fill(blocks[i] + from / 2, from / 2, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = realloc(blocks[i], to);
        CHECK(blocks[i] != NULL, "no block of %zu bytes", to);
        CHECK(is_zero(blocks[i], from / 2) && is_filled(blocks[i] + from / 2, from / 2, i),
              "block %zu of %zu bytes changed when it grew to %zu", i, from, to);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

int main(void)
{
    static const size_t sizes[] = {40000, 100000, 200000, 300000, 500000};
    const long before = resident_kib();
    const size_t count = sizeof sizes / sizeof *sizes;
    move_all(100000, 300000);
    move_all(300000, 500000); /* to where others have been */
    const long stays = resident_kib() - before;
    CHECK(!RESIDENT_IS_KNOWN || is_variant("hardened") || is_variant("debug") || stays < 16L * 1024,
          "%d blocks of which three pages are touched moved: %ld KiB resident", COUNT, stays);
    for (size_t i = 0; i + 1 < count; i++)
        move_filled(sizes[i], sizes[i + 1]);
    return 0;
}
