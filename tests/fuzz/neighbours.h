/* SPDX-License-Identifier: MIT */
/* The program's own mappings beside and in place of the allocator's: they keep their bytes, and the allocator never takes
 * them for blocks. */
#ifndef TESTS_FUZZ_NEIGHBOURS_H
#define TESTS_FUZZ_NEIGHBOURS_H

#include <sys/mman.h>

#include "model.h"

enum {
    NEIGHBOURS = 16,
    VACATED = 8
};

typedef struct neighbour {
    unsigned char *at; /* NULL in a free place */
    size_t size;
    unsigned seed;
} neighbour_t;

static neighbour_t neighbours[NEIGHBOURS];
static unsigned char *vacated[VACATED]; /* where big blocks were, the last ones */
static unsigned vacated_next;

static void note_vacated(const live_t *live)
{
    if (live->block != NULL && live->usable > HAK_LARGE_MAX)
        vacated[vacated_next++ % VACATED] = live->block;
}

/* The bytes of its first and last page are kept in mind. */
static void fill_neighbour(const neighbour_t *neighbour)
{
    for (size_t i = 0; i < HAK_OS_PAGE; i += 61) {
        neighbour->at[i] = byte_at(neighbour->seed, i);
        neighbour->at[neighbour->size - 1 - i] = byte_at(neighbour->seed + 1, i);
    }
}

static void check_neighbour(const neighbour_t *neighbour)
{
    for (size_t i = 0; i < HAK_OS_PAGE; i += 61) {
        PROMISE(neighbour->at[i] == byte_at(neighbour->seed, i) &&
                    neighbour->at[neighbour->size - 1 - i] == byte_at(neighbour->seed + 1, i),
                "the program's own memory at %p was changed", (void *)neighbour->at);
    }
    PROMISE(hak_map_find(neighbour->at) == 0 && hak_map_find(neighbour->at + neighbour->size - 1) == 0,
            "the program's own memory at %p is taken for a block", (void *)neighbour->at);
    const size_t place = place_of(neighbour->at);
    PROMISE(place == in_use || neighbour->at + neighbour->size <= by_address[place]->block,
            "a block was put over the program's own memory");
    PROMISE(place == 0 || by_address[place - 1]->block + by_address[place - 1]->usable <= neighbour->at,
            "a block reaches into the program's own memory");
}

static void check_neighbours(void)
{
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        if (neighbours[i].at != NULL)
            check_neighbour(&neighbours[i]);
}

static void drop_neighbour(neighbour_t *neighbour)
{
    if (neighbour->at != NULL) {
        check_neighbour(neighbour);
        munmap(neighbour->at, neighbour->size);
        neighbour->at = NULL;
    }
}

/* Where nothing is yet; `at` NULL: where the system likes. */
static void put_neighbour(neighbour_t *neighbour, unsigned char *at, size_t size)
{
    drop_neighbour(neighbour);
    const int fixed = at != NULL ? MAP_FIXED_NOREPLACE : 0;
    void *got = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    if (got == MAP_FAILED)
        return;
    *neighbour = (neighbour_t){.at = got, .size = size, .seed = next_seed++};
    fill_neighbour(neighbour);
    check_neighbour(neighbour);
}

static void drop_neighbours(void)
{
    for (unsigned i = 0; i < NEIGHBOURS; i++)
        drop_neighbour(&neighbours[i]);
    memset(vacated, 0, sizeof vacated);
}

#endif
