/* SPDX-License-Identifier: MIT */
/* age.h: queues by age, of whatever has a place in one: the youngest comes in at one end, the oldest is at the other. Under the
 * lock of whoever has the queue. */
#ifndef HAK_MEM_AGE_H
#define HAK_MEM_AGE_H

#include "base/types.h"

/* A place in a queue; and the queue itself, a ring, in which the ends meet. */
typedef struct hak_age {
    struct hak_age *older, *younger; /* of the queue itself: the youngest, the oldest */
} hak_age_t;

#define HAK_AGE_EMPTY(queue)                                                                                 \
    {                                                                                                        \
        .older = &(queue), .younger = &(queue)                                                               \
    }

static inline void hak_age_clear(hak_age_t *queue)
{
    queue->older = queue->younger = queue;
}

/* Makes it the youngest. */
static inline void hak_age_add(hak_age_t *queue, hak_age_t *place)
{
    place->younger = queue;
    place->older = queue->older;
    queue->older->younger = place;
    queue->older = place;
}

static inline void hak_age_remove(hak_age_t *place)
{
    place->younger->older = place->older;
    place->older->younger = place->younger;
}

/* NULL if there is none. */
static inline hak_age_t *hak_age_oldest(const hak_age_t *queue)
{
    return queue->younger != queue ? queue->younger : NULL;
}

#endif
