/* SPDX-License-Identifier: MIT */
/* An exhaustive explorer of interleavings over the library's real code.
 *
 * The library's objects are compiled with -fsanitize=thread, but the runtime that their calls lead to is our own
 * (callbacks.c): each atomic operation, each wait for a lock and each call to the system that maps or unmaps is a *step*,
 * before which one of the threads is chosen (schedule.c). Threads are real ones that hand one baton on, so that nothing
 * happens at the same time. Each schedule runs in a forked child; the search (search.c) then asks which steps of it
 * conflict, and tries the other orders of these: dynamic partial-order reduction (Flanagan and Godefroid 2005) with sleep
 * sets. What is left out differs from a schedule that was run only in the order of steps that do not touch the same
 * memory. Plain accesses between steps are checked to be ordered by acquire and release (races.c): where they are not,
 * a schedule of steps would not be all that can happen. Steps are taken in one order that all threads see; scenarios with
 * `buffers` also try stores that are seen late (buffers.c).
 *
 * explore NAME                     every schedule of a scenario
 * explore NAME --replay 0,1,1      one schedule, step by step
 * explore --list */
#ifndef TESTS_EXPLORE_EXPLORE_H
#define TESTS_EXPLORE_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#include "../threads.h"

enum {
    THREADS_MOST = 4,
    ACTORS_MOST = 2 * THREADS_MOST, /* the threads, and the buffer of each */
    STEPS_MOST = 4000
};

typedef void phase_t(void);

/* What the threads do in three phases: one after the other, all at once (explored), one after the other. */
typedef struct scenario {
    const char *name, *sentence;
    unsigned threads;
    unsigned least; /* schedules, or the explorer no longer sees the steps */
    /* at most so many in a schedule; 0: any number, which is exhaustive. With `buffers` every choice but the usual one counts */
    unsigned preemptions;
    phase_t *before; /* first of all, on the main thread */
    phase_t *prepare[THREADS_MOST];
    phase_t *act[THREADS_MOST];
    phase_t *finish[THREADS_MOST];
    bool ends[THREADS_MOST]; /* the thread's end belongs to its act; it has no third phase */
    bool forks;              /* before plain writes too: what a child inherits may be half done */
    bool real_locks;         /* the library's own waiting for a lock is part of what is explored */
    bool buffers;            /* stores may be seen late (buffers.c); needs a bound on preemptions */
    phase_t *after;          /* last of all, on the main thread */
} scenario_t;

extern const scenario_t *const scenarios[];

typedef enum step_kind {
    STEP_BEGIN, /* of the act: touches nothing */
    STEP_READ,
    STEP_WRITE,
    STEP_COMPARE, /* writes if it finds what it expects */
    STEP_LOCK,    /* a lock was found taken: goes on when somebody has written to it */
    STEP_SLEEP,   /* a futex: goes on when somebody wakes it */
    STEP_SYSTEM,  /* mappings change */
    STEP_FENCE,   /* goes on when the thread's buffer is empty */
    STEP_FLUSH,   /* of a buffer: its oldest store is written */
    STEP_PLAIN,   /* before a plain write, where forks are explored: matters to them alone */
    STEP_FORK
} step_kind_t;

typedef struct step {
    uintptr_t address; /* of what it touches; 0: of nothing */
    uint32_t size;
    uint8_t kind;      /* step_kind_t */
    bool writes;       /* may change what it touches */
    uint64_t expected; /* by STEP_COMPARE */
    uintptr_t caller;
} step_t;

/* --- one schedule (schedule.c), in a child ------------------------------------------------------------------------ */

typedef struct moment {
    step_t next[ACTORS_MOST]; /* what each thread is about to do */
    uint8_t enabled;          /* threads that can */
    uint8_t asleep;           /* threads whose step here was tried in another schedule */
    uint8_t usual;            /* whose turn it is unless the search wants another */
    uint8_t chosen;
} moment_t;

/* Shared with the child. */
typedef struct run {
    uint32_t given; /* moments whose choice is given */
    uint8_t choice[STEPS_MOST];
    uint8_t asleep; /* at the last of them */
    bool shown;     /* print the steps */
    bool redundant; /* it was left because other schedules cover it */
    uint32_t moments;
    moment_t at[STEPS_MOST];
} run_t;

/* Performs a scenario by the choices of `run`, then as they come; notes what happened there. Does not return. */
_Noreturn void perform(const scenario_t *scenario, run_t *run);

bool conflict(const step_t *a, const step_t *b);

/* The calling thread is about to do this: returns when it is to be done. */
void take_step(step_t step);
/* Number of the calling thread while it acts; -1 at all other times. */
int acting(void);
/* The same, if each plain write is a step. */
bool acting_finely(void);
/* Whether the calling thread looks again at what it has just looked at (a lock that it spins for): no step. */
bool repeats(uintptr_t address);
/* It has loaded this. */
void note_seen(uintptr_t address);

/* --- plain accesses (races.c) ------------------------------------------------------------------------------------- */

void race_reset(void);
void race_access(uintptr_t address, size_t size, bool writes, uintptr_t caller);
void race_read(uintptr_t address, int order);
void race_write(uintptr_t address, int order, bool replaces);
void race_fence(int order);

/* --- late stores (buffers.c) -------------------------------------------------------------------------------------- */

/* Whether the calling thread's stores go through its buffer. */
bool buffering(void);
bool buffer_empty(unsigned thread);
void buffer_put(unsigned thread, uintptr_t address, uint32_t size, uint64_t value, bool reserves);
step_t buffer_next(unsigned thread);
void buffer_flush(unsigned thread);
bool buffer_find(unsigned thread, uintptr_t address, uint64_t *value);
bool buffer_reserves(unsigned thread, uintptr_t address);

/* --- for scenarios ------------------------------------------------------------------------------------------------ */

/* The address at which the library's next mapping of so many bytes is put if nothing is there; NULL: wherever the system
 * likes. */
extern void *wanted_address;
extern size_t wanted_size;
/* Maps foreign memory at exactly this address; NULL if something is there. A step. */
void *map_foreign(void *address, size_t size);
/* Forks: a step. 0 in the child, whose threads take no more steps. `raw`: no fork handler is called. */
int fork_here(bool raw);
/* Goes on in a child that no fork handler was called in; the parent ends as the child does. */
void go_on_in_raw_child(void);

#endif
