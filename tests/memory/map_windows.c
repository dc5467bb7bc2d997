/* SPDX-License-Identifier: MIT */
/* Big blocks anywhere in the address space: of many GiB and untouched, so that what is cut from a freed one begins far from any
 * address that was a block's before; and among large mappings of the program's own, freed, split and joined in random order.
 * Every block is found again by malloc_usable_size, keeps its first and last byte, and no byte of a neighbour changes. */
#include <malloc.h>
#include <sys/mman.h>

#include "check.h"

enum {
    SLOTS = 40,
    STEPS = 600
};

static const size_t GIB = (size_t)1 << 30;

static void use(char *block, size_t size)
{
    CHECK(block != NULL, "no block of %zu bytes", size);
    CHECK(malloc_usable_size(block) >= size, "a block of %zu bytes has %zu", size, malloc_usable_size(block));
    block[0] = block[size - 1] = 7;
}

/* The part that is freed first, and parts cut from it that begin in each GiB of it. */
static void cut(size_t whole, size_t first, size_t second)
{
    char *live = malloc(2 * GIB);
    char *freed = malloc(whole);
    if (live == NULL || freed == NULL) { /* more than this system lets a process have */
        free(live);
        free(freed);
        return;
    }
    use(live, 2 * GIB);
    use(freed, whole);
    free(freed);
    char *a = malloc(first);
    char *b = malloc(second);
    use(a, first);
    use(b, second);
    const size_t more = is_variant("debug") ? 0 : GIB; /* it would copy all of it */
    char *grown = more == 0 ? a : realloc(a, first + more);
    use(grown, first + more);
    char *aligned = NULL;
    CHECK(posix_memalign((void **)&aligned, 4 * GIB, 3 << 20) == 0, "no block aligned to 4 GiB");
    use(aligned, 3 << 20);
    free(b);
    free(aligned);
    free(grown);
    free(live);
}

static char *foreign[8];
static const size_t foreign_size = (size_t)700 << 20;

static void map_foreign(size_t i)
{
    if (foreign[i] != NULL) {
        CHECK(foreign[i][0] == 3 && foreign[i][foreign_size - 1] == 3, "a byte of a mapping of ours changed");
        CHECK(malloc_usable_size(foreign[i]) == 0, "a mapping of ours is taken for a block");
        CHECK(munmap(foreign[i], foreign_size) == 0, "munmap");
    }
    foreign[i] =
        mmap(NULL, foreign_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(foreign[i] != MAP_FAILED, "mmap");
    foreign[i][0] = foreign[i][foreign_size - 1] = 3;
}

static void among_mappings(void)
{
    static struct {
        char *block;
        size_t size;
    } slots[SLOTS];
    uint64_t random = 11;
    for (int step = 0; step < fewer_in_debug(STEPS); step++) {
        const size_t i = next_random(&random) % SLOTS;
        const size_t size = ((size_t)1 << 20) + next_random(&random) % ((size_t)60 << 20);
        if (step % 16 == 0)
            map_foreign(next_random(&random) % 8);
        if (slots[i].block != NULL) {
            CHECK(slots[i].block[0] == 7 && slots[i].block[slots[i].size - 1] == 7,
                  "a block of %zu bytes changed", slots[i].size);
        }
        if (step % 3 == 0) {
            slots[i].block = realloc(slots[i].block, size);
        } else {
            free(slots[i].block);
            slots[i].block = step % 3 == 1 ? malloc(size) : calloc(1, size);
        }
        slots[i].size = size;
        use(slots[i].block, size);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i].block);
}

int main(void)
{
    cut(9 * GIB, 5 * GIB, 3 * GIB);
    cut(13 * GIB, 4 * GIB, 4 * GIB);
    cut(30 * GIB, GIB, 28 * GIB);
    among_mappings();
    return 0;
}
