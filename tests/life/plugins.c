/* SPDX-License-Identifier: MIT */
/* dlopen and dlclose of a plug-in that allocates in its constructor, its functions and its destructor, from threads. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "threads.h"

static char path[4096];

static void *work(void *index)
{
    (void)index;
    for (int round = 0; round < 30; round++) {
        void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(plugin != NULL, "%s", dlerror());
        int (*use)(void) = (int (*)(void))dlsym(plugin, "plugin_use");
        CHECK(use != NULL && use(), "the plug-in's own block changed");
        CHECK(dlclose(plugin) == 0, "%s", dlerror());
        CHECK(dlopen("/nowhere/at-all.so", RTLD_NOW) == NULL && dlerror() != NULL, "a missing plug-in loads");
    }
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/plugin_allocating.so", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    work(NULL);
    CHECK(run_threads(4, work) == 0, "threads");
    return 0;
}
