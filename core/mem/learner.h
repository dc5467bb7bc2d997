/* SPDX-License-Identifier: MIT */
/* learner.h: the thread that learns while a program runs (HAKMEM_LEARN=1; variants with the feature `learner`). It reads what
 * the slow paths counted, once in each window, and publishes a policy (learn/tune.h decides which). It is never on the way of a
 * request: while it looks, a refill counts a little more, and that is all.
 *
 *   OFF       nobody asked for it, or nothing is left to learn
 *   WANTED    the first slow path of malloc that finds a window over since then starts the thread
 *   STARTING  by one thread
 *   RUNNING   the thread is there
 *   REFUSED   the system gave no thread; that was said once
 *
 * The thread ends, and is WANTED again, when nothing happens for long, and when no other thread has a heap: it must not keep a
 * process alive whose threads have all ended. In a forked child, where it does not exist, it is WANTED again. It is made by
 * pthread_create, not by clone: libc's setuid has to reach all threads, and libc's locks and thread-local storage have to be
 * right in it. All signals are blocked in it but those of libc itself. */
#ifndef HAK_MEM_LEARNER_H
#define HAK_MEM_LEARNER_H

#include "mem/heap.h"

enum {
#define LEARNED(name, unit, sentence) HAK_LEARNED_##name,
#include "mem/learner.def"
#undef LEARNED
    HAK_LEARNED
};

typedef struct hak_learned {
    const char *name;
    const char *unit;
    const char *sentence;
} hak_learned_t;

extern const hak_learned_t hak_learned[HAK_LEARNED] HAK_HIDDEN;

/* Refills are looked at now; relaxed. */
extern _Atomic bool hak_learner_watches HAK_HIDDEN;

HAK_INLINE bool hak_learner_is_watching(void)
{
    return HAK_LEARNER && hak_unlikely(atomic_load_explicit(&hak_learner_watches, memory_order_relaxed));
}

/* When the library is loaded: it is WANTED if the options say so. */
void hak_learner_load(void);
/* In a forked child, alone. */
void hak_learner_after_fork(void);
/* On a slow path of malloc, while refills are looked at: starts the thread if it is WANTED. Never on one of free, which libc calls
 * under the lock that pthread_create needs. No lock may be held. */
void hak_learner_wake(void);
/* Around a refill by malloc, while refills are looked at. No lock may be held. Returns when it began, 0 if it is not timed. */
uint64_t hak_learner_refill_begins(hak_heap_t *heap, unsigned c);
void hak_learner_refill_ended(uint64_t since_ns);
/* A thread has looked at the clock, while refills are looked at: what memory is in use now. No lock may be held. */
void hak_learner_note_memory(void);
/* A thread gave its heap back. */
void hak_learner_thread_ended(void);
/* What a row of learner.def shows. */
uint64_t hak_learner_value(unsigned row);

#endif
