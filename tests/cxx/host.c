/* SPDX-License-Identifier: MIT */
/* Loads the plug-in that the argument names, which tests itself: as C, and as C++ with a runtime of its own. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    union {
        void *found;
        int (*call)(void);
    } test;
    test.found = dlsym(plugin, "plugin_test");
    return test.found != NULL ? test.call() : 3;
}
