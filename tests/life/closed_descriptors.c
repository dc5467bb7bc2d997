/* SPDX-License-Identifier: MIT */
/* Started with 0, 1 and 2 closed, and with no descriptor allowed at all: the allocator neither needs nor takes one. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/resource.h>
#include "threads.h"

static void *work(void *index)
{
    (void)index;
    use_every_size();
    return NULL;
}

static int with_none_open(void)
{
    use_every_size();
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) != -1 || errno != EBADF)
            return 2;
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0)
        return 3;
    use_every_size();
    return run_threads(3, work);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return with_none_open();
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        close(0);
        close(1);
        close(2);
        execl("/proc/self/exe", argv[0], "closed", NULL);
        _exit(9);
    }
    expect_child_succeeds(child, "with descriptors closed (2: one was taken, 3: no limit)");
    return 0;
}
