/* SPDX-License-Identifier: MIT */
/* What was freed is given to a request that it is large enough for, and to no other: each size after each smaller one, with the
 * block of the smaller one just freed, kept, in a cache or in a bin; sizes up to many times 256 MiB, which are untouched. */
#include <errno.h>
#include <malloc.h>

#include "check.h"

static const size_t KIB = 1 << 10, MIB = 1 << 20, GIB = 1 << 30;

static void expect_size(size_t size, size_t before)
{
    errno = 0;
    char *block = malloc(size);
    if (block == NULL) { /* more than this system lets a process have */
        CHECK(errno == ENOMEM && size > GIB, "no block of %zu bytes: errno %d", size, errno);
        return;
    }
    CHECK(malloc_usable_size(block) >= size, "malloc(%zu) after free of %zu has %zu bytes", size, before,
          malloc_usable_size(block));
    block[size - 1] = 1;
    free(block);
}

static void after_free(size_t before)
{
    /* At any distance, as far as sizes are told apart by some of their bits only. */
    for (unsigned bits = 12; bits < 36; bits++) {
        free(escape(malloc(before)));
        expect_size(before + ((size_t)1 << bits), before);
        free(escape(malloc(before)));
        expect_size(before + ((size_t)3 << bits), before);
    }
    errno = 0;
    free(escape(malloc(before)));
    for (unsigned bits = 46; bits < 63; bits++) {
        void *block = malloc(before + ((size_t)escape((void *)((size_t)1 << bits))));
        CHECK(block == NULL && errno == ENOMEM, "malloc(%zu + 2^%u) gave a block", before, bits);
    }
}

int main(void)
{
    const size_t sizes[] = {100,     5000,    100 * KIB, 300 * KIB, 400 * KIB, 512 * KIB, 600 * KIB,
                            1 * MIB, 2 * MIB, 3 * MIB,   4 * MIB,   5 * MIB,   40 * MIB,  256 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        after_free(sizes[i]);
    return 0;
}
