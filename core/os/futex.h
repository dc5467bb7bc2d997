/* SPDX-License-Identifier: MIT */
/* futex.h: to sleep until a word changes. Any thread; a wait may end early. */
#ifndef HAK_OS_FUTEX_H
#define HAK_OS_FUTEX_H

#include "base/call.h"
#include "base/types.h"

#include <linux/futex.h>
#include <sys/syscall.h>

static inline void hak_os_futex_wait(const void *word, uint32_t value)
{
    hak_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, 0, 0, 0);
}

static inline void hak_os_futex_wake(const void *word, long threads)
{
    hak_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, threads, 0, 0, 0);
}

#endif
