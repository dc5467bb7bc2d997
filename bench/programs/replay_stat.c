/* SPDX-License-Identifier: MIT */
/* What a trace says without being executed: sizes, lifetimes, live bytes over the calls, places and threads. */
#include "replay.h"

#include "harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BITS = 65,
    CURVE = 32,   /* rows */
    PLACES = 20,  /* rows */
    THREADS = 20, /* rows */
    STEP = 16,    /* bytes between the sizes of blocks */
    SIZES = (64 << 10) / STEP + 1,
};

typedef struct place {
    uint32_t number, object;
    uint64_t offset;
    uint64_t count, bytes, live,
        remote; /* blocks; bytes; bytes that were never freed; blocks freed by another thread */
} place_t;

typedef struct thread {
    uint32_t number;
    uint64_t takes, frees, remote; /* remote: frees of another thread's blocks */
} thread_t;

typedef struct object {
    uint64_t at; /* of its path in the file */
    uint32_t length;
} object_t;

static struct {
    uint64_t sizes[BITS], size_bytes[BITS], lives[BITS], never;
    uint64_t curve[CURVE]; /* the most in each part */
    uint64_t done, live;   /* calls; bytes */
    place_t *places;       /* [0]: calls without one */
    thread_t *threads;
    object_t *objects;
} seen;

static unsigned bits_of(uint64_t value)
{
    return value == 0 ? 0 : 64u - (unsigned)__builtin_clzll(value);
}

static void note_size(const event_t *event)
{
    seen.sizes[bits_of(event->size)]++;
    seen.size_bytes[bits_of(event->size)] += event->size;
}

static void take(const trace_t *trace, const event_t *event)
{
    block_t *block = &trace->blocks[event->block];
    place_t *place = &seen.places[event->site];
    if (event->kind == TRACE_REALLOC) {
        seen.places[block->site].live -= block->size;
        seen.live -= block->size;
    } else {
        block->born = seen.done;
        block->thread = event->thread;
        block->site = event->site;
    }
    block->size = event->size;
    note_size(event);
    place->count++;
    place->bytes += event->size;
    seen.places[block->site].live += event->size;
    seen.live += event->size;
    seen.threads[event->thread].takes++;
}

static void give(const trace_t *trace, const event_t *event)
{
    const block_t *block = &trace->blocks[event->block];
    const bool remote = block->thread != event->thread;
    seen.lives[bits_of(seen.done - block->born)]++;
    seen.places[block->site].live -= block->size;
    seen.places[block->site].remote += remote;
    seen.threads[event->thread].frees++;
    seen.threads[event->thread].remote += remote;
    seen.live -= block->size;
}

static void look(const trace_t *trace, const event_t *event)
{
    const bool takes = trace_gives(event->kind) || event->kind == TRACE_REALLOC;
    if (takes)
        take(trace, event);
    else if (event->kind == TRACE_FREE)
        give(trace, event);
    else
        return;
    uint64_t *most = &seen.curve[seen.done * CURVE / (trace->events + 1)];
    *most = seen.live > *most ? seen.live : *most;
    seen.done++;
}

