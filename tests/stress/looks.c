/* SPDX-License-Identifier: MIT */
/* One thread asks again and again what is in use, which looks at what it keeps of freed blocks, while another one takes that away
 * and hands it on: whoever looks, sees blocks or none, and follows no link that is another's by now. */
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "threads.h"

enum {
    ROUNDS = 4000,
    MANY = 1200
};

static atomic_bool done;

static void *look(void *unused)
{
    static void *blocks[MANY];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t size = 16; size <= 160; size += 48) {
            for (int i = 0; i < MANY; i++) {
                blocks[i] = malloc(size);
                CHECK(blocks[i] != NULL, "no memory");
            }
            for (int i = 0; i < MANY; i++)
                free(blocks[i]);
        }
        const struct mallinfo2 info = mallinfo2();
        CHECK(info.uordblks <= info.arena, "%zu bytes in use of %zu", info.uordblks, info.arena);
    }
    atomic_store(&done, true);
    return unused;
}

static void *take_away(void *unused)
{
    static void *mine[MANY];
    while (!atomic_load(&done)) {
        malloc_trim(0);
        for (int i = 0; i < MANY; i++) {
            mine[i] = malloc(16 + (size_t)i % 4 * 48);
            CHECK(mine[i] != NULL, "no memory");
            memset(mine[i], 0x41, 16);
        }
        for (int i = 0; i < MANY; i++)
            free(mine[i]);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, take_away, NULL) == 0, "pthread_create");
    look(NULL);
    pthread_join(thread, NULL);
    return 0;
}
