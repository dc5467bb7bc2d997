/* SPDX-License-Identifier: MIT */
/* tune.h: the learner: from what a process counted in a window of time to the policy of the next one. It puts the modules of
 * this layer together and has no state of its own: counts, time and random numbers come in, values come out. One thread at a
 * time.
 *
 *   window   HAKMEM_LEARN_WINDOW_MS; longer, until the slow paths were entered HAKMEM_LEARN_MIN_SAMPLES times
 *   period   HAK_ACE_WINDOWS windows under one strategy
 *   cost     what the slow paths, page faults and system calls of a window took, in ns a request by the prices in tune.c, times one
 *            and the share of memory that is free and not given back
 *   strategy how long and how much free memory is kept, and whether memory is backed ahead: picked before the period that it
 *            governs, rated by its cost against that of the one before */
#ifndef HAK_LEARN_TUNE_H
#define HAK_LEARN_TUNE_H

#include "learn/ace.h"
#include "learn/cycle.h"
#include "learn/elo.h"
#include "learn/p2.h"
#include "learn/shape.h"
#include "learn/ucb.h"

/* What a process has counted since it began. */
typedef struct hak_tune_totals {
    uint64_t requests[HAK_SHAPE_BINS]; /* [b]: sizes above 2^(b-1) up to 2^b */
    uint64_t slow;                     /* entries into slow paths */
    uint64_t refills, refills_mid;     /* bins filled from slabs; of sizes from 1 to 256 KiB */
    uint64_t oversize;                 /* blocks above 256 KiB that no thread had kept */
    uint64_t slabs, purges, faults_minor, faults_major;
    uint64_t used, held; /* bytes now: in use; free and not given back */
    uint32_t threads;    /* heaps now */
} hak_tune_totals_t;

typedef struct hak_tune_goals {
    hak_ace_goal_t mid, large;
    uint64_t freeze_ms, window_ms;
    uint32_t min_samples, canary_percent;
    bool rate;    /* strategies (off: the first one, always) */
    bool back;    /* the threshold (off: the first one, where a strategy backs memory ahead) */
    bool control; /* capacities */
} hak_tune_goals_t;

/* What the process is to go by. */
typedef struct hak_tune_values {
    uint32_t delay_percent;  /* of the purge delay at first */
    uint32_t retain_percent; /* of the retained amount at first */
    uint32_t populate_kb;    /* 0: as it was at first */
    uint32_t mid_kb, large_kb, bundle;
} hak_tune_values_t;

typedef struct hak_tune {
    hak_tune_goals_t goals;
    hak_tune_totals_t before; /* when the window began */
    hak_cycle_state_t state;
    uint64_t since_ms;                     /* when the state began */
    uint64_t changed_ms;                   /* when something last wanted to be other than it was */
    uint32_t windows, looks, drifts, idle; /* idle: times in a row that a window had too few samples */
    uint32_t strategy, leader, rival;      /* in force; the best so far; the one of the period before */
    uint32_t in_period;                    /* windows */
    double period_cost, rival_cost;
    double known_cost[HAK_ELO_STRATEGIES]; /* of the last period under each; 0: none of this pattern */
    hak_shape_t shape, frozen;             /* of the last window; when it froze */
    uint32_t distance;                     /* between them, when last compared */
    hak_p2_t cost[3];                      /* its 50th, 95th and 99th percentile */
    hak_ucb_t ucb;
    hak_elo_t elo;
    hak_ace_t mid, large;
} hak_tune_t;

void hak_tune_init(hak_tune_t *tune, const hak_tune_goals_t *goals, const hak_tune_totals_t *now,
                   uint64_t now_ms);
/* At the end of a window; `random` is even over all numbers. */
void hak_tune_window(hak_tune_t *tune, const hak_tune_totals_t *now, uint64_t now_ms, uint64_t random);
/* How long to wait before the next call; 0: for ever, nothing is going to change. */
uint64_t hak_tune_wait_ms(const hak_tune_t *tune);
/* True if counting what the slow paths do is of use now. */
bool hak_tune_is_looking(const hak_tune_t *tune);
hak_tune_values_t hak_tune_values(const hak_tune_t *tune);

#endif
