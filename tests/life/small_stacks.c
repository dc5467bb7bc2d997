// SPDX-License-Identifier: MIT
// Threads of 16 KiB stack, which also holds the library's thread-local data: every function, no overflow.
#define _GNU_SOURCE
#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>
#include "threads.h"

static void *work(void *index)
{
    use_every_size();
    for (size_t size = 1; size < 3u << 20; size = size * 3 + 1) {
        void *block = memalign(4096, size);
        CHECK(block != NULL, "memalign(4096, %zu)", size);
        block = realloc(block, size * 2);
        CHECK(block != NULL, "realloc to %zu", size * 2);
        free(block);
    }
    return index == (void *)-1 ? index : NULL;
}

int main(void)
{
    enum {
        STACK = 16384,
        GUARD = 65536
    };
    for (int round = 0; round < 50; round++) {
        // Our own stack with an unmapped guard below it, so that an overflow is a fault and not a silent write.
        char *area = mmap(NULL, STACK + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(area != MAP_FAILED, "mmap");
        CHECK(mprotect(area + GUARD, STACK, PROT_READ | PROT_WRITE) == 0, "mprotect");
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        CHECK(pthread_attr_setstack(&attributes, area + GUARD, STACK) == 0, "a stack of %d bytes is refused",
              STACK);
        pthread_t thread;
        const int error = pthread_create(&thread, &attributes, work, NULL);
        CHECK(error == 0, "pthread_create with a 16 KiB stack: error %d (too much thread-local data?)",
              error);
        pthread_join(thread, NULL);
        pthread_attr_destroy(&attributes);
        munmap(area, STACK + GUARD);
    }
    return 0;
}
