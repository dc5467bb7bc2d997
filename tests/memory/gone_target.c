/* SPDX-License-Identifier: MIT */
/* mremap as kernels before Linux 6.17 do it: what lies at the target goes first, and only then is it looked whether the block can
 * be moved. A refusal leaves a hole in the heap, where another thread's memory may come to lie at once, or nobody's. Neither is
 * taken for a block; contents stay, and what is handed out can be written. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

enum {
    SLOTS = 12,
    STEP = 500000,
    MOST = 40, /* steps in a block */
    ROUNDS = 900,
    NEIGHBOURS = 1000
};

static struct {
    unsigned char *block;
    size_t size;
} slots[SLOTS];

static struct {
    unsigned char *at;
    size_t size;
} neighbours[NEIGHBOURS];

static int found, moved,
    gone;           /* neighbours, and calls that moved a block or failed after the target was gone */
static int refuses; /* moves of whole blocks, too */

static void settle(unsigned char *at, size_t size)
{
    if (found < NEIGHBOURS &&
        mmap(at, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == at) {
        memset(at, 0xee, 4096);
        neighbours[found].at = at;
        neighbours[found++].size = size;
    }
}

void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    if (target == NULL)
        return (void *)syscall(SYS_mremap, old, old_size, new_size, flags, NULL);
    CHECK(syscall(SYS_munmap, target, new_size) == 0, "munmap");
    void *result = MAP_FAILED;
    if (refuses)
        errno = ENOMEM;
    else
        result = (void *)syscall(SYS_mremap, old, old_size, new_size, flags, target);
    moved += result != MAP_FAILED;
    gone += result == MAP_FAILED;
    if (result == MAP_FAILED && !refuses)
        settle(target, new_size);
    return result;
}

static void write_pages(size_t i, size_t from)
{
    for (size_t at = from; at < slots[i].size; at += 4096)
        slots[i].block[at] = (unsigned char)i;
}

static void check_pages(const unsigned char *block, size_t i, size_t size)
{
    for (size_t at = 0; at < size; at += 4096)
        CHECK(block[at] == (unsigned char)i, "slot %zu changed at %zu", i, at);
}

static void resize(size_t i, size_t size)
{
    const size_t before = slots[i].size;
    unsigned char *block = realloc(slots[i].block, size);
    CHECK(block != NULL, "no memory to resize");
    check_pages(block, i, before < size ? before : size);
    slots[i].block = block;
    slots[i].size = size;
    write_pages(i, 0);
}

static void replace(size_t i, size_t size, int zeroed)
{
    check_pages(slots[i].block, i, slots[i].size);
    free(slots[i].block);
    slots[i].block = zeroed ? calloc(1, size) : malloc(size);
    slots[i].size = size;
    CHECK(slots[i].block != NULL, "no memory");
    if (zeroed)
        check_pages(slots[i].block, 0, size);
    write_pages(i, 0);
}

int main(void)
{
    uint64_t random = 1;
    for (int round = 0; round < fewer_in_debug(ROUNDS); round++) {
        const size_t i = next_random(&random) % SLOTS;
        const size_t size = STEP * (1 + next_random(&random) % MOST);
        refuses = round % 8 == 0;
        if (next_random(&random) % 3 == 0)
            replace(i, size, round % 2);
        else
            resize(i, size);
        if (round % 200 == 199)
            malloc_trim(0);
    }
    for (int i = 0; i < found; i++) {
        CHECK(neighbours[i].at[0] == 0xee && neighbours[i].at[4095] == 0xee,
              "memory of another's was written");
        CHECK(malloc_usable_size(neighbours[i].at) == 0, "memory of another's is taken for a block");
    }
    printf("%d blocks were moved, %d targets gone, %d of them another's\n", moved, gone, found);
    return moved + gone > 0 ? 0 : TEST_SKIPPED;
}
