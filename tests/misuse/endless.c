/* SPDX-License-Identifier: MIT */
/* A block that was freed twice makes a list of free blocks lead back into itself. Whatever comes of it, in no thread and by
 * no path may it be that the program goes round for ever. */
#include <stdbool.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include "threads.h"

enum {
    MANY = 300,    /* blocks beside the one that is freed twice */
    LATER = 20000, /* allocated afterwards */
    SECONDS = 8,   /* of CPU time: no list here is so long */
};

static char *blocks[MANY];
static size_t size;

static void *free_first_twice(void *unused)
{
    free(blocks[0]);
    free(escape(blocks[0]));
    return unused;
}

static void *free_with_another_between(void *unused)
{
    free(blocks[0]);
    free(blocks[1]);
    free(escape(blocks[0]));
    return unused;
}

static void *free_all_and_one_again(void *unused)
{
    for (int i = 0; i < MANY; i++)
        free(blocks[i]);
    free(escape(blocks[MANY / 2]));
    return unused;
}

static void *free_half_again(void *unused)
{
    for (int i = 0; i < MANY; i++) {
        free(blocks[i]);
        if (i % 2 != 0)
            free(escape(blocks[i - 1]));
    }
    return unused;
}

/* Only when the thread has a heap, and lists of its own. */
static void *free_half_again_later(void *unused)
{
    for (int i = 0; i < MANY; i++) {
        free(blocks[i]);
        if (i > MANY / 2 && i % 2 != 0)
            free(escape(blocks[i - 1]));
    }
    return unused;
}

static void *free_first(void *unused)
{
    free(escape(blocks[0]));
    return unused;
}

static void in_thread(void *(*work)(void *))
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void *(*const deeds[])(void *) = {free_first_twice, free_with_another_between, free_all_and_one_again,
                                         free_half_again, free_half_again_later};

/* The last deed is to free the same block in two threads. */
static void commit(size_t deed, bool elsewhere)
{
    const size_t count = sizeof deeds / sizeof *deeds;
    if (deed == count) {
        in_thread(free_first);
        in_thread(free_first);
    } else if (elsewhere) {
        in_thread(deeds[deed]);
    } else {
        deeds[deed](NULL);
    }
}

static volatile bool allocated;

static void *allocate_every_other(void *unused)
{
    for (int i = 1; i < MANY; i += 2)
        blocks[i] = (char *)malloc(size);
    allocated = true;
    sleep(1000); /* else the next thread would have its heap */
    return unused;
}

/* Half of the blocks are another thread's: whoever frees them has blocks of several owners on one list. */
static void allocate(bool by_two)
{
    for (int i = 0; i < MANY; i += by_two ? 2 : 1)
        blocks[i] = (char *)malloc(size);
    pthread_t other;
    CHECK(!by_two || pthread_create(&other, NULL, allocate_every_other, NULL) == 0, "pthread_create");
    while (by_two && !allocated)
        usleep(100);
}

static void go_on(void)
{
    static char *later[LATER];
    malloc_trim(0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LATER; i++)
            later[i] = (char *)malloc(size);
        for (int i = 0; i < LATER; i++)
            free(later[i]);
    }
    malloc_trim(0);
}

static void misuse_in_child(size_t deed, bool elsewhere, bool by_two)
{
    const pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CPU, &(struct rlimit){SECONDS, SECONDS});
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(open("/dev/null", O_WRONLY), 2);
        allocate(by_two);
        commit(deed, elsewhere);
        go_on();
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(!WIFSIGNALED(status) || (WTERMSIG(status) != SIGXCPU && WTERMSIG(status) != SIGKILL),
          "deed %zu with blocks of %zu bytes%s%s goes on for ever", deed, size,
          elsewhere ? ", in a thread" : "", by_two ? ", with another's" : "");
}

int main(void)
{
    static const size_t sizes[] = {24, 1000, 5000, 40000, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size = sizes[i];
        for (size_t deed = 0; deed <= sizeof deeds / sizeof *deeds; deed++) {
            misuse_in_child(deed, true, true);
            misuse_in_child(deed, true, false);
            misuse_in_child(deed, false, false);
        }
    }
    return 0;
}
