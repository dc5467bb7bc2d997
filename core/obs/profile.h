/* SPDX-License-Identifier: MIT */
/* profile.h: what sampled blocks tell of the heap: for each stack and size of block how many were seen, and how many of them
 * live. Any thread, without any lock held; what a signal handler samples in the middle of this is left out.
 *
 * Bounded, in mappings of its own: 8,191 stacks (what comes after them is shown as one) and 196,608 live samples (what comes
 * after them is counted as allocated, not as live). docs/profiling.md says how to read it. */
#ifndef HAK_OBS_PROFILE_H
#define HAK_OBS_PROFILE_H

#include "obs/frames.h"

#define HAK_PROFILE_STACKS 8192u   /* the first is for what finds no place */
#define HAK_PROFILE_LIVE   196608u /* samples */
#define HAK_PROFILE_NONE   UINT32_MAX

/* A stack and a size of block. Written by the holder of the lock, the figures read by anybody. */
typedef struct hak_profile_stack {
    uint64_t size;          /* bytes in each block */
    _Atomic uint64_t live;  /* samples; relaxed: figures */
    _Atomic uint64_t total; /* samples; relaxed: figures */
    uint32_t depth;
    uintptr_t at[HAK_FRAMES_MOST];
} hak_profile_stack_t;

/* Before the first block. False if there is no memory for it. */
bool hak_profile_begin(void);
/* In a forked child, alone. */
void hak_profile_after_fork(void);
/* Block p is sampled. */
void hak_profile_enter(const void *p, size_t size, const hak_frames_t *frames);
/* Block p is about to be freed; HAK_PROFILE_NONE if it is not sampled, or else its stack. */
uint32_t hak_profile_leave(const void *p);
/* It is not: it stays what it was, perhaps with nothing but its address. */
void hak_profile_return(const void *p, uint32_t stack);

/* Stacks so far, and each of them: whole, once it is counted. */
uint32_t hak_profile_count(void);
const hak_profile_stack_t *hak_profile_stack(uint32_t i);

#endif
