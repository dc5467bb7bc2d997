/* SPDX-License-Identifier: MIT */
/* A set-user-id program, with the allocator in it, started by somebody with less rights: no HAKMEM_ variable is obeyed, and
 * nothing is said about a bad one. Needs the rights to make such a program. */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/stat.h>

#include "threads.h"
#include "hakmem.h"

static void write_copy(const char *path)
{
    static char bytes[1 << 16];
    const int from = open("/proc/self/exe", O_RDONLY);
    const int to = open(path, O_WRONLY | O_CREAT | O_EXCL, 0700);
    CHECK(from >= 0 && to >= 0, "no copy of the program as %s", path);
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
        CHECK(write(to, bytes, (size_t)n) == n, "write");
    CHECK(fchown(to, 0, 0) == 0 && fchmod(to, 04755) == 0, "setuid");
    close(from);
    close(to);
}

/* The variables that would show: one that is wrong, and one that prints at the end. */
static char *const settings[] = {(char *)"HAKMEM_MODE=nonsense", (char *)"HAKMEM_STATS_DUMP=1", NULL};

/* The exit status, and how much it said. */
static int run(char *path, uid_t as, size_t *said)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "pipe");
    const pid_t child = fork();
    if (child == 0) {
        char *const words[] = {path, (char *)"privileged", NULL};
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        if (setresgid(as, as, as) != 0 || setresuid(as, as, as) != 0)
            _exit(8);
        execve(path, words, settings);
        _exit(9);
    }
    close(ends[1]);
    char text[2000];
    *said = 0;
    for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;)
        *said += (size_t)n;
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        hakmem_free(hakmem_alloc(100));
        return getauxval(AT_SECURE) != 0 ? 0 : 5;
    }
    if (geteuid() != 0)
        return TEST_SKIPPED;
    char place[] = "/tmp/hakmem-secure-XXXXXX";
    CHECK(mkdtemp(place) != NULL && chmod(place, 0755) == 0, "mkdtemp");
    char path[sizeof place + 10];
    snprintf(path, sizeof path, "%s/program", place);
    write_copy(path);
    size_t said, said_plain;
    const int status = run(path, 65534, &said);
    const int plain = run(path, 0, &said_plain);
    unlink(path);
    rmdir(place);
    if (status == 5 || status == 8 || argv[0] == NULL)
        return TEST_SKIPPED; /* this file system grants nothing */
    CHECK(status == 0 && said == 0, "status %d, and it said %zu bytes", status, said);
    CHECK(plain == 5 && said_plain != 0, "without privileges: status %d, and it said %zu bytes", plain,
          said_plain);
    return 0;
}
