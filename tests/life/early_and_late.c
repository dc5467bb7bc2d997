/* SPDX-License-Identifier: MIT */
/* Allocation before main and after it: preinit_array, constructors, atexit, destructors; blocks cross all of them. */
#include "threads.h"

static char *from_preinit;
static char *from_constructor;
static char *from_main;

static void preinit(void)
{
    from_preinit = malloc(1000);
    if (from_preinit != NULL)
        fill(from_preinit, 1000, 1);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void first_constructor(void)
{
    use_every_size();
    from_constructor = calloc(10, 500);
    CHECK(from_constructor != NULL && is_zero(from_constructor, 5000), "calloc in a constructor");
    fill(from_constructor, 5000, 2);
}

__attribute__((constructor)) static void second_constructor(void)
{
    from_constructor = realloc(from_constructor, 100000);
    CHECK(from_constructor != NULL && is_filled(from_constructor, 5000, 2), "realloc across constructors");
}

static void at_exit(void)
{
    CHECK(is_filled(from_main, 70000, 3), "a block of main changed before atexit");
    free(from_main);
    use_every_size();
    from_main = malloc(300);
    CHECK(from_main != NULL, "no memory in atexit");
}

__attribute__((destructor)) static void last_destructor(void)
{
    free(from_main);
    use_every_size();
}

__attribute__((destructor(101))) static void very_last_destructor(void)
{
    use_every_size();
}

int main(void)
{
    CHECK(from_preinit != NULL, "preinit_array did not run or got no memory");
    CHECK(is_filled(from_preinit, 1000, 1), "the block of preinit_array changed");
    CHECK(is_filled(from_constructor, 5000, 2), "the block of a constructor changed");
    free(from_preinit);
    free(from_constructor);
    from_main = malloc(70000);
    CHECK(from_main != NULL, "no memory in main");
    fill(from_main, 70000, 3);
    CHECK(atexit(at_exit) == 0, "atexit failed");
    return 0;
}