static void read_all(trace_t *trace)
{
    cursor_t cursor = {.released = trace_memory(trace->blocks_at_once * sizeof(uint32_t)),
                       .ended = trace_memory(trace->threads + 1u)};
    uint32_t sites = 0, objects = 0;
    event_t event;
    trace_rewind(trace, &cursor);
    while (trace_next(&cursor, &event) > 0) {
        if (event.kind == TRACE_SITE) {
            sites++;
            seen.places[sites] = (place_t){.number = sites, .object = event.block, .offset = event.size};
        } else if (event.kind == TRACE_OBJECT) {
            objects++;
            seen.objects[objects] = (object_t){event.size, event.block};
        } else {
            look(trace, &event);
        }
    }
    for (uint32_t i = 0; i < cursor.fresh; i++)
        seen.never += trace->blocks[i].live;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void print_bits(const char *head, const uint64_t *counts, const uint64_t *bytes)
{
    printf("\n%s\n", head);
    for (unsigned bits = 0; bits < BITS; bits++) {
        if (counts[bits] == 0)
            continue;
        printf("  below %20" PRIu64 "  %12" PRIu64, bits == 64 ? UINT64_MAX : (uint64_t)1 << bits,
               counts[bits]);
        if (bytes != NULL)
            printf("  %16" PRIu64 " bytes", bytes[bits]);
        printf("\n");
    }
}

static void print_curve(const trace_t *trace)
{
    printf("\nlive bytes, the most in each part of the calls\n");
    for (unsigned i = 0; i < CURVE; i++) {
        const unsigned length =
            trace->peak_live == 0 ? 0 : (unsigned)((double)seen.curve[i] * 50 / (double)trace->peak_live);
        printf("  %16" PRIu64 " %.*s\n", seen.curve[i], (int)length,
               "##################################################");
    }
}

static int by_bytes(const void *a, const void *b)
{
    const place_t *left = a, *right = b;
    return (left->bytes < right->bytes) - (left->bytes > right->bytes);
}

static int by_calls(const void *a, const void *b)
{
    const thread_t *left = a, *right = b;
    const uint64_t one = left->takes + left->frees, other = right->takes + right->frees;
    return (one < other) - (one > other);
}

static void print_places(const trace_t *trace)
{
    printf("\n%12s %16s %16s %12s  place (the %d with the most bytes)\n", "blocks", "bytes", "never freed",
           "remote frees", PLACES);
    for (uint32_t i = 0; i <= trace->sites && i < PLACES && seen.places[i].count != 0; i++) {
        const place_t *place = &seen.places[i];
        const object_t *object = &seen.objects[place->object];
        printf("%12" PRIu64 " %16" PRIu64 " %16" PRIu64 " %12" PRIu64 "  %" PRIu32 " ", place->count,
               place->bytes, place->live, place->remote, place->number);
        for (uint32_t k = 0; place->object != 0 && k < object->length; k++) {
            const char byte = (char)trace->bytes[object->at + k];
            putchar(byte < ' ' || byte > '~' ? '?' : byte);
        }
        printf("+0x%" PRIx64 "\n", place->offset);
    }
}

static void print_threads(const trace_t *trace)
{
    printf("\n%12s %12s %12s  thread (0: after their end, or born before)\n", "takes", "frees",
           "remote frees");
    for (uint32_t i = 0; i <= trace->threads && i < THREADS; i++) {
        const thread_t *thread = &seen.threads[i];
        if (thread->takes + thread->frees != 0) {
            printf("%12" PRIu64 " %12" PRIu64 " %12" PRIu64 "  %" PRIu32 "\n", thread->takes, thread->frees,
                   thread->remote, thread->number);
        }
    }
}

void stat_print(trace_t *trace)
{
    seen.places = trace_memory((trace->sites + 1u) * sizeof *seen.places);
    seen.objects = trace_memory((trace->objects + 1u) * sizeof *seen.objects);
    seen.threads = trace_memory((trace->threads + 1u) * sizeof *seen.threads);
    for (uint32_t i = 0; i <= trace->threads; i++)
        seen.threads[i].number = i;
    read_all(trace);
    printf("%s\nrecorded by hakmem %s, %s\n", trace->program, trace->library,
           trace->cut ? "cut" : "to its end");
    printf("%" PRIu64 " events, %" PRIu64 " blocks and reallocs of %" PRIu64 " bytes, %" PRIu64
           " frees (%" PRIu64 " remote), %" PRIu64 " never freed, %" PRIu32 " threads, %" PRIu64
           " bytes at the peak\n",
           trace->events, trace->allocations, trace->total_bytes, trace->frees, trace->remote_frees,
           seen.never, trace->threads, trace->peak_live);
    print_bits("sizes", seen.sizes, seen.size_bytes);
    print_bits("lifetimes in calls", seen.lives, NULL);
    print_curve(trace);
    qsort(seen.places, trace->sites + 1u, sizeof *seen.places, by_bytes);
    qsort(seen.threads, trace->threads + 1u, sizeof *seen.threads, by_calls);
    print_places(trace);
    print_threads(trace);
}

/* --- sizes at the peak -------------------------------------------------------------------------------------------- */

static uint64_t live_of[SIZES]; /* blocks, by the steps of their size */

static uint64_t *place_of(uint64_t size)
{
    static uint64_t beyond;
    const uint64_t steps = size / STEP + (size % STEP != 0);
    return steps < SIZES ? &live_of[steps] : &beyond;
}

/* Bytes in use after an event. */
static uint64_t follow(const trace_t *trace, const event_t *event, uint64_t live)
{
    const bool takes = trace_gives(event->kind) || event->kind == TRACE_REALLOC;
    block_t *block = &trace->blocks[event->block];
    if (event->kind == TRACE_REALLOC || event->kind == TRACE_FREE) {
        live -= block->size;
        --*place_of(block->size);
    }
    if (!takes)
        return live;
    block->size = event->size;
    ++*place_of(block->size);
    return live + block->size;
}

void stat_print_sizes(trace_t *trace)
{
    cursor_t cursor = {.released = trace_memory(trace->blocks_at_once * sizeof(uint32_t)),
                       .ended = trace_memory(trace->threads + 1u)};
    uint64_t live = 0;
    event_t event;
    trace_rewind(trace, &cursor);
    while (live < trace->peak_live && trace_next(&cursor, &event) > 0)
        live = follow(trace, &event, live);
    for (uint64_t steps = 1; steps < SIZES; steps++)
        if (live_of[steps] != 0)
            printf("%" PRIu64 " %" PRIu64 "\n", steps * STEP, live_of[steps]);
}
