/* SPDX-License-Identifier: MIT */
/* frames.h: who calls: return addresses of the calling thread's frames, by the tables that compilers write for exceptions. The
 * unwinder is libgcc's, linked statically: libc's backtrace() would load it when first asked, and allocate. Any thread; no lock
 * may be held, and none is taken that a program can hold. A frame without tables ends the walk. */
#ifndef HAK_OBS_FRAMES_H
#define HAK_OBS_FRAMES_H

#include "base/types.h"

#define HAK_FRAMES_MOST 32u

typedef struct hak_frames {
    uint32_t depth;
    uintptr_t at[HAK_FRAMES_MOST]; /* the innermost first */
} hak_frames_t;

/* Those outside of this library; in a program that was linked with the archive, the library's own too. */
HAK_NOINLINE void hak_frames_walk(hak_frames_t *frames);

#endif
