// SPDX-License-Identifier: MIT
// Blocks that nobody writes to are freed and come again, by every path: whatever the allocator leaves in a free block must not
// make it look free when it is in use.
#include <malloc.h>
#include "threads.h"

enum {
    MANY = 400,
    ROUNDS = 6,
};

static void *blocks[MANY];

static void *free_all(void *unused)
{
    for (int i = 0; i < MANY; i++) {
        free(escape(blocks[i]));
    }
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

int main(void)
{
    come_and_go(NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, come_and_go, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
