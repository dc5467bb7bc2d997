/* SPDX-License-Identifier: MIT */
/* A plug-in that allocates when loaded, keeps thread-local data, and frees when unloaded. */
#include <stdlib.h>
#include <string.h>

static char *kept;
static __thread char *per_thread;

__attribute__((constructor)) static void loaded(void)
{
    kept = malloc(3000);
    if (kept != NULL)
        memset(kept, 7, 3000);
}

__attribute__((destructor)) static void unloaded(void)
{
    free(kept);
    free(per_thread);
    free(calloc(10, 100));
}

int plugin_use(void)
{
    free(per_thread);
    per_thread = malloc(500);
    return kept != NULL && kept[2999] == 7 && per_thread != NULL;
}
