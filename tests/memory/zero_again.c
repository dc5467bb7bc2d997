/* SPDX-License-Identifier: MIT */
/* Memory that calloc knows to be zero is not cleared; here it was written before, by somebody who is gone: the last thread of a
 * heap, blocks whose pages malloc_trim gave back or the system refused, blocks of another class in the same place, blocks that
 * grew. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "threads.h"

enum {
    STRAYS = 8, /* blocks that a thread takes before it has a heap */
    COUNT = 40
};

static volatile int refuses; /* the system, every so many times that it is to take pages back; 0: never */
static volatile int calls;

int madvise(void *address, size_t length, int advice)
{
    if (refuses != 0 && advice == MADV_DONTNEED && ++calls % refuses == 0) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}

static size_t size;
static unsigned char *blocks[COUNT];

static unsigned char *zeroes(size_t bytes, const char *where)
{
    unsigned char *block = calloc(1, bytes);
    CHECK(block != NULL && is_zero(block, bytes), "calloc(%zu) %s is not zero", bytes, where);
    return memset(block, 0xee, bytes);
}

static unsigned char *written(size_t bytes)
{
    unsigned char *block = malloc(bytes);
    CHECK(block != NULL, "no block of %zu bytes", bytes);
    return memset(block, 0xee, malloc_usable_size(block));
}

static void in_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, argument) == 0, "no thread");
    pthread_join(thread, NULL);
}

static void *writes_and_ends(void *unused)
{
    (void)unused;
    for (int i = 0; i < STRAYS; i++)
        free(escape(malloc(100)));
    for (int i = 0; i < STRAYS; i++)
        blocks[i] = zeroes(size, "of a new thread");
    return NULL;
}

/* From the block on that is beyond its strays, its heap is that of the thread before. */
static void *takes_over(void *strays)
{
    for (int i = 0; i < *(int *)strays; i++)
        CHECK(malloc(100) != NULL, "no block");
    for (int i = 0; i < STRAYS; i++)
        zeroes(size, "by the heap's next thread");
    return NULL;
}

static void heap_taken_over(int strays, int last)
{
    in_thread(writes_and_ends, NULL);
    for (int i = 0; i < STRAYS; i++)
        free(blocks[i ^ last]);
    malloc_trim(0);
    in_thread(takes_over, &strays);
}

/* Every second, third, ... block is freed and its pages go back. Then blocks are taken by malloc and by calloc, written, and
 * freed, and some of the others too, so that they share pages with what was given back before. */
static void given_back(void)
{
    for (int i = 0; i < COUNT; i++)
        blocks[i] = written(size);
    for (int step = 5; step >= 2; step--) {
        for (int i = 0; i < COUNT; i++) {
            if (i % step != 0) {
                free(blocks[i]);
                blocks[i] = NULL;
            }
        }
        malloc_trim(0);
        for (int i = 0; i < COUNT; i++)
            if (blocks[i] == NULL && i % 3 != 0)
                blocks[i] = i % 3 == 1 ? zeroes(size, "of pages given back") : written(size);
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* Of neighbours the lower ones go back to the system, then those above them are freed, and all is another block's. */
static void all_but_the_last(void)
{
    for (int i = 0; i < COUNT; i++)
        blocks[i] = written(size);
    for (int i = 0; i < COUNT; i++)
        if (i % 8 < 5)
            free(blocks[i]);
    malloc_trim(0);
    for (int i = 0; i < COUNT; i++)
        if (i % 8 >= 5)
            free(blocks[i]);
    malloc_trim(0);
    for (int i = 0; i < COUNT; i++)
        blocks[i] = zeroes(200000, "in place of smaller ones");
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* A block that grows in place takes in what others have left; a block of another class gets the whole. */
static void grown(void)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = written(size);
            blocks[i] = realloc(blocks[i], size + size / 2);
            memset(blocks[i], 0xee, malloc_usable_size(blocks[i]));
        }
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
        for (int i = 0; i < COUNT; i++)
            blocks[i] = zeroes(size * (size_t)(round + 1) / 2 + 1, "where others grew");
        for (int i = 0; i < COUNT; i++)
            free(blocks[i]);
    }
}

int main(void)
{
    for (size = 2100; size < 300000; size = size * 4 / 3) {
        for (int strays = STRAYS - 1; strays <= STRAYS + 1; strays++) {
            heap_taken_over(strays, 0);
            heap_taken_over(strays, STRAYS - 1);
        }
        for (refuses = 0; refuses < 4; refuses++)
            given_back();
        refuses = 0;
        all_but_the_last();
        grown();
    }
    return 0;
}
