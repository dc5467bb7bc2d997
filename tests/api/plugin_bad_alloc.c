/* SPDX-License-Identifier: MIT */
/* A C program, no libstdc++ in it, loads a C++ plug-in RTLD_LOCAL; the plug-in's bad_alloc is thrown and caught.
 * A C-built allocator has nothing to throw with and aborts here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "check.h"

typedef int (*catches_t)(void);
typedef void *(*block_t)(size_t);
typedef size_t (*work_t)(void);

int main(int argc, char **argv)
{
    /* The plug-in lies beside the program. */
    char path[4096];
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/plugin_throwing.so", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    (void)argc;
    for (int round = 0; round < 5; round++) {
        void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(plugin != NULL, "%s", dlerror());
        catches_t catches = (catches_t)dlsym(plugin, "plugin_catches_bad_alloc");
        block_t block = (block_t)dlsym(plugin, "plugin_block");
        work_t work = (work_t)dlsym(plugin, "plugin_work");
        CHECK(catches != NULL && block != NULL && work != NULL, "%s", dlerror());
        CHECK(catches() == 1, "bad_alloc was not thrown in round %d", round);
        CHECK(work() == 499500, "strings lost characters");
        char *mine = block(5000);
        CHECK(mine != NULL, "the plug-in got no memory");
        fill(mine, 5000, 1);
        CHECK(dlclose(plugin) == 0, "%s", dlerror());
        CHECK(is_filled(mine, 5000, 1), "a block of a closed plug-in changed");
        free(mine);
    }
    return 0;
}
