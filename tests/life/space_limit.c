/* SPDX-License-Identifier: MIT */
/* Little address space (RLIMIT_AS): where a program starts, it starts with any larger limit, too; and takes no more of it than it
 * needs, since not all that needs some is asked for by malloc. */
#define _GNU_SOURCE
#include <sys/personality.h>
#include <sys/resource.h>
#include "threads.h"

enum {
    LEAST_KIB = 30000 /* of address space, in which any program starts */
};

static int starts_with(const char *name, rlim_t kib)
{
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {kib << 10, kib << 10};
        /* Where things lie decides how many windows the map needs, of 1 MiB each: always at the same places here. */
        if (personality(ADDR_NO_RANDOMIZE) == -1)
            _exit(7);
        if (setrlimit(RLIMIT_AS, &limit) != 0 || dup2(open("/dev/null", O_WRONLY), 2) < 0)
            _exit(8);
        execl("/proc/self/exe", name, "start", NULL);
        _exit(9);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    return status == 0;
}

static int start(void)
{
    for (size_t size = 1; size < 300000; size *= 2)
        CHECK(malloc(size) != NULL, "no memory for %zu bytes", size);
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    const long taken = number_behind("/proc/self/statm", "") * 4;
    CHECK(limit.rlim_cur > 1000u << 20 || taken <= LEAST_KIB, "takes %ld KiB of address space", taken);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return start();
    rlim_t least = 0;
    for (rlim_t kib = 3000; kib < 80000; kib += 500) {
        const int started = starts_with(argv[0], kib);
        if (started && least == 0)
            least = kib;
        CHECK(started || least == 0, "%lu KiB are not enough, but %lu are", (unsigned long)kib,
              (unsigned long)least);
    }
    CHECK(starts_with(argv[0], 900000), "not with 900 MB");
    CHECK(least != 0 && least <= LEAST_KIB, "needs %lu KiB of address space to start", (unsigned long)least);
    CHECK(starts_with(argv[0], 2000000), "not with 2 GiB");
    return 0;
}
