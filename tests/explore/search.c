/* SPDX-License-Identifier: MIT */
/* The search over all schedules of a scenario, each in a child, and the program's main.
 *
 * Dynamic partial-order reduction: of a schedule that was run, take each step and the last one before it by another
 * thread that touches the same memory and did not have to come first; at the moment of that one, the thread of this
 * one has to be tried too. Depth first, until no moment has a thread left to try. */
#define _GNU_SOURCE
#include "explore.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "os/fork.h"

typedef struct place {
    uint8_t to_try, tried;
} place_t;

typedef struct clocks {
    uint32_t of[THREADS_MOST]; /* moments up to which a thread's steps come before */
} clocks_t;

static run_t *run;
static place_t path[STEPS_MOST];
static clocks_t after_step[STEPS_MOST];  /* what comes before a step, and itself */
static unsigned turn_begins[STEPS_MOST]; /* the first of those up to a moment in which one thread went on */
static unsigned long schedules, redundant;

static const step_t *made(unsigned at)
{
    return &run->at[at].next[run->at[at].chosen];
}

static bool comes_before(unsigned earlier, const clocks_t *clocks)
{
    return clocks->of[run->at[earlier].chosen] > earlier;
}

static void join(clocks_t *into, const clocks_t *from)
{
    for (unsigned i = 0; i < THREADS_MOST; i++)
        into->of[i] = into->of[i] > from->of[i] ? into->of[i] : from->of[i];
}

/* Choices other than the usual one in the first `moments`; of threads that took turns by themselves, only those that took
 * the turn from a thread that could go on. */
static unsigned preemptions(unsigned moments, bool buffers)
{
    unsigned count = 0;
    for (unsigned i = 1; i < moments; i++) {
        const uint8_t before = run->at[i - 1].chosen;
        count += buffers ? run->at[i].chosen != run->at[i].usual
                         : run->at[i].chosen != before && (run->at[i].enabled >> before & 1) != 0;
    }
    return count;
}

/* Thread `thread` must be tried at this moment; or any that leads there, if it cannot go on there. */
static void try_at(unsigned at, uint8_t thread)
{
    const uint8_t enabled = run->at[at].enabled;
    const uint8_t one = (uint8_t)(1u << thread);
    path[at].to_try |= (enabled & one) != 0 ? one : enabled;
}

static void find_conflicts(void)
{
    clocks_t thread_clocks[THREADS_MOST] = {0};
    const unsigned known =
        run->given == 0 ? 0 : run->given - 1; /* the schedule before this one began like it */
    for (unsigned i = 0; i < known; i++)
        thread_clocks[run->at[i].chosen] = after_step[i];
    for (unsigned i = known; i < run->moments; i++) {
        const uint8_t thread = run->at[i].chosen;
        clocks_t clocks = thread_clocks[thread];
        bool found = false;
        turn_begins[i] = i != 0 && run->at[i - 1].chosen == thread ? turn_begins[i - 1] : i;
        for (unsigned j = turn_begins[i]; j-- != 0;) {
            if (run->at[j].chosen == thread) {
                j = turn_begins[j];
                continue;
            }
            if (!conflict(made(j), made(i)))
                continue;
            if (!found && !comes_before(j, &thread_clocks[thread])) {
                try_at(j, thread);
                found = true;
            }
            join(&clocks, &after_step[j]);
        }
        clocks.of[thread] = i + 1;
        after_step[i] = thread_clocks[thread] = clocks;
    }
}

static void print_schedule(unsigned moments)
{
    dprintf(2, "replay with: --replay ");
    for (unsigned i = 0; i < moments; i++)
        dprintf(2, "%s%u", i == 0 ? "" : ",", run->at[i].chosen);
    dprintf(2, "\n");
}

/* Runs one schedule; false if it broke a promise. */
static bool run_once(const scenario_t *scenario)
{
    const pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        hak_os_repair(); /* which is what a scenario of its own explores */
        perform(scenario, run);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    schedules++;
    redundant += run->redundant;
    if (WIFSIGNALED(status))
        dprintf(2, "signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (hung)" : "");
    return status == 0;
}

/* The next schedule: at the deepest moment that has a thread to try. False when there is none. */
static bool next_schedule(const scenario_t *scenario)
{
    for (unsigned i = run->moments; i-- != 0;) {
        moment_t *moment = &run->at[i];
        const uint8_t left = path[i].to_try & (uint8_t) ~(path[i].tried | moment->asleep);
        for (unsigned thread = 0; thread < ACTORS_MOST; thread++) {
            if ((left >> thread & 1) == 0)
                continue;
            run->asleep = scenario->preemptions != 0 ? 0 : (uint8_t)(moment->asleep | path[i].tried);
            path[i].tried |= (uint8_t)(1u << thread);
            moment->chosen = (uint8_t)thread;
            if (scenario->preemptions != 0 && preemptions(i + 1, scenario->buffers) > scenario->preemptions)
                continue;
            for (unsigned at = 0; at <= i; at++)
                run->choice[at] = run->at[at].chosen;
            run->given = i + 1;
            return true;
        }
    }
    return false;
}

static int explore(const scenario_t *scenario)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    unsigned longest = 0;
    do {
        if (!run_once(scenario)) {
            dprintf(2, "%s: not so in schedule %lu: %s\n", scenario->name, schedules, scenario->sentence);
            print_schedule(run->moments);
            return 1;
        }
        longest = run->moments > longest ? run->moments : longest;
        for (unsigned i = run->given == 0 ? 0 : run->given; i < run->moments; i++) {
            path[i].tried = (uint8_t)(1u << run->at[i].chosen);
            path[i].to_try = scenario->preemptions != 0 ? run->at[i].enabled : path[i].tried;
        }
        if (scenario->preemptions == 0)
            find_conflicts();
    } while (next_schedule(scenario));
    clock_gettime(CLOCK_MONOTONIC, &end);
    dprintf(1, "%s: %lu schedules (%lu of them cut short) of up to %u steps, %.1f s\n", scenario->name,
            schedules, redundant, longest,
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    CHECK(schedules >= scenario->least, "%lu schedules, not %u: the explorer does not see the steps",
          schedules, scenario->least);
    return 0;
}

static int replay(const scenario_t *scenario, const char *choices)
{
    for (const char *at = choices; *at != 0; at++)
        if (*at != ',')
            run->choice[run->given++] = (uint8_t)(*at - '0');
    run->shown = true;
    return run_once(scenario) ? 0 : 1;
}

/* One core: a baton is then handed on by a plain switch. */
static void stay_on_one_core(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof here, &here);
}

static const scenario_t *scenario_named(const char *name)
{
    for (const scenario_t *const *at = scenarios; *at != NULL; at++)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    dprintf(2, "no scenario '%s'; explore --list names them\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const scenario_t *const *at = scenarios; *at != NULL; at++)
            dprintf(1, "%-24s %s\n", (*at)->name, (*at)->sentence);
        return 0;
    }
    if (argc < 2) {
        dprintf(2, "usage: explore NAME... | NAME --replay CHOICES | --list\n");
        return 2;
    }
    run = mmap(NULL, sizeof *run, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(run != MAP_FAILED, "mmap");
    stay_on_one_core();
    if (argc == 4 && strcmp(argv[2], "--replay") == 0)
        return replay(scenario_named(argv[1]), argv[3]);
    int result = 0;
    for (int i = 1; i < argc; i++) {
        memset(run, 0, sizeof *run);
        schedules = redundant = 0;
        result |= explore(scenario_named(argv[i]));
    }
    return result;
}
