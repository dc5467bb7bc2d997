/* SPDX-License-Identifier: MIT */
/* A second namespace of the dynamic linker (dlmopen): a plug-in there has a libc and an allocator of its own beside
 * ours; then a second copy of our own library. Neither may tread on the other's memory. The copy's thread-local bins
 * need more than the linker's reserve of 1664 bytes, so the program starts itself anew with a larger one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "threads.h"

typedef void *(*malloc_t)(size_t);
typedef void *(*realloc_t)(void *, size_t);
typedef void (*free_t)(void *);

static struct {
    malloc_t malloc;
    realloc_t realloc;
    free_t free;
} other;

/* Blocks of both sides alive at once, each freed by its own. */
static void *both(void *index)
{
    enum {
        SLOTS = 100
    };
    uint64_t random = (uintptr_t)index + 1;
    struct {
        unsigned char *ours, *theirs;
        size_t size;
    } slots[SLOTS] = {{NULL, NULL, 0}};
    for (int step = 0; step < 2000; step++) {
        const size_t i = next_random(&random) % SLOTS;
        CHECK(is_filled(slots[i].ours, slots[i].size, i), "a block of ours changed");
        CHECK(is_filled(slots[i].theirs, slots[i].size, i + 1), "a block of the other namespace changed");
        free(slots[i].ours);
        slots[i].size = step % 500 == 0 ? 2200000 : random_size(&random, 50000);
        slots[i].ours = malloc(slots[i].size);
        if (step % 2 == 0) {
            slots[i].theirs = other.realloc(slots[i].theirs, slots[i].size + 1);
        } else {
            other.free(slots[i].theirs);
            slots[i].theirs = other.malloc(slots[i].size);
        }
        CHECK(slots[i].ours != NULL && slots[i].theirs != NULL, "no memory for %zu bytes", slots[i].size);
        fill(slots[i].ours, slots[i].size, i);
        fill(slots[i].theirs, slots[i].size, i + 1);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(slots[i].ours);
        other.free(slots[i].theirs);
    }
    return NULL;
}

static void find_in(void *handle)
{
    other.malloc = (malloc_t)dlsym(handle, "malloc");
    other.realloc = (realloc_t)dlsym(handle, "realloc");
    other.free = (free_t)dlsym(handle, "free");
    CHECK(other.malloc != NULL && other.realloc != NULL && other.free != NULL, "%s", dlerror());
    CHECK(other.malloc != malloc, "the namespace has our malloc");
}

static void *open_in_new(const char *path)
{
    void *handle = dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL, "%s", dlerror());
    find_in(handle);
    return handle;
}

static void exercise(const char *what)
{
    both(NULL);
    CHECK(run_threads(3, both) == 0, "%s", what);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        both(NULL);
        use_every_size();
        _exit(0);
    }
    expect_child_succeeds(child, what);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
        execl("/proc/self/exe", argv[0], "again", NULL);
        return 9;
    }
    char path[4096];
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/plugin_allocating.so", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    for (int round = 0; round < 3; round++) {
        void *plugin = open_in_new(path);
        int (*use)(void) = (int (*)(void))dlsym(plugin, "plugin_use");
        CHECK(use != NULL && use(), "the plug-in's own block changed");
        exercise("a plug-in with a libc of its own");
        CHECK(dlclose(plugin) == 0, "%s", dlerror());
    }
    Dl_info library;
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &library) != 0, "whose is malloc?");
    void *copy = open_in_new(library.dli_fname);
    exercise("a second copy of the library");
    CHECK(dlclose(copy) == 0, "%s", dlerror());
    use_every_size();
    return 0;
}
