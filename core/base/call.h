/* SPDX-License-Identifier: MIT */
/* call.h: a system call without libc. Any thread, also under a lock and before libc is ready: no function that somebody
 * interposes is involved, errno is left alone. */
#ifndef HAK_BASE_CALL_H
#define HAK_BASE_CALL_H

/* The kernel's answer: a result, or an error's number negated. A function of its own so that tests can --wrap it. */
long hak_call(long number, long a, long b, long c, long d, long e, long f);

/* True of an answer that is an error. */
static inline int hak_call_failed(long answer)
{
    return (unsigned long)answer > -4096ul;
}

#endif
