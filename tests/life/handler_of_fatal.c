/* SPDX-License-Identifier: MIT */
/* A handler of SIGABRT that allocates, as one does that writes a report of a crash: whatever the allocator was in the middle of
 * when it found something wrong, nobody waits for ever. And a pipe that nobody reads, or a file that may not grow, as stderr:
 * what the allocator has to say there ends no program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include "threads.h"

enum {
    MANY = 3000,
    REPORTED = 42,
    WRITTEN = 0x5A /* hardened leaves zeroes in what is free: zeroes over them would be no change */
};

static void write_report(int number)
{
    static const size_t sizes[] = {24, 64, 200, 3000, 20000, 40000, 300000, 3 << 20};
    (void)number;
    for (size_t i = 0; i < 8 * 50; i++) {
        char *block = malloc(sizes[i % 8]);
        if (block != NULL)
            *block = 1;
        if (i % 2 == 0)
            free(block);
    }
    _exit(REPORTED);
}

/* Frees many blocks, of which one is written to meanwhile; then they go where others are. */
static _Noreturn void spoil(size_t size, size_t which)
{
    static void *blocks[MANY];
    alarm(20);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU, &(struct rlimit){10, 10});
    dup2(open("/dev/null", O_WRONLY), 2);
    signal(SIGABRT, write_report);
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "no memory");
    }
    for (size_t i = 0; i < MANY; i++) {
        free(blocks[i]);
        if (i == which + 1)
            memset(escape(blocks[which]), WRITTEN, 16);
    }
    malloc_trim(0);
    _exit(0);
}

static int reports;

static void expect_an_end(size_t size, size_t which)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0)
        spoil(size, which);
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(!WIFSIGNALED(status) || (WTERMSIG(status) != SIGALRM && WTERMSIG(status) != SIGXCPU),
          "with blocks of %zu bytes a handler waits for ever", size);
    reports += WIFEXITED(status) && WEXITSTATUS(status) == REPORTED;
}

/* Whether a program ends as it would have: it does nothing, with an option that is none and statistics that are asked for. */
static void expect_no_harm_from(int error_output, bool limited)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        setenv("HAKMEM_STATS_DUMP", "1", 1);
        setenv("HAKMEM_NO_OPTION", "1", 1);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(error_output, 2);
        if (limited)
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
        execl("/proc/self/exe", "handler_of_fatal", "nothing", (char *)NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(!WIFSIGNALED(status), "a message that nobody reads ended the program by signal %d",
          WTERMSIG(status));
    CHECK(WEXITSTATUS(status) == 0, "status %d", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        free(escape(malloc(100)));
        return 0;
    }
    const size_t sizes[] = {64, 400, 5000};
    for (size_t i = 0; i < 3; i++) {
        expect_an_end(sizes[i], 0);
        expect_an_end(sizes[i], MANY / 2);
        expect_an_end(sizes[i], MANY - 2);
    }
    const char *(*version)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "hakmem_version");
    const bool checks =
        version != NULL && strstr(version(), "minimal") == NULL && strstr(version(), "plugin") == NULL;
    CHECK(!checks || reports > 0, "nothing wrong was found");
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    close(ends[0]);
    expect_no_harm_from(ends[1], false);
    FILE *file = tmpfile();
    CHECK(file != NULL, "tmpfile");
    expect_no_harm_from(fileno(file), true);
    return 0;
}
