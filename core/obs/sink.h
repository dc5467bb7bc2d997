/* SPDX-License-Identifier: MIT */
/* sink.h: the file of a recording: which one, its header, a buffer in front of it, its end. Touched by the holder of the
 * recording's lock.
 *
 * No descriptor is kept: a program may close all it finds and use the number for a file of its own. Each time the buffer goes
 * out, the file is opened by its name and must be the same one as before. What is in the buffer is lost when the process ends
 * by _exit, exec or a signal, so at first little is gathered: a quarter of what went out before, at most HAK_SINK_BUFFER. */
#ifndef HAK_OBS_SINK_H
#define HAK_OBS_SINK_H

#include "os/file.h"

#define HAK_SINK_BUFFER ((size_t)64 << 10) /* bytes; docs/trace.md says what they mean */
#define HAK_SINK_ITEM   ((size_t)512)      /* bytes that are added at once, at most */

/* How a trace ended, as its header says. */
typedef enum hak_sink_end {
    HAK_SINK_CUT,   /* nobody has said: the process was ended in the middle */
    HAK_SINK_ENDED, /* the program's end */
    HAK_SINK_LIMIT, /* HAKMEM_TRACE_MB was reached */
    HAK_SINK_FULL,  /* the disk is full, or the file may not grow */
    HAK_SINK_MEMORY /* memory for the table of blocks is out */
} hak_sink_end_t;

#define HAK_SINK_CHILD   1u /* flags: of a forked child */
#define HAK_SINK_UNKNOWN 2u /* its parent's blocks are not known */

/* All zero: closed. */
typedef struct hak_sink {
    unsigned char *bytes; /* the buffer */
    size_t used;          /* of it */
    uint64_t at;          /* where it goes in the file */
    uint64_t limit;       /* bytes of the file, at most */
    uint64_t device, inode;
    uint32_t flags;
    bool open;
    char base[HAK_OS_PATH]; /* the name that was asked for, from the root */
    char path[HAK_OS_PATH]; /* the file's own */
} hak_sink_t;

/* Chooses and begins the file by what HAKMEM_TRACE says. False after one warning. */
bool hak_sink_begin(hak_sink_t *sink, const char *name, uint64_t limit);
/* In a forked child: a file of its own, FILE.PID. False if there is none; nothing is said. */
bool hak_sink_begin_in_child(hak_sink_t *sink, uint32_t flags);
/* Makes room for an item: it is to be written to sink->bytes + sink->used. False: the limit is reached, or the disk is full, and
 * the file has its end. */
bool hak_sink_make_room(hak_sink_t *sink, uint64_t events, uint64_t lost);
/* Ends the file: what is in the buffer goes out, and the header says how it ended and how many events there are. */
void hak_sink_finish(hak_sink_t *sink, hak_sink_end_t end, uint64_t events, uint64_t lost);

#endif
