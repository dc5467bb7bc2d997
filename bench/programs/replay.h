/* SPDX-License-Identifier: MIT */
/* What the parts of bench_replay share: the trace and its events (replay_trace.c), pages and a modelled TLB (replay_model.c),
 * figures of a trace that is not executed (replay_stat.c). docs/trace.md has the format and what the figures mean.
 *
 * All memory of their own is mapped shared: nothing of it comes from the malloc that is judged, and the kernel counts it
 * apart from what that one has.
 */
#ifndef BENCH_REPLAY_H
#define BENCH_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First bytes of events. */
enum {
    TRACE_THREAD = 1,
    TRACE_BEGIN,
    TRACE_END,
    TRACE_OBJECT,
    TRACE_SITE,
    TRACE_MALLOC,
    TRACE_CALLOC,
    TRACE_ALIGNED,
    TRACE_REALLOC,
    TRACE_FREE,
    TRACE_BORN,
};

/* One event. What a kind does not have is 0. Of TRACE_OBJECT, `size` is where its path begins in the file and `block` that one's
 * length; of TRACE_SITE `block` is the object and `size` the offset in it. */
typedef struct event {
    uint8_t kind;
    uint8_t align;   /* log2; 0: none asked for */
    uint32_t thread; /* whose it is; of TRACE_BEGIN and TRACE_END the thread that does */
    uint32_t site;
    uint32_t block;
    uint64_t size;
} event_t;

/* A block number's state. */
typedef struct block {
    void *address;
    uint64_t size;   /* as asked for; only if it is live */
    uint64_t born;   /* events before it */
    uint64_t usable; /* bytes */
    uint32_t site, thread;
    bool live;
    bool filled; /* its ends are marked */
} block_t;

/* A trace that is mapped. */
typedef struct trace {
    const char *path;
    const uint8_t *bytes;
    size_t size;  /* bytes that count */
    size_t first; /* where the events begin */
    uint32_t flags, end;
    bool cut; /* nobody wrote how it ended */
    char program[256], library[64];
    /* counted by trace_open */
    uint64_t events, allocations, frees, remote_frees;
    uint32_t threads, threads_at_once, blocks_at_once, sites, objects;
    uint64_t peak_live, total_bytes;
    block_t *blocks; /* by number */
} trace_t;

/* Where a reader is. */
typedef struct cursor {
    const trace_t *trace;
    size_t at;
    uint32_t thread, threads; /* current; begun so far */
    uint32_t fresh;           /* block numbers so far */
    uint32_t objects, sites;
    uint32_t *released; /* block numbers to be taken again, the last one first */
    size_t released_count;
    uint8_t *ended; /* by thread */
} cursor_t;

/* Opens and checks all of a trace. Anything wrong with it: one sentence, exit 2. */
void trace_open(trace_t *trace, const char *path);
/* At the first event; all blocks forgotten. */
void trace_rewind(const trace_t *trace, cursor_t *cursor);
/* The next event: 1; the end: 0; what is none: -1, which cannot be after trace_open. It keeps trace->blocks[].live. */
int trace_next(cursor_t *cursor, event_t *event);
/* True of a kind that gives a block. */
static inline bool trace_gives(unsigned kind)
{
    return kind == TRACE_MALLOC || kind == TRACE_CALLOC || kind == TRACE_ALIGNED || kind == TRACE_BORN;
}

/* Zeroed memory, not backed until touched. */
void *trace_memory(size_t bytes);

/* --- the model ---------------------------------------------------------------------------------------------------- */

typedef struct model {
    uint64_t pages;     /* distinct ones of 4 KiB that were touched */
    uint64_t misses[2]; /* of either level */
    uint64_t huge_most; /* huge pages at a look, at most */
} model_t;

extern model_t model;
void model_start(void);
/* A part of a block is read or written. */
void model_touch(const void *p, uint64_t size);
/* Looks which pages are huge. */
void model_look(void);

/* --- without execution -------------------------------------------------------------------------------------------- */

/* Prints sizes, lifetimes, the live curve, sites and threads. */
void stat_print(trace_t *trace);
/* Prints how many blocks of each size there are when most bytes are in use: a line `bytes blocks` each, in steps of 16, up to
 * 64 KiB. */
void stat_print_sizes(trace_t *trace);

#endif
