/* SPDX-License-Identifier: MIT */
/* eager.h: whether the system locks what is mapped, and so backs it at once (mlockall(MCL_FUTURE)): then nothing is mapped ahead of
 * its use. Any thread. */
#ifndef HAK_MEM_EAGER_H
#define HAK_MEM_EAGER_H

#include "base/types.h"

/* relaxed: a hint, which orders nothing. */
extern _Atomic bool hak_eager HAK_HIDDEN;

HAK_INLINE bool hak_eager_is_on(void)
{
    return atomic_load_explicit(&hak_eager, memory_order_relaxed);
}

/* Looks at a page that was mapped just now. */
void hak_eager_look(void *page);

#endif
