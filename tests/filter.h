/* SPDX-License-Identifier: MIT */
/* filter.h: a filter of system calls, as a sandbox has it. */
#ifndef TESTS_FILTER_H
#define TESTS_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

/* From here on the calling thread, and what it starts, is behind the filter. Where none may be, the test is skipped. */
static inline void install_filter(struct sock_filter *program, unsigned short length)
{
    const struct sock_fprog filter = {length, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(TEST_SKIPPED);
}

#endif
