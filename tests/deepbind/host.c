/* SPDX-License-Identifier: MIT */
/* Loads the plug-in named by its bare name, which the program's RUNPATH leads to, with RTLD_DEEPBIND, and hands blocks to and
 * fro: before, with threads, and after it was unloaded. tests/test_deepbind.py */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "../threads.h"

static void *(*take)(int how, size_t size);
static void (*give)(void *block);
static int (*use)(void);

static void exchange(void)
{
    for (int how = 0; how < 8; how++) {
        for (size_t size = 64; size < 3000000; size = size * 20) {
            char *block = take(how, size);
            CHECK(block != NULL, "no block, %d", how);
            if (how < 7) {
                fill(block, size, 1);
                block = realloc(block, size + 100);
                CHECK(is_filled(block, size, 1), "the block changed, %d", how);
            }
            free(block);
            give(escape(malloc(size)));
            give(escape(calloc(1, size)));
            give(escape(aligned_alloc(64, size)));
        }
    }
    CHECK(use() == 0, "the plug-in's own use");
}

static void *in_thread(void *unused)
{
    (void)unused;
    exchange();
    return NULL;
}

static void *find(void *plugin, const char *name)
{
    void *found = dlsym(plugin, name);
    CHECK(found != NULL, "%s", dlerror());
    return found;
}

int main(int argc, char **argv)
{
    const int binding = argc > 1 && strcmp(argv[1], "lazy") == 0 ? RTLD_LAZY : RTLD_NOW;
    CHECK(dlopen("no-such-plugin.so", binding | RTLD_DEEPBIND) == NULL && dlerror() != NULL,
          "an error is told");
    for (int round = 0; round < 2; round++) {
        void *plugin = dlopen("plugin.so", binding | RTLD_LOCAL | RTLD_DEEPBIND);
        CHECK(plugin != NULL, "%s", dlerror());
        *(void **)&take = find(plugin, "plugin_take");
        *(void **)&give = find(plugin, "plugin_give");
        *(void **)&use = find(plugin, "plugin_use");
        exchange();
        CHECK(run_threads(4, in_thread) == 0, "threads");
        char *last = take(0, 1000);
        CHECK(dlclose(plugin) == 0, "%s", dlerror());
        free(last);
        use_every_size();
    }
    return 0;
}
