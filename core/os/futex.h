/* SPDX-License-Identifier: MIT */
/* futex.h: to sleep until a word changes. Any thread; a wait may end early. */
#ifndef HAK_OS_FUTEX_H
#define HAK_OS_FUTEX_H

#include "base/call.h"
#include "base/types.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

static inline void hak_os_futex_wait(const void *word, uint32_t value)
{
    hak_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, 0, 0, 0);
}

/* The same, no longer than so many milliseconds. */
static inline void hak_os_futex_wait_for(const void *word, uint32_t value, uint64_t ms)
{
    struct timespec most = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    hak_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, (long)&most, 0, 0);
}

static inline void hak_os_futex_wake(const void *word, long threads)
{
    hak_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, threads, 0, 0, 0);
}

#endif
