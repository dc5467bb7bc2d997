/* SPDX-License-Identifier: MIT */
/* A program that runs with more rights than its caller obeys no HAKMEM_ variable and says nothing about them. The program
 * runs a copy of itself that belongs to another user and is set-user-id. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/options.h"
#include "check.h"
#include "hakmem.h"

enum {
    NOBODY = 65534,
    PLAIN = 10, /* exit statuses of the copy: it is not set-user-id here */
    OBEYED = 11,
    IGNORED = 12,
};

static int look(void)
{
    hakmem_free(hakmem_alloc(100));
    if (getauxval(AT_SECURE) == 0)
        return PLAIN;
    return hak_policy()->retain_mb == 7 ? OBEYED : IGNORED;
}

static void copy_to(const char *path)
{
    char bytes[1 << 16];
    const int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_TRUNC);
    CHECK(from >= 0 && to >= 0, "open");
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
        CHECK(write(to, bytes, (size_t)n) == n, "write");
    close(from);
    close(to);
}

/* The exit status of the program; what it says on stderr is in `said`. */
static int run(const char *path, char said[4096])
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        setenv("HAKMEM_RETAIN_MB", "7", 1);
        setenv("HAKMEM_NO_SUCH_NAME", "7", 1);
        setenv("HAKMEM_THP", "nonsense", 1);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        execl(path, path, "look", (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n; length < 4095 && (n = read(ends[0], said + length, 4095 - length)) > 0;)
        length += (size_t)n;
    said[length] = 0;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "look") == 0)
        return look();
    char path[] = "/tmp/hakmem.secure.XXXXXX", said[4096];
    const int file = mkstemp(path);
    CHECK(file >= 0, "mkstemp");
    close(file);
    copy_to(path);
    if (chown(path, NOBODY, NOBODY) != 0 || chmod(path, 04755) != 0) {
        unlink(path);
        return TEST_SKIPPED; /* only root can give the copy another owner */
    }
    const int seen = run(path, said);
    unlink(path);
    if (seen == PLAIN)
        return TEST_SKIPPED; /* mounted nosuid */
    CHECK(seen == IGNORED, "exit %d, it said: %s", seen, said);
    CHECK(said[0] == 0, "it said: %s", said);
    CHECK(run("/proc/self/exe", said) == PLAIN && strstr(said, "HAKMEM_NO_SUCH_NAME") != NULL &&
              strstr(said, "HAKMEM_THP=nonsense") != NULL,
          "without other rights it said: %s", said);
    return 0;
}
