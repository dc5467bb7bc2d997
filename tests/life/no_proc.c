/* SPDX-License-Identifier: MIT */
/* No /proc and no /sys: in a mount namespace whose root is empty but for the program, its libraries, and nothing else
 * that could be read. The program starts itself there, so that the library is loaded there. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include "threads.h"

static void *work(void *index)
{
    (void)index;
    use_every_size();
    return NULL;
}

static int without(void)
{
    CHECK(access("/proc/self", F_OK) != 0, "/proc is still there");
    for (int round = 0; round < 20; round++)
        CHECK(run_threads(4, work) == 0, "threads");
    use_every_size();
    return 0;
}

/* An empty file system over a directory; false when this user may not. */
static int hide(const char *directory)
{
    return mount("none", directory, "tmpfs", 0, NULL) == 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    if (argv[0][0] == 0)
        return without();
    char path[4096];
    CHECK(realpath("/proc/self/exe", path) != NULL, "no path of this program");
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        /* Root may do it as such; others in a user namespace, where that is allowed. */
        if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || !hide("/proc") || !hide("/sys")) {
            printf("/proc cannot be taken away by this user: errno %d\n", errno);
            fflush(stdout);
            _exit(TEST_SKIPPED);
        }
        execl(path, "", NULL);
        _exit(9);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
        return TEST_SKIPPED;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "without /proc: status 0x%x", status);
    return 0;
}
