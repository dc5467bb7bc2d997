/* SPDX-License-Identifier: MIT */
/* Blocks that nobody writes to are freed and come again, by every path: whatever the allocator leaves in a free block must not
 * make it look free when it is in use. Nor what it leaves in memory that becomes the middle of a larger block, when the program
 * copies from there what it never wrote, as a struct of which one field is set. */
#include <malloc.h>
#include "threads.h"

enum {
    MANY = 400,
    ROUNDS = 6,
    ELEMENTS = 8000,
};

static void *blocks[MANY];

static void *free_all(void *unused)
{
    for (int i = 0; i < MANY; i++)
        free(escape(blocks[i]));
    return unused;
}

static void take_all(size_t size, int how)
{
    for (int i = 0; i < MANY; i++) {
        blocks[i] = how == 0   ? malloc(size)
                    : how == 1 ? memalign(64, size)
                               : realloc(malloc(size), size - size / 16);
        CHECK(blocks[i] != NULL, "no memory");
    }
}

static void *come_and_go(void *unused)
{
    for (size_t size = 1; size < 300000; size += size / 3 + 7) {
        for (int round = 0; round < ROUNDS; round++) {
            take_all(size, round % 3);
            if (round % 2 == 0) {
                free_all(NULL);
                continue;
            }
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, free_all, NULL) == 0, "pthread_create");
            pthread_join(thread, NULL);
        }
        malloc_trim(0);
    }
    return unused;
}

/* An array in the memory of freed blocks of the size; each element of it is copied into a block. */
static void copy_elements(size_t size, size_t bytes)
{
    static void *first[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
        first[i] = malloc(size);
        CHECK(first[i] != NULL, "no memory");
    }
    for (int i = 0; i < ELEMENTS; i++)
        free(first[i]);
    const char *array = (const char *)escape(malloc(bytes));
    CHECK(array != NULL, "no memory");
    for (size_t at = 0; at + size <= bytes; at += 16) {
        void *copy = malloc(size);
        CHECK(copy != NULL, "no memory");
        memcpy(copy, array + at, size);
        free(escape(copy));
    }
    free((void *)(uintptr_t)array);
}

static void copy_unwritten(void)
{
    for (size_t size = 16; size <= 4096; size *= 4) {
        for (size_t bytes = 512; bytes <= (1u << 20); bytes *= 4)
            copy_elements(size, bytes);
        malloc_trim(0);
    }
}

int main(void)
{
    copy_unwritten();
    come_and_go(NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, come_and_go, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
