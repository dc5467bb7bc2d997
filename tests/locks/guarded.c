/* SPDX-License-Identifier: MIT */
/* What the compiler checks of locks (core/base/guarded.h): tests/test_locks.py compiles this with WRONG from 1 to 7, each of which
 * must be refused, and with 0, which must not. */
#include "mem/remote.h"
#include "mem/slab.h"

static hak_os_lock_t lock = HAK_OS_LOCK(POOL);
static int guarded HAK_GUARDED_BY(lock);
static _Atomic int counted;

static void change(void) HAK_REQUIRES(lock)
{
    guarded++;
}

bool hak_test_locks(hak_heap_t *heap);

bool hak_test_locks(hak_heap_t *heap)
{
    if (WRONG == 1)
        guarded++;
    if (WRONG == 2)
        change();
    if (WRONG == 3)
        heap->empty_count = 0;
    if (WRONG == 4)
        return hak_slab_has_free(heap, 1);
#if WRONG == 7
    counted++;
#endif
    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
    hak_os_lock(&lock);
    change();
    guarded--;
    if (WRONG == 5)
        return false;
    hak_os_unlock(&lock);
    if (!hak_os_try_lock(&heap->lock))
        return false;
    heap->empty_count = 0;
    bool any = hak_slab_has_free(heap, 1);
    if (WRONG == 6)
        hak_remote_flush_unattended(heap);
    hak_os_unlock(&heap->lock);
    return any;
}
