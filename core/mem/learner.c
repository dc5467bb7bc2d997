/* SPDX-License-Identifier: MIT */
/* learner.c: see learner.h. What is static and not atomic belongs to the learner's thread, of which there is one at most; and to
 * whoever starts it, or repairs a forked child, while there is none. */
#define _GNU_SOURCE
#include "mem/learner.h"

#if HAK_LEARNER

#include "base/call.h"
#include "base/message.h"
#include "learn/tune.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "obs/trace.h"
#include "os/futex.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define STACK     ((size_t)1 << 20) /* bytes: if it is the last thread, the program's exit handlers run on it */
#define TIMES     64u               /* timed refills that wait for the learner */
#define IDLE_MOST 16u               /* windows in a row without enough samples, after which the thread ends */
#define CAP_MOST  4u                /* times that a cap may be what it was at first */
#define MID_STEP  64u               /* KiB; HAKMEM_CAP_STEP_MID counts them */

enum {
    OFF,
    WANTED,
    STARTING,
    RUNNING,
    REFUSED
};

const hak_learned_t hak_learned[HAK_LEARNED] = {
#define LEARNED(name, unit, sentence) {"learner_" #name, unit, sentence},
#include "mem/learner.def"
#undef LEARNED
};

/* relaxed: a thread that sees it late counts, or leaves out, a refill. */
_Atomic bool hak_learner_watches;

/* release in want_learner, pairs with acquire in start_if_due: the next thread finds what this one learned. */
static _Atomic uint32_t state;
/* Since when it is WANTED, and in which process: a child of vfork has another number, and our memory. relaxed: written before
 * state. */
static _Atomic uint64_t wanted_ms;
static _Atomic long process;
/* Counts up when the thread is to look up; it sleeps on this. relaxed: nothing is passed on by it. */
static _Atomic uint32_t wake;
/* Timed refills and other figures for the learner, and what it shows. relaxed: each stands for itself. */
static _Atomic uint32_t times[TIMES];
static _Atomic uint32_t times_written;
static _Atomic uint64_t used_bytes, held_bytes, purge_calls;
static _Atomic uint64_t values[HAK_LEARNED];

static hak_tune_t tune;
static bool begun;                /* tune holds what an earlier thread of this process learned */
static hak_policy_t first_policy; /* the policy before it began */
static hak_p2_t refill_time[3];
static uint32_t times_read;
static uint64_t bytes_first;

/* --- what the program's threads do -------------------------------------------------------------------------------- */

static void want_learner(void)
{
    atomic_store_explicit(&wanted_ms, hak_os_now_ms(), memory_order_relaxed);
    atomic_store_explicit(&process, hak_call(SYS_getpid, 0, 0, 0, 0, 0, 0), memory_order_relaxed);
    atomic_store_explicit(&state, WANTED, memory_order_release);
    atomic_store_explicit(&hak_learner_watches, true, memory_order_relaxed);
}

void hak_learner_load(void)
{
    const hak_options_t *options = hak_options();
    if (!options->learn)
        return;
    if (!options->stats) {
        hak_warn("HAKMEM_LEARN=1 changes nothing with HAKMEM_STATS=off: what it learns from is not counted");
        return;
    }
    if (options->evo_policy == HAK_EVO_FROZEN)
        atomic_store_explicit(&values[HAK_LEARNED_state], HAK_CYCLE_FROZEN + 1, memory_order_relaxed);
    else
        want_learner();
}

void hak_learner_after_fork(void)
{
    if (atomic_load_explicit(&state, memory_order_relaxed) == OFF)
        return;
    begun = false;
    want_learner();
}

void hak_learner_note_memory(void)
{
    hak_chunk_view_t pool = hak_chunk_view();
    hak_extent_view_t huge = hak_extent_view();
    atomic_store_explicit(&used_bytes, pool.used + huge.live, memory_order_relaxed);
    atomic_store_explicit(&held_bytes, pool.dirty + huge.dirty, memory_order_relaxed);
    atomic_store_explicit(&purge_calls, pool.purges, memory_order_relaxed);
}

void hak_learner_thread_ended(void)
{
    if (atomic_load_explicit(&state, memory_order_relaxed) != RUNNING)
        return;
    atomic_fetch_add_explicit(&wake, 1, memory_order_relaxed);
    hak_os_futex_wake(&wake, 1);
}

uint64_t hak_learner_value(unsigned row)
{
    return atomic_load_explicit(&values[row], memory_order_relaxed);
}

