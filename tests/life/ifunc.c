/* SPDX-License-Identifier: MIT */
/* The linker calls the resolvers of the program's IFUNCs while it relocates the program: no constructor has run, and thread-local
 * storage is zero, and will be filled again. What was allocated there may be used and freed later. */
#include "threads.h"

static unsigned char *early;

static int answer(void)
{
    return 42;
}

/* What it calls is there already, since libraries are relocated before the program. The bins of `plugin` are found by thread-local
 * storage, which is not filled yet. */
static int (*resolve(void))(void)
{
    free(escape(NULL));
    if (is_variant("plugin"))
        return answer;
    early = malloc(1000);
    if (early != NULL)
        fill(early, 1000, 1);
    free(malloc(3000000));
    free(realloc(NULL, 50));
    return answer;
}

int resolved(void) __attribute__((ifunc("resolve")));

static void *use(void *unused)
{
    (void)unused;
    use_every_size();
    return NULL;
}

int main(void)
{
    CHECK(resolved() == 42, "another function");
    CHECK(is_variant("plugin") || early != NULL, "no memory for the resolver");
    CHECK(early == NULL || is_filled(early, 1000, 1), "the resolver's block changed");
    use_every_size();
    free(early);
    CHECK(run_threads(4, use) == 0, "threads");
    return 0;
}
