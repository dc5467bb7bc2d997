/* SPDX-License-Identifier: MIT */
/* eager.c: see eager.h. */
#include "mem/eager.h"

#include "os/os.h"

_Atomic bool hak_eager; /* relaxed: see eager.h */

void hak_eager_look(void *page)
{
    atomic_store_explicit(&hak_eager, hak_os_locks_memory(page), memory_order_relaxed);
}
