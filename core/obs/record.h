/* SPDX-License-Identifier: MIT */
/* record.h: every call to malloc and free into a file (HAKMEM_TRACE), for bench_replay. Compiled in by HAK_RECORD.
 *
 * One lock makes one order of all threads' calls, which the file keeps: a block is entered after it was taken and before
 * anybody else can free it, and its end before its address can be another block's. Blocks have numbers (blocks.h), places of
 * calls too (sites.h). A handler that interrupts this and allocates is not recorded, but counted. docs/trace.md has the format. */
#ifndef HAK_OBS_RECORD_H
#define HAK_OBS_RECORD_H

#include "obs/watch.h"

/* The kinds of events; the first byte of each. */
typedef enum hak_record_kind {
    HAK_RECORD_THREAD = 1, /* what follows is of this thread: number; 0: of those that have ended */
    HAK_RECORD_BEGIN,  /* a thread's first call: it gets the next number, from 1, and what follows is of it */
    HAK_RECORD_END,    /* the thread ends */
    HAK_RECORD_OBJECT, /* a mapped file gets the next number, from 1: length, path */
    HAK_RECORD_SITE,   /* a place gets the next number, from 1: object, offset */
    HAK_RECORD_MALLOC, /* site, size */
    HAK_RECORD_CALLOC, /* site, size */
    HAK_RECORD_ALIGNED, /* site, size, log2 of the alignment */
    HAK_RECORD_REALLOC, /* site, size, block: it keeps its number */
    HAK_RECORD_FREE,    /* block */
    HAK_RECORD_BORN     /* in a child: a block of its parent: size, log2 of the alignment */
} hak_record_kind_t;

/* What realloc holds of a block until it knows where that has gone. */
typedef struct hak_record_held {
    uint64_t size;          /* bytes asked for */
    uint32_t number, align; /* as in the table (blocks.h), from which it is taken out meanwhile */
    bool known;             /* false: it was not there */
} hak_record_held_t;

/* Looks at the options, before the first block. */
void hak_record_start(void);
/* In a forked child, alone. */
void hak_record_after_fork(void);
/* The program ends. */
void hak_record_finish(void);
/* The calling thread ends. */
void hak_record_thread_ends(void);
/* A block was taken. */
void hak_record_take(hak_record_kind_t kind, const void *p, size_t size, unsigned align, const void *site);
/* A block is about to be freed. */
void hak_record_free(const void *p);
/* A block is about to be resized; then what came of it: its address now, NULL if it is as it was at `before`. */
hak_record_held_t hak_record_hold(const void *p);
void hak_record_resized(hak_record_held_t held, const void *before, const void *p, size_t size,
                        const void *site);

static inline bool hak_record_is_on(void)
{
    return HAK_RECORD && hak_watch_calls != 0;
}

#endif
