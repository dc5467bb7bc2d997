/* SPDX-License-Identifier: MIT */
/* frames.c: see frames.h. No state. */
#include "obs/frames.h"

#include "os/os.h"

#include <unwind.h>

#define OWN_MOST 32u /* frames of the library that are passed over; more than there ever are */

/* Where the linker put this library, or the program that it is a part of. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

typedef struct walk {
    hak_frames_t *frames;
    uintptr_t start, end; /* of the library; empty in a program that is linked with the archive */
    uint32_t own;         /* frames of it so far */
} walk_t;

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *argument)
{
    walk_t *walk = argument;
    hak_frames_t *frames = walk->frames;
    uintptr_t at = _Unwind_GetIP(context);
    if (at == 0 || frames->depth == HAK_FRAMES_MOST || walk->own == OWN_MOST)
        return _URC_END_OF_STACK;
    if (frames->depth == 0 && at - walk->start < walk->end - walk->start)
        walk->own++;
    else
        frames->at[frames->depth++] = at;
    return _URC_NO_REASON;
}

void hak_frames_walk(hak_frames_t *frames)
{
    walk_t walk = {.frames = frames, .start = (uintptr_t)__ehdr_start, .end = (uintptr_t)_end};
    uintptr_t program = (uintptr_t)hak_os_program();
    if (program - walk.start < walk.end - walk.start)
        walk.end = walk.start;
    frames->depth = 0;
    _Unwind_Backtrace(note_frame, &walk);
}
