/* SPDX-License-Identifier: MIT */
/* The library is loaded when the program runs already (dlopen), used by a thread, and closed again while that thread lives: the
 * end of the thread, of other threads, forks and the program's own end find nothing that is gone. What asks little enough
 * thread-local storage (the variant plugin) is loaded so, into another namespace too, without any help; the others need the
 * linker to keep more in reserve. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include "threads.h"

typedef void *(*malloc_t)(size_t);
typedef void (*free_t)(void *);

static malloc_t late_malloc;
static free_t late_free;
static sem_t used, closed;

static void find(void *library)
{
    late_malloc = (malloc_t)dlsym(library, "malloc");
    late_free = (free_t)dlsym(library, "free");
    CHECK(late_malloc != NULL && late_free != NULL, "%s", dlerror());
    CHECK(late_malloc != malloc, "the library was there before");
}

static void *use(void *index)
{
    enum {
        SLOTS = 200
    };
    unsigned char *blocks[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    uint64_t random = (uintptr_t)index + 1;
    for (int step = 0; step < 20000; step++) {
        const size_t i = next_random(&random) % SLOTS;
        CHECK(is_filled(blocks[i], sizes[i], i), "a block changed");
        late_free(blocks[i]);
        sizes[i] = step % 1000 == 0 ? 2000000 : random_size(&random, 20000);
        blocks[i] = late_malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "no memory");
        fill(blocks[i], sizes[i], i);
    }
    for (size_t i = 0; i < SLOTS; i++)
        late_free(blocks[i]);
    return NULL;
}

static void *use_and_stay(void *index)
{
    use(index);
    sem_post(&used);
    sem_wait(&closed);
    return NULL;
}

static void fork_once(void)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        use_every_size();
        exit(0);
    }
    expect_child_succeeds(child, "a child after the library was closed");
}

static void load_use_close(const char *path, int other_namespace)
{
    void *library =
        other_namespace ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW) : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL, "%s", dlerror());
    find(library);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_and_stay, NULL) == 0, "pthread_create");
    sem_wait(&used);
    CHECK(run_threads(3, use) == 0, "threads");
    CHECK(dlclose(library) == 0, "%s", dlerror());
    sem_post(&closed);
    pthread_join(thread, NULL);
    fork_once();
}

int main(int argc, char **argv)
{
    if (argc == 1) { /* anew, without the library, but knowing where it is */
        Dl_info library;
        void *version = dlsym(RTLD_DEFAULT, "hakmem_version");
        if (version == NULL)
            return TEST_SKIPPED;
        CHECK(dladdr(version, &library) != 0, "whose is hakmem_version?");
        if (strstr(((const char *(*)(void))version)(), "plugin") == NULL)
            setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
        unsetenv("LD_PRELOAD");
        execl("/proc/self/exe", argv[0], library.dli_fname, NULL);
        return 9;
    }
    sem_init(&used, 0, 0);
    sem_init(&closed, 0, 0);
    alarm(50);
    load_use_close(argv[1], 0);
    load_use_close(argv[1], 1);
    return 0;
}
