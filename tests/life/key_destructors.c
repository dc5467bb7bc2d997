/* SPDX-License-Identifier: MIT */
/* pthread key destructors that allocate, free and set the key again, so that they run after the allocator's own. */
#include "threads.h"

static pthread_key_t keys[3];

static void destructor(void *value)
{
    unsigned char *block = value;
    CHECK(is_filled(block, 100, 4), "a key's block changed");
    const int rounds_left = block[100];
    free(block);
    use_every_size();
    if (rounds_left > 0) {
        unsigned char *next = malloc(101);
        CHECK(next != NULL, "no memory in a destructor");
        fill(next, 100, 4);
        next[100] = (unsigned char)(rounds_left - 1);
        pthread_setspecific(keys[rounds_left % 3], next);
    }
}

static void *work(void *index)
{
    (void)index;
    for (int i = 0; i < 3; i++) {
        unsigned char *block = malloc(101);
        fill(block, 100, 4);
        block[100] = 2;
        pthread_setspecific(keys[i], block);
    }
    return NULL;
}

int main(void)
{
    /* Before any thread: a lower key's destructor runs before the allocator's, a higher one after it. */
    for (int i = 0; i < 3; i++)
        CHECK(pthread_key_create(&keys[i], destructor) == 0, "pthread_key_create");
    for (int round = 0; round < 5; round++)
        CHECK(run_threads(8, work) == 0, "first %d", round);
    const long before = resident_kib();
    for (int round = 0; round < fewer_in_debug(20); round++)
        CHECK(run_threads(8, work) == 0, "round %d", round);
    const long grown = resident_kib() - before;
    CHECK(grown < 16 * 1024, "160 threads left %ld KiB behind", grown);
    return 0;
}
