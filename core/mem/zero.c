/* SPDX-License-Identifier: MIT */
/* zero.c: see zero.h. A run of inaccessible slices has a place for each 16 bytes, and harden.h's state of the place says
 * whether it is taken: no lock, a place is whose exchange of the state succeeds. Runs stay. */
#include "mem/zero.h"

#include "mem/chunk.h"
#include "mem/guard.h"
#include "mem/quarantine.h"
#include "os/os.h"

#include <errno.h>

#define RUNS       64u /* at most: half a million blocks */
#define RUN_SLICES 8u
#define RUN_BYTES  (RUN_SLICES * HAK_SLICE)
#define ZERO_TRIES 16u /* places that are looked at before there is another run */

/* In use from [0] on. release in add_run, pairs with acquire in hak_zero_take: the entries are there. */
static _Atomic(char *) runs[RUNS];

/* A place at random that is free, of a run; NULL if that is not found soon. */
static void *take_from(char *run, size_t align, unsigned kind)
{
    for (unsigned i = 0; i < ZERO_TRIES; i++) {
        char *p = run + hak_thread_random() % (RUN_BYTES / align) * align;
        uint8_t *state = hak_harden_state(p);
        uint8_t found = __atomic_load_n(state, __ATOMIC_RELAXED);
        if (found < HAK_BLOCK_USED && !hak_quarantine_was_last(p) &&
            __atomic_compare_exchange_n(state, &found, (uint8_t)(HAK_BLOCK_USED | kind), false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return p;
    }
    return NULL;
}

/* Another run in place i, unless somebody is faster. False when memory is out. */
static bool add_run(unsigned i)
{
    hak_slab_t *slab = hak_chunk_take_run(RUN_SLICES, HAK_RUN_SINGLE);
    if (slab == NULL)
        return false;
    char *run = hak_slab_base(slab);
    char *none = NULL;
    atomic_store_explicit(&slab->heap, NULL, memory_order_relaxed);
    slab->class = 0;
    slab->size = 0;
    hak_guard_forbid(run, RUN_BYTES);
    for (unsigned at = 0; at < RUN_SLICES; at++)
        hak_map_set(run + at * HAK_SLICE, hak_entry(0, HAK_ENTRY_ZERO));
    if (atomic_compare_exchange_strong_explicit(&runs[i], &none, run, memory_order_release,
                                                memory_order_relaxed))
        return true;
    for (unsigned at = 0; at < RUN_SLICES; at++)
        hak_map_set(run + at * HAK_SLICE, 0);
    if (hak_os_make_writable(run, RUN_BYTES))
        hak_chunk_release_run(slab, 0);
    return true;
}

void *hak_zero_take(size_t align, unsigned kind)
{
    if (align > HAK_SLICE || (hak_thread.heap == NULL && hak_heap_attach_at_need() == NULL))
        return hak_harden_malloc_none(align, kind);
    for (unsigned i = 0; i < RUNS; i++) {
        char *run = atomic_load_explicit(&runs[i], memory_order_acquire);
        if (run == NULL) {
            if (!add_run(i))
                return hak_harden_malloc_none(align, kind);
            run = atomic_load_explicit(&runs[i], memory_order_acquire);
        }
        void *p = take_from(run, align, kind);
        if (p != NULL)
            return p;
    }
    return hak_harden_malloc_none(align, kind);
}

void hak_zero_free(void *p)
{
    hak_quarantine_note_last(p);
    __atomic_store_n(hak_harden_state(p), HAK_BLOCK_FREE, __ATOMIC_RELEASE);
}
