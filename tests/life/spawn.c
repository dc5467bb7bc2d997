/* SPDX-License-Identifier: MIT */
/* vfork with exec, posix_spawn and popen from a program that allocates in other threads. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdatomic.h>
#include "threads.h"

extern char **environ;

static atomic_int done;

static void *churn(void *index)
{
    uint64_t random = (uintptr_t)index + 1;
    while (!atomic_load(&done))
        free(escape(malloc(random_size(&random, 100000))));
    return NULL;
}

int main(void)
{
    alarm(55);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, churn, NULL) == 0, "pthread_create");
    char *const arguments[] = {"true", NULL};
    for (int round = 0; round < 20; round++) {
        const pid_t child = vfork();
        if (child == 0) {
            execv("/bin/true", arguments);
            _exit(9);
        }
        expect_child_succeeds(child, "vfork");

        pid_t spawned = 0;
        CHECK(posix_spawn(&spawned, "/bin/true", NULL, NULL, arguments, environ) == 0, "posix_spawn");
        expect_child_succeeds(spawned, "posix_spawn");

        FILE *pipe = popen("echo from a shell", "r");
        CHECK(pipe != NULL, "popen");
        char line[100] = "";
        CHECK(fgets(line, sizeof line, pipe) != NULL && strcmp(line, "from a shell\n") == 0,
              "popen read '%s'", line);
        CHECK(pclose(pipe) == 0, "pclose");
    }
    atomic_store(&done, 1);
    pthread_join(thread, NULL);
    return 0;
}
