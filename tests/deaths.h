/* SPDX-License-Identifier: MIT */
/* For what must end the process: it is done in a forked child, without a core file. cmocka's. */
#ifndef TESTS_DEATHS_H
#define TESTS_DEATHS_H

#include "suite.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* The signal that ends a child that does this, 0 if none does; -1 of one that finds something wrong (CHECK). What it says on
 * stderr is in `said`, terminated. */
static inline int death_by(void (*deed)(void *), void *argument, char *said, size_t room)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], 2);
        deed(argument);
        _exit(0);
    }
    close(ends[1]);
    read_to_end(ends[0], said, room);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : status == 0 ? 0 : -1;
}

#endif
