/* SPDX-License-Identifier: MIT */
/* All memory of the process locked (mlockall): nothing can be given back then, for the kernel refuses. Recycled memory
 * that calloc gives must be zero all the same. */
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include "threads.h"

static void *work(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    enum {
        SLOTS = 50
    };
    unsigned char *kept[SLOTS] = {NULL};
    for (int step = 0; step < 3000; step++) {
        const size_t i = next_random(&random) % SLOTS;
        free(kept[i]);
        const size_t size =
            1 + (step % 100 == 0 ? next_random(&random) % 5000000 : random_size(&random, 300000));
        kept[i] = step % 3 == 0 ? malloc(size) : calloc(1, size);
        CHECK(kept[i] != NULL, "no memory for %zu bytes", size);
        CHECK(step % 3 == 0 || is_zero(kept[i], size), "calloc of %zu bytes is not zero", size);
        memset(kept[i], 0xee, size);
        if (step % 500 == 499)
            malloc_trim(0);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(kept[i]);
    return NULL;
}

int main(void)
{
    use_every_size();
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("memory cannot be locked by this user: errno %d\n", errno);
        return TEST_SKIPPED;
    }
    work(NULL);
    CHECK(run_threads(2, work) == 0, "threads");
    use_every_size();
    return 0;
}
