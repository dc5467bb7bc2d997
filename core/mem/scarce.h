/* SPDX-License-Identifier: MIT */
/* scarce.h: whether the system has refused memory lately. Then little is kept that is free: the next thread's stack, say,
 * needs room too. Any thread. */
#ifndef HAK_MEM_SCARCE_H
#define HAK_MEM_SCARCE_H

#include "base/types.h"

/* Bytes that stay mapped then though they are free: the system may refuse them next time. The pool keeps as many, and so do the
 * ranges of huge blocks. */
#define HAK_IDLE_WHEN_SCARCE ((size_t)16 << 20)

/* relaxed: a hint, which orders nothing. */
extern _Atomic bool hak_scarce HAK_HIDDEN;

HAK_INLINE bool hak_is_scarce(void)
{
    return atomic_load_explicit(&hak_scarce, memory_order_relaxed);
}

/* A request was refused, and met after what was free had gone back; or it was for so little that it would have been met otherwise.
 * (Of a large one that is refused still nothing is known: 2^46 bytes are never there.) */
void hak_scarce_begin(void);
/* Looks at the clock: ends it when nothing was refused for a while. */
void hak_scarce_tick(uint32_t now_ms);

#endif
