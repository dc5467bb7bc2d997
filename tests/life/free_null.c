/* SPDX-License-Identifier: MIT */
/* free(NULL) as the very first call, before any allocation of the program, in main and in threads. */
#include "threads.h"

__attribute__((constructor(101))) static void before_all(void)
{
    free(escape(NULL));
}

static void *work(void *index)
{
    (void)index;
    for (int i = 0; i < 1000; i++)
        free(escape(NULL));
    return realloc(escape(NULL), 0) == NULL ? (void *)1 : NULL;
}

int main(void)
{
    free(escape(NULL));
    CHECK(run_threads(4, work) == 0, "realloc(NULL, 0) gave no block");
    return 0;
}
