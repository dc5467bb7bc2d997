/* SPDX-License-Identifier: MIT */
/* thread.h: what a thread has, and the bins that it works on. Only the thread itself touches it. */
#ifndef HAK_MEM_THREAD_H
#define HAK_MEM_THREAD_H

#include "mem/harden.h"

typedef struct hak_heap hak_heap_t;

/* The fast path's list of one class. 16 bytes: a class times 16 is its bin's offset. */
typedef struct hak_bin {
    void *head;          /* first free block, linked through their first words; NULL when empty */
    uint32_t frees_left; /* frees until hak_bin_full; at least 1 */
    uint16_t cap;        /* what frees_left is set to when the bin is filled or emptied */
    uint16_t seen;       /* what the sweep of the bins saw when it last came by */
} hak_bin_t;

static_assert(sizeof(hak_bin_t) == HAK_BIN_BYTES, "the offset of a bin is that of its class");

#define HAK_QUARANTINE_BITS 2
#define HAK_QUARANTINE      (1u << HAK_QUARANTINE_BITS)

#define HAK_STRAYS 8u /* a thread that takes and frees more blocks than that gets a heap of its own */

/* What a thread has; zero until the thread's first slow path, but for what thread.c says. Only its thread touches it. */
typedef struct hak_thread {
#if HAK_TLS_BINS
    hak_bin_t bins[HAK_CLASSES]; /* [0] stays empty: malloc(0) goes to the slow path */
#else
    /* Those in its heap; without a heap, bins that are always empty and that nobody may write. */
    hak_bin_t *bins;
#endif
    uint32_t self;  /* the heap's owner number, shifted as in the map; HAK_NO_OWNER without a heap */
    bool ended;     /* the thread has been told that it ends */
    uint8_t strays; /* blocks that it took or freed without a heap; counted as far as HAK_STRAYS */
    bool at_tick;   /* in hak_tick_now */
    hak_heap_t *heap;
    hak_heap_t *claimed; /* on its way to or from the thread: nobody else's, in a forked child either */
#if HAK_HARDEN
    uintptr_t window; /* the 4 GiB of addresses of the last pointer that turned out to be ours */
    uint64_t random;
    uint64_t places;  /* random bits to be used, and a one in front of them; 0 at first */
    const void *last; /* the block freed last */
    void *quarantine[HAK_TINY_CLASSES + 1][HAK_QUARANTINE]; /* freed blocks that wait (quarantine.h) */
    void *quarantine_other[HAK_QUARANTINE];                 /* those that are not tiny, or another heap's */
#endif
} hak_thread_t;

extern _Thread_local hak_thread_t hak_thread HAK_HIDDEN;

#if !HAK_TLS_BINS
/* The bins of a thread without a heap. */
extern const hak_bin_t hak_thread_no_bins[HAK_CLASSES] HAK_HIDDEN;
#endif

/* clang puts what is in hak_thread relative to the thread pointer into the instruction itself; gcc first makes a pointer of it,
 * unless it is told that it lies in the segment fs: malloc and free are 13 and 15 instructions with that, 14 and 17 without
 * (gcc 12; clang 22: 11 and 14). */
#if defined(__x86_64__) && !defined(__clang__) && !HAK_SANITIZED && HAK_TLS_BINS
#define HAK_THREAD_IN_FS 1

HAK_INLINE uintptr_t hak_thread_offset(void)
{
    uintptr_t offset;
    __asm__("movq hak_thread@gottpoff(%%rip), %0" : "=r"(offset));
    return offset;
}

HAK_INLINE uint32_t hak_thread_self(void)
{
    return *(uint32_t __seg_fs *)(hak_thread_offset() + offsetof(hak_thread_t, self));
}
#else
#define HAK_THREAD_IN_FS 0

HAK_INLINE uint32_t hak_thread_self(void)
{
    return hak_thread.self;
}
#endif

/* Not for keys: where a block goes, and in which order new ones are handed out. */
HAK_INLINE uint64_t hak_thread_random(void)
{
#if HAK_HARDEN
    hak_thread.random += 0x9e3779b97f4a7c15ull; /* odd: every state comes */
    return hak_mix(hak_thread.random, hak_thread.random ^ hak_harden_keys.mirror_factor);
#else
    return 0;
#endif
}

/* The 4 GiB of addresses for which the map need not be asked. */
HAK_INLINE uintptr_t hak_thread_window(void)
{
#if HAK_HARDEN
    return hak_thread.window;
#else
    return 0;
#endif
}

#endif
