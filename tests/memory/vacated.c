/* SPDX-License-Identifier: MIT */
/* The moment a big block's old address is free again, somebody else may get it: here right inside of mremap, munmap and
 * madvise, which the program defines itself. Whoever gets it keeps it, whatever the allocator does after the call returns. */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

enum {
    SIZE = 3 << 20,
    ROUNDS = 60,
};

static const int noreserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/* Volatile, since libc's headers tell the compiler that malloc and free do not call back into this file. */
static volatile int armed;         /* the next address that is vacated is taken */
static char *volatile taken_block; /* a block of malloc's that begins there */
static char *volatile taken_pages; /* or pages of the program's */
static volatile size_t taken_size; /* and how many bytes */
static volatile int blocks, pages;

/* Blocks of other sizes than what is on its way; one of them may come to lie at the vacated address. */
static void take_block_at(const char *vacated)
{
    char *tried[8];
    for (int i = 0; i < 8; i++) {
        tried[i] = malloc(SIZE / 2);
        if (tried[i] == vacated) {
            taken_block = tried[i];
            memset(taken_block, 5, SIZE / 2);
            blocks++;
        }
    }
    for (int i = 0; i < 8; i++)
        if (tried[i] != taken_block)
            free(tried[i]);
}

static void take(void *vacated, size_t size)
{
    if (!armed)
        return;
    const int how = armed;
    armed = 0;
    if (how == 1)
        take_block_at(vacated);
    if (how == 2 || taken_block == NULL) {
        char *at = mmap(vacated, size, PROT_READ | PROT_WRITE, noreserve | MAP_FIXED_NOREPLACE, -1, 0);
        if (at != MAP_FAILED) {
            taken_pages = at;
            taken_size = size;
            memset(at, 6, 4096);
            pages++;
        }
    }
}

void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    void *result = (void *)syscall(SYS_mremap, old, old_size, new_size, flags, target);
    if (result != MAP_FAILED && result != old)
        take(old, old_size);
    return result;
}

int munmap(void *address, size_t size)
{
    const int result = (int)syscall(SYS_munmap, address, size);
    if (result == 0)
        take(address, size);
    return result;
}

static void check_taken(void)
{
    if (taken_block != NULL) {
        CHECK(malloc_usable_size(taken_block) >= SIZE / 2, "the block at a vacated address is not known");
        CHECK(taken_block[0] == 5 && taken_block[SIZE / 2 - 1] == 5,
              "the block at a vacated address changed");
        char *moved = realloc(taken_block, SIZE);
        CHECK(moved != NULL && moved[0] == 5, "realloc of the block at a vacated address");
        free(moved);
    }
    if (taken_pages != NULL) {
        CHECK(malloc_usable_size(taken_pages) == 0, "pages of the program's are taken for a block");
        CHECK(taken_pages[0] == 6 && taken_pages[4095] == 6, "pages of the program's changed");
        CHECK(syscall(SYS_munmap, taken_pages, taken_size) == 0, "munmap");
    }
    taken_block = NULL;
    taken_pages = NULL;
}

/* A block that has to move: what lies behind it is taken. */
static void grow(int how)
{
    char *block = malloc(SIZE);
    CHECK(block != NULL, "no block");
    const size_t usable = malloc_usable_size(block);
    void *wall = mmap(block + usable, 4096, PROT_NONE, noreserve, -1, 0);
    memset(block, 1, SIZE);
    armed = how;
    char *grown = realloc(block, 12 * (size_t)SIZE);
    armed = 0;
    CHECK(grown != NULL && grown[0] == 1 && grown[SIZE - 1] == 1, "the block that moved changed");
    check_taken();
    CHECK(malloc_usable_size(grown) >= 12 * (size_t)SIZE, "the block that moved is not known");
    free(grown);
    munmap(wall, 4096);
}

static void unmap(int how)
{
    char *block = malloc(40 * (size_t)SIZE);
    CHECK(block != NULL, "no block");
    memset(block, 1, SIZE);
    armed = how;
    free(block);
    malloc_trim(0);
    armed = 0;
    check_taken();
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        grow(1 + round % 2);
        unmap(1 + round % 2);
    }
    printf("%d blocks and %d mappings at vacated addresses\n", blocks, pages);
    /* Under an allocator that never lets go of an address, or hides that it does, nothing is shown. */
    return blocks + pages > 0 ? 0 : TEST_SKIPPED;
}
