/* SPDX-License-Identifier: MIT */
/* Fork raced against stdio that allocates: an allocator lock taken in a prepare handler, while a stdio thread holds
 * its own lock and waits for the allocator's, is a deadlock (jemalloc, scudo, hardened_malloc). */
#define _GNU_SOURCE
#include <stdatomic.h>
#include "threads.h"

static atomic_int done;

static FILE *shared;

/* Allocates while it holds the stream's lock: getline grows its line to 200 KB under it. */
static void *read_lines(void *index)
{
    (void)index;
    while (!atomic_load(&done)) {
        char *line = NULL;
        size_t size = 0;
        flockfile(shared);
        rewind(shared);
        while (getline(&line, &size, shared) > 0) {
        }
        funlockfile(shared);
        usleep(50); /* stdio locks are not fair: without a pause the forking thread starves */
        free(line);
    }
    return NULL;
}

/* Holds the lock of the list of streams, which fork takes too, and waits for each stream's lock. */
static void *flush_all(void *index)
{
    (void)index;
    while (!atomic_load(&done)) {
        fflush(NULL);
        usleep(50);
        FILE *file = fopen("/dev/null", "w");
        if (file != NULL) {
            fprintf(file, "%d %s\n", 42, "text that is buffered in memory");
            fclose(file);
        }
        char *text = NULL;
        if (asprintf(&text, "%0500d", 7) > 0)
            free(text);
    }
    return NULL;
}

static void *allocate(void *index)
{
    uint64_t random = (uintptr_t)index + 3;
    while (!atomic_load(&done)) {
        free(escape(malloc(random_size(&random, 300000))));
        free(escape(malloc(next_random(&random) % (4u << 20))));
    }
    return NULL;
}

int main(void)
{
    /* A hang ends the program by SIGALRM, which the runner reports as such. */
    alarm(55);
    shared = tmpfile();
    CHECK(shared != NULL, "tmpfile");
    for (int i = 0; i < 200000; i++)
        fputc('x', shared);
    fputs("\nshort\n", shared);
    static void *(*const works[])(void *) = {read_lines, read_lines, flush_all, allocate};
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, works[i], (void *)i) == 0, "pthread_create");
    for (int round = 0; round < 80; round++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            use_every_size();
            FILE *file = fopen("/dev/null", "w");
            CHECK(file != NULL, "fopen in the child");
            fprintf(file, "%d\n", round);
            fclose(file);
            _exit(0);
        }
        expect_child_succeeds(child, "child");
    }
    atomic_store(&done, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