/* --- what its thread reads ---------------------------------------------------------------------------------------- */

static uint64_t counter_total(hak_counter_t counter)
{
    uint64_t sum = 0;
    for (uint32_t owner = 1, heaps = hak_heap_count(); owner <= heaps; owner++)
        sum += atomic_load_explicit(&hak_heap_by_owner(owner)->counters.count[counter], memory_order_relaxed);
    return sum;
}

static uint32_t live_heaps(void)
{
    uint32_t live = 0;
    for (uint32_t owner = 1, heaps = hak_heap_count(); owner <= heaps; owner++)
        live += atomic_load_explicit(&hak_heap_by_owner(owner)->state, memory_order_relaxed) == HAK_HEAP_LIVE;
    return live;
}

/* Takes no lock: a child that is forked meanwhile would give up what it guards. */
static hak_tune_totals_t read_totals(void)
{
    hak_tune_totals_t totals = {.refills = counter_total(HAK_COUNTER_refills),
                                .refills_mid = counter_total(HAK_COUNTER_refills_mid),
                                .oversize = counter_total(HAK_COUNTER_large_blocks),
                                .slabs = counter_total(HAK_COUNTER_slabs_made),
                                .purges = atomic_load_explicit(&purge_calls, memory_order_relaxed),
                                .used = atomic_load_explicit(&used_bytes, memory_order_relaxed),
                                .held = atomic_load_explicit(&held_bytes, memory_order_relaxed),
                                .threads = live_heaps()};
    totals.slow = totals.refills + counter_total(HAK_COUNTER_previous_refills) + totals.oversize +
                  counter_total(HAK_COUNTER_remote_batches);
    for (unsigned i = 0; i < HAK_SHAPE_BINS; i++)
        totals.requests[i] = atomic_load_explicit(&hak_histogram[i], memory_order_relaxed);
    struct rusage usage = {0};
    if (!hak_call_failed(hak_call(SYS_getrusage, RUSAGE_SELF, (long)&usage, 0, 0, 0, 0))) {
        totals.faults_minor = (uint64_t)usage.ru_minflt;
        totals.faults_major = (uint64_t)usage.ru_majflt;
    }
    return totals;
}

/* What was written over before it was read is lost. */
static void read_times(void)
{
    uint32_t written = atomic_load_explicit(&times_written, memory_order_relaxed);
    if (written - times_read > TIMES)
        times_read = written - TIMES;
    for (; times_read != written; times_read++) {
        uint32_t ns = atomic_load_explicit(&times[times_read % TIMES], memory_order_relaxed);
        for (unsigned i = 0; i < 3; i++)
            hak_p2_add(&refill_time[i], ns);
    }
}

/* --- what it changes ---------------------------------------------------------------------------------------------- */

static uint32_t percent_of(uint32_t value, uint32_t percent)
{
    return (uint32_t)hak_min((uint64_t)value * percent / 100, UINT32_MAX);
}

/* Sets a value, unless somebody asked for the one that is there. True if that is a change. */
static bool set_value(hak_policy_t *next, uint32_t *field, uint32_t value)
{
    size_t row = (size_t)(field - hak_policy_value(next, 0));
    hak_origin_t origin = hak_policy_origin(row);
    value = (uint32_t)hak_min(hak_max(value, hak_policy_rows[row].low), hak_policy_rows[row].high);
    if (origin == HAK_FROM_FILE || origin == HAK_FROM_ENVIRONMENT || origin == HAK_FROM_PROGRAM ||
        *field == value)
        return false;
    *field = value;
    return true;
}

/* Of bins of blocks above 32 KiB: as many times what they held as those below hold; not more than the budget of these allows. */
static uint32_t run_kb(uint32_t mid_kb)
{
    if (mid_kb < first_policy.bin_mid_kb)
        return (uint32_t)hak_min(first_policy.bin_run_kb, mid_kb);
    return (uint32_t)((uint64_t)first_policy.bin_run_kb * mid_kb / first_policy.bin_mid_kb);
}

