/* SPDX-License-Identifier: MIT */
/* mallinfo's figures are collected one after the other: a huge block that another thread has a call site keep after the blocks were
 * counted is none of those counted, and the figures do not fall below nothing. */
#include "hakmem.h"
#include "mem/huge.h"
#include "mem/site_cache.h"
#include "mem/view.h"
#include "threads.h"

enum {
    OWN = 600000,
    THEIRS = 700000
};

static bool between; /* another thread is faster, once */

size_t __real_hak_huge_count(void);
size_t __wrap_hak_huge_count(void);

size_t __wrap_hak_huge_count(void)
{
    const size_t count = __real_hak_huge_count();
    bool zero;
    if (between) {
        void *block = hak_huge_take(THEIRS, HAK_SLICE, false, &zero);
        CHECK(block != NULL && hak_site_cache_keep(0, block), "no call site keeps a block");
    }
    between = false;
    return count;
}

int main(void)
{
    hakmem_free(escape(hakmem_alloc(OWN))); /* the thread keeps it */
    hak_memory_view_t view;
    between = true;
    hak_memory_view(&view);
    CHECK(!between, "the blocks were not counted");
    CHECK(view.huge_blocks == 0, "%zu huge blocks in use", view.huge_blocks);
    CHECK(view.huge_bytes == 0, "%zu bytes of huge blocks in use", view.huge_bytes);
    return 0;
}
