/* SPDX-License-Identifier: MIT */
/* What a thread keeps of freed large blocks gives way to a block that grows: it may lie behind that; and what a block outgrew,
 * which is wanted in its old size least of all, is not kept. */
#include "mem/heap.h"
#include "mem/oversize.h"
#include "check.h"
#include "hakmem.h"

enum {
    SIZE = 300000,
    LARGER = 350000,
    COUNT = 24
};

static char *blocks[COUNT];

static size_t span(void)
{
    return hak_oversize_slices(SIZE) * HAK_SLICE;
}

/* A block, not this one, right behind which another one lies; *behind is that. Both are not blocks[] any more. */
static char *take_pair(char **behind)
{
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            char *block = blocks[i];
            *behind = blocks[j];
            if (block != NULL && *behind == block + span()) {
                blocks[i] = blocks[j] = NULL;
                return block;
            }
        }
    }
    return NULL;
}

int main(void)
{
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = hakmem_alloc(SIZE)) != NULL, "no block of %d bytes", SIZE);
    char *behind;
    char *block = take_pair(&behind);
    CHECK(block != NULL, "no two blocks lie side by side");
    hakmem_free(behind);
    CHECK(hak_oversize_kept(hak_thread.heap) == span(), "%zu bytes are kept",
          hak_oversize_kept(hak_thread.heap));
    CHECK(hakmem_resize(block, LARGER) == block, "a block did not grow into what the thread kept");

    block = take_pair(&behind);
    CHECK(block != NULL, "no other two blocks lie side by side");
    char *moved = hakmem_resize(block, LARGER);
    CHECK(moved != NULL && moved != block, "a block grew into one in use");
    CHECK(hak_oversize_kept(hak_thread.heap) == 0, "%zu bytes are kept of what was outgrown",
          hak_oversize_kept(hak_thread.heap));
    return 0;
}