static bool publish_values(void)
{
    hak_tune_values_t wanted = hak_tune_values(&tune);
    hak_policy_t next = *hak_policy();
    uint32_t populate_kb = wanted.populate_kb != 0 ? wanted.populate_kb : first_policy.populate_kb;
    bool changed =
        set_value(&next, &next.purge_delay_ms, percent_of(first_policy.purge_delay_ms, wanted.delay_percent));
    changed |= set_value(&next, &next.retain_mb, percent_of(first_policy.retain_mb, wanted.retain_percent));
    changed |= set_value(&next, &next.populate_kb, populate_kb);
    changed |= set_value(&next, &next.bin_mid_kb, wanted.mid_kb);
    changed |= set_value(&next, &next.bin_run_kb, run_kb(wanted.mid_kb));
    changed |= set_value(&next, &next.heap_cache_kb, wanted.large_kb);
    changed |= set_value(&next, &next.carve_bytes, first_policy.carve_bytes * wanted.bundle);
    if (changed) {
        hak_policy_publish(&next);
        hak_trace_policy();
    }
    return changed;
}

static void show_row(unsigned row, uint64_t value)
{
    atomic_store_explicit(&values[row], value, memory_order_relaxed);
}

static void show_percentiles(unsigned row, const hak_p2_t *percentiles, double unit)
{
    double values_of[3];
    hak_p2_values(percentiles, 3, values_of);
    for (unsigned i = 0; i < 3; i++)
        show_row(row + i, (uint64_t)(values_of[i] * unit));
}

