/* SPDX-License-Identifier: MIT */
/* Thread helpers of the test programs: start many at once, join them, a deadline for programs that might hang. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

/* ThreadSanitizer looks at each access, which takes twenty times as long: there rounds are divided by this. */
enum {
#ifdef __SANITIZE_THREAD__
    FEWER_ROUNDS = 4
#else
    FEWER_ROUNDS = 1
#endif
};

/* Starts `count` threads of `work`, each with its index as argument, and joins them all.
 * Returns how many returned something other than NULL. */
static inline int run_threads(int count, void *(*work)(void *))
{
    pthread_t threads[64];
    CHECK(count <= 64, "%d threads", count);
    for (intptr_t i = 0; i < count; i++) {
        const int error = pthread_create(&threads[i], NULL, work, (void *)i);
        CHECK(error == 0, "pthread_create: error %d", error);
    }
    int failed = 0;
    for (int i = 0; i < count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    return failed;
}

/* Waits for a forked child; it must return 0. The child's own alarm() ends it when it hangs. */
static inline void expect_child_succeeds(pid_t child, const char *what)
{
    CHECK(child > 0, "%s: fork failed", what);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "%s: waitpid failed", what);
    CHECK(!WIFSIGNALED(status), "%s: child ended by signal %d%s", what, WTERMSIG(status),
          WTERMSIG(status) == 14 ? " (hung)" : "");
    CHECK(WEXITSTATUS(status) == 0, "%s: child returned %d", what, WEXITSTATUS(status));
}

/* Runs a test in a child, which is left what no other test has used or limited. */
static inline void run_in_child(void (*test)(size_t), size_t size, const char *what)
{
    const pid_t child = fork();
    if (child == 0) {
        test(size);
        _exit(0);
    }
    expect_child_succeeds(child, what);
}

/* Allocates, fills, checks and frees one block of each kind of size. */
static inline void use_every_size(void)
{
    static const size_t sizes[] = {0,    1,     16,    64,    200,    1000,     1024,    1025,
                                   3000, 10000, 32768, 65536, 200000, 1u << 20, 5u << 20};
    enum {
        COUNT = sizeof sizes / sizeof *sizes
    };
    unsigned char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = (unsigned char *)(i % 2 ? malloc(sizes[i]) : calloc(1, sizes[i]));
        CHECK(blocks[i] != NULL, "no memory for %zu bytes", sizes[i]);
        CHECK(i % 2 || is_zero(blocks[i], sizes[i] < 5000 ? sizes[i] : 5000), "calloc(%zu) not zero",
              sizes[i]);
        fill(blocks[i], sizes[i] < 5000 ? sizes[i] : 5000, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(is_filled(blocks[i], sizes[i] < 5000 ? sizes[i] : 5000, i), "block of %zu bytes changed",
              sizes[i]);
        if (i % 3 == 0) {
            blocks[i] = (unsigned char *)realloc(blocks[i], sizes[i] * 2 + 1);
            CHECK(blocks[i] != NULL, "no memory to grow %zu bytes", sizes[i]);
        }
        free(blocks[i]);
    }
}

#endif