static void show_all(const hak_tune_totals_t *totals, bool changed)
{
    uint64_t bytes = totals->used + totals->held;
    show_row(HAK_LEARNED_state, tune.state + 1);
    show_row(HAK_LEARNED_windows, tune.windows);
    show_row(HAK_LEARNED_looks, tune.looks);
    show_row(HAK_LEARNED_drifts, tune.drifts);
    show_row(HAK_LEARNED_drift, tune.distance);
    show_row(HAK_LEARNED_changes, hak_learner_value(HAK_LEARNED_changes) + changed);
    show_row(HAK_LEARNED_strategy, tune.strategy);
    show_row(HAK_LEARNED_leader, tune.leader);
    show_row(HAK_LEARNED_threshold_kb, hak_ucb_kb(tune.ucb.now));
    show_row(HAK_LEARNED_hit_mid, tune.mid.hit);
    show_row(HAK_LEARNED_hit_large, tune.large.hit);
    show_row(HAK_LEARNED_cap_mid_kb, tune.mid.cap_kb);
    show_row(HAK_LEARNED_cap_large_kb, tune.large.cap_kb);
    show_row(HAK_LEARNED_bundle, hak_tune_values(&tune).bundle);
    show_row(HAK_LEARNED_faults_minor, totals->faults_minor);
    show_row(HAK_LEARNED_faults_major, totals->faults_major);
    show_row(HAK_LEARNED_grown, bytes > bytes_first ? bytes - bytes_first : 0);
    show_percentiles(HAK_LEARNED_cost_p50, tune.cost, 1000);
    show_percentiles(HAK_LEARNED_refill_p50, refill_time, 1);
    for (unsigned i = 0; i < HAK_ELO_STRATEGIES; i++)
        show_row(HAK_LEARNED_rating_0 + i, (uint64_t)(tune.elo.rating[i] > 0 ? tune.elo.rating[i] : 0));
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static hak_tune_goals_t read_goals(void)
{
    const hak_options_t *options = hak_options();
    return (hak_tune_goals_t){
        .mid = {.hit = options->target_hit_mid,
                .step_kb = options->cap_step_mid * MID_STEP,
                .rest_kb = first_policy.bin_mid_kb,
                .most_kb = CAP_MOST * first_policy.bin_mid_kb,
                .budget_kb = options->budget_mid << 10},
        .large = {.hit = options->target_hit_large,
                  .step_kb = options->cap_step_large << 10,
                  .rest_kb = first_policy.heap_cache_kb,
                  .most_kb = CAP_MOST * first_policy.heap_cache_kb,
                  .budget_kb = options->budget_large << 10},
        .freeze_ms = (uint64_t)options->freeze_sec * 1000,
        .window_ms = options->learn_window_ms,
        .min_samples = options->learn_min_samples,
        .canary_percent = options->canary_frac,
        .rate = !options->disable_elo,
        .back = !options->disable_ucb,
        .control = options->ace_enabled,
    };
}

static void begin_learning(void)
{
    static const double parts[] = {0.5, 0.95, 0.99};
    first_policy = *hak_policy();
    for (unsigned i = 0; i < 3; i++)
        hak_p2_init(&refill_time[i], parts[i]);
    hak_tune_goals_t goals = read_goals();
    hak_tune_totals_t totals = read_totals();
    bytes_first = totals.used + totals.held;
    hak_tune_init(&tune, &goals, &totals, hak_os_now_ms());
    begun = true;
}

static void judge_window(void)
{
    uint64_t random;
    hak_os_random(&random, 1);
    read_times();
    hak_tune_totals_t totals = read_totals();
    hak_tune_window(&tune, &totals, hak_os_now_ms(), random);
    atomic_store_explicit(&hak_learner_watches, hak_tune_is_looking(&tune), memory_order_relaxed);
    show_all(&totals, publish_values());
}

/* Until the next window is over. False if the thread is to end before. */
static bool sleep_window(uint64_t wait_ms)
{
    uint64_t end_ms = hak_os_now_ms() + wait_ms;
    for (uint64_t now_ms; (now_ms = hak_os_now_ms()) < end_ms;) {
        uint32_t seen = atomic_load_explicit(&wake, memory_order_relaxed);
        if (live_heaps() == 0)
            return false;
        hak_os_futex_wait_for(&wake, seen, end_ms - now_ms);
    }
    return true;
}

static void *run_learner(void *mask)
{
    atomic_store_explicit(&state, RUNNING, memory_order_relaxed);
    if (!begun)
        begin_learning();
    tune.idle = 0;
    uint64_t wait_ms;
    bool go_on = true;
    while (go_on && (wait_ms = hak_tune_wait_ms(&tune)) != 0) {
        go_on = sleep_window(wait_ms);
        if (go_on)
            judge_window();
        go_on &= tune.idle < IDLE_MOST;
    }
    if (live_heaps() == 0) /* perhaps the last thread: then exit handlers run in it */
        pthread_sigmask(SIG_SETMASK, mask, NULL);
    if (go_on)
        atomic_store_explicit(&state, OFF, memory_order_relaxed); /* frozen for ever */
    else
        want_learner();
    return NULL;
}

/* --- its beginning ------------------------------------------------------------------------------------------------- */

/* With all signals blocked, as the thread inherits that; libc leaves those out that it needs itself. */
static bool make_thread(void)
{
    static sigset_t before; /* what the thread goes by when it is the last one */
    sigset_t all;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0 || pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool made = pthread_create(&thread, &attributes, run_learner, &before) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return made;
}

/* A window is over since it is WANTED: a program that ends sooner has no such thread. */
static HAK_NOINLINE void start_if_due(void)
{
    uint64_t waited = hak_os_now_ms() - atomic_load_explicit(&wanted_ms, memory_order_relaxed);
    if (waited < hak_options()->learn_window_ms ||
        hak_call(SYS_getpid, 0, 0, 0, 0, 0, 0) != atomic_load_explicit(&process, memory_order_relaxed))
        return;
    uint32_t wanted = WANTED;
    if (!atomic_compare_exchange_strong_explicit(&state, &wanted, STARTING, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    int saved = errno;
    if (!make_thread()) {
        atomic_store_explicit(&state, REFUSED, memory_order_relaxed);
        atomic_store_explicit(&hak_learner_watches, false, memory_order_relaxed);
        hak_warn("HAKMEM_LEARN=1: the system gives no thread for the learner; nothing is learned");
    }
    errno = saved;
}

void hak_learner_wake(void)
{
    if (atomic_load_explicit(&state, memory_order_relaxed) == WANTED)
        start_if_due();
}

uint64_t hak_learner_refill_begins(hak_heap_t *heap, unsigned c)
{
    if (c > HAK_TINY_CLASSES && heap != NULL)
        hak_count_add(&heap->counters, HAK_COUNTER_refills_mid, 1);
    hak_learner_wake();
    if (heap == NULL)
        return 0;
    uint64_t n = atomic_load_explicit(&heap->counters.count[HAK_COUNTER_refills], memory_order_relaxed);
    return ((n + 1) & (((uint64_t)1 << hak_options()->evo_sample) - 1)) == 0 ? hak_os_now_ns() : 0;
}

void hak_learner_refill_ended(uint64_t since_ns)
{
    if (since_ns == 0)
        return;
    uint32_t at = atomic_fetch_add_explicit(&times_written, 1, memory_order_relaxed);
    atomic_store_explicit(&times[at % TIMES], (uint32_t)hak_min(hak_os_now_ns() - since_ns, UINT32_MAX),
                          memory_order_relaxed);
}

#endif
