/* SPDX-License-Identifier: MIT */
/* Resident memory over time: bursts of blocks that are written and freed, and ten seconds after the last one. By shape
 * (what the program does then) and by size of block; the last block of each burst lives until the next one is over,
 * as the result of work would.
 *
 *   repeat   ten bursts with a pause behind each, then sleep
 *   once     one burst, then sleep
 *   trickle  one burst, then small operations, some at each millisecond
 *   threads  four threads make a quarter of the burst each and sleep; small operations in the first thread
 *
 * The watcher is a child process that reads the parent's statm each 10 ms: the program that is judged has no thread and
 * no allocation for it. `watch` is shared: `live` and `freed` are the program's, all else is the watcher's, and the program
 * reads it after the watcher's end. --figures prints, in KiB beyond what lives and what was resident before the first
 * block: `after_*` milliseconds after the last burst was freed, `curve` the most in each 200 ms, `area` the integral over
 * the whole run (KiB s); and the peak, what lives included, the program's minor faults and its CPU seconds.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

enum {
    repeats = 10,
    workers = 4,
    small_slots = 64,
    small_each = 32,   /* operations in a millisecond of the trickle */
    said_bytes = 65536 /* of a thread's blocks that `live` may lack */
};

static const double sample_s = 0.01, pause_s = 0.2, bin_s = 0.2; /* the last two in units of `scale` */
static const uint64_t afters_ms[] = {500, 2000, 10000};

enum {
    afters = sizeof afters_ms / sizeof *afters_ms,
    most_bins = 1000
};

enum {
    repeat,
    once,
    trickle,
    threads
};
static const char *const shapes[] = {"repeat", "once", "trickle", "threads", NULL};
static const char *const sizes[] = {"tiny", "mid", "large", "big", NULL};
static const size_t least[] = {64, 4096, 150000, 3 * MIB}, most[] = {64, 20480, 250000, 5 * MIB};

typedef struct watch {
    _Atomic int64_t live;                           /* bytes in use */
    _Atomic bool freed;                             /* the last burst is */
    double area;                                    /* byte seconds beyond what lives */
    uint64_t after[afters], curve[most_bins], bins; /* bytes; the bins are those that were begun */
} watch_t;

typedef struct piece {
    unsigned char *block;
    size_t size; /* bytes */
} piece_t;

/* What one thread takes and gives. */
typedef struct worker {
    piece_t *pieces;             /* of a burst */
    uint64_t most_pieces, bytes; /* of a burst */
    size_t least, most;          /* bytes of a block */
    uint64_t state;              /* random numbers */
    int64_t unsaid;              /* bytes that `live` lacks */
    uint64_t taken;              /* blocks so far */
    piece_t kept;                /* the last one of the burst before */
} worker_t;

static watch_t *watch;
static double scale;                 /* of all waiting */
static worker_t worker[workers + 1]; /* the last one is the first thread's, where others make the burst */
static pthread_barrier_t all_filled, all_freed; /* of the threads, so that all of the burst lives at once */
static _Atomic bool over;                       /* the watcher has seen enough */

static void wait_seconds(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* the watcher */

/* Takes note of one sample; true when it was the last one. */
static bool note(uint64_t beyond, double now, double passed, double since_freed)
{
    uint64_t bin = (uint64_t)(now / (bin_s * scale));
    if (bin < most_bins) {
        watch->curve[bin] = beyond > watch->curve[bin] ? beyond : watch->curve[bin];
        watch->bins = bin + 1;
    }
    watch->area += (double)beyond * passed;
    for (size_t i = 0; i < afters; i++)
        if (since_freed * 1e3 < (double)afters_ms[i] * scale)
            watch->after[i] = beyond; /* until its time has come */
    return since_freed * 1e3 >= (double)afters_ms[afters - 1] * scale;
}

/* Bytes beyond what lives. The watcher may have to wait between two reads: the program's blocks then come or go. */
static uint64_t beyond_live(int statm, uint64_t before)
{
    int64_t live = atomic_load(&watch->live), resident = (int64_t)(bench_resident(statm) - before);
    int64_t later = atomic_load(&watch->live), beyond = resident - (later > live ? later : live);
    return beyond > 0 ? (uint64_t)beyond : 0;
}

static void watch_parent(int statm, uint64_t before)
{
    double start = bench_now(), last = start, freed = 0;
    for (bool done = false; !done;) {
        wait_seconds(sample_s);
        uint64_t beyond = beyond_live(statm, before);
        double now = bench_now();
        if (freed == 0 && atomic_load(&watch->freed))
            freed = now;
        done = note(beyond, now - start, now - last, freed != 0 ? now - freed : 0);
        last = now;
    }
}

static pid_t start_watcher(int statm, uint64_t before)
{
    pid_t child = fork();
    if (child < 0)
        bench_fail("cannot fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        watch_parent(statm, before);
        _exit(0);
    }
    return child;
}

/* True while the watcher has not seen enough; with `patient` it returns only then. */
static bool watched(pid_t child, bool patient)
{
    int status = 0;
    pid_t ended = waitpid(child, &status, patient ? 0 : WNOHANG);
    if (ended < 0 || (ended == child && status != 0))
        bench_fail("the watcher failed");
    return ended == 0;
}

/* the program */

static void say(worker_t *w, int64_t bytes)
{
    w->unsaid += bytes;
    if (w->unsaid >= said_bytes || w->unsaid <= -said_bytes) {
        atomic_fetch_add_explicit(&watch->live, w->unsaid, memory_order_relaxed);
        w->unsaid = 0;
    }
}

static piece_t take(worker_t *w, size_t low, size_t high)
{
    size_t size = bench_between(&w->state, low, high);
    piece_t piece = {.block = bench_malloc(size), .size = size};
    say(w, (int64_t)size); /* before it is written: half a block is not memory that nobody uses */
    memset(piece.block, 7, size);
    bench_mark(piece.block, size);
    w->taken++;
    return piece;
}

static void give(worker_t *w, piece_t piece)
{
    if (piece.block != NULL) {
        bench_delete(piece.block, piece.size);
        say(w, -(int64_t)piece.size);
    }
}

/* The first half of a burst; returns how many pieces there are. */
static uint64_t fill(worker_t *w)
{
    uint64_t count = 0;
    for (uint64_t bytes = 0; bytes < w->bytes && count < w->most_pieces; count++) {
        w->pieces[count] = take(w, w->least, w->most);
        bytes += w->pieces[count].size;
    }
    return count;
}

/* The second half: what was filled goes, but for the last piece, which takes the place of the one kept before. */
static void empty(worker_t *w, uint64_t count)
{
    for (uint64_t i = 0; i + 1 < count; i++)
        give(w, w->pieces[i]);
    give(w, w->kept);
    w->kept = w->pieces[count - 1];
}

static void small_operations(worker_t *w, pid_t child)
{
    static piece_t slot[small_slots];
    while (watched(child, false)) {
        for (int i = 0; i < small_each; i++) {
            piece_t *piece = &slot[bench_between(&w->state, 0, small_slots - 1)];
            give(w, *piece);
            *piece = take(w, 16, 1024);
        }
        wait_seconds(0.001);
    }
}

static void run_alone(uint64_t shape, pid_t child)
{
    for (int i = 0; i < (shape == repeat ? repeats : 1); i++) {
        if (i != 0)
            wait_seconds(pause_s * scale);
        empty(worker, fill(worker));
    }
    atomic_store(&watch->freed, true);
    if (shape == trickle)
        small_operations(worker, child);
    else
        watched(child, true);
}

static void *burst_and_sleep(void *context)
{
    uint64_t count = fill(context);
    pthread_barrier_wait(&all_filled);
    empty(context, count);
    pthread_barrier_wait(&all_freed);
    while (!atomic_load(&over))
        wait_seconds(pause_s * scale);
    return NULL;
}

static void run_threads(pid_t child)
{
    unsigned long handle[workers];
    pthread_barrier_init(&all_filled, NULL, workers);
    pthread_barrier_init(&all_freed, NULL, workers + 1);
    for (size_t i = 0; i < workers; i++)
        bench_thread_start(&handle[i], burst_and_sleep, &worker[i]);
    pthread_barrier_wait(&all_freed);
    atomic_store(&watch->freed, true);
    small_operations(&worker[workers], child);
    atomic_store(&over, true);
    for (size_t i = 0; i < workers; i++)
        bench_thread_join(handle[i]);
}

/* main's */

static void prepare_worker(uint64_t i, uint64_t bytes, uint64_t size)
{
    uint64_t pieces = bytes / least[size] + 1;
    worker[i] = (worker_t){.pieces = bench_pages(pieces * sizeof(piece_t)),
                           .most_pieces = pieces,
                           .bytes = bytes,
                           .least = least[size],
                           .most = most[size],
                           .state = i + 1};
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void print_figures(uint64_t before)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("peak=%llu", (unsigned long long)(bench_peak_rss_kib() - before / 1024));
    for (size_t i = 0; i < afters; i++) {
        printf(" after_%llu=%llu", (unsigned long long)afters_ms[i],
               (unsigned long long)watch->after[i] / 1024);
    }
    printf(" area=%.0f faults=%ld cpu=%.3f curve=", watch->area / 1024, usage.ru_minflt,
           seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    for (uint64_t i = 0; i < watch->bins; i++)
        printf("%s%llu", i != 0 ? "," : "", (unsigned long long)watch->curve[i] / 1024);
    printf("\n");
}

int main(int argc, char **argv)
{
    bench_arg_t args[] = {
        {.name = "SHAPE", .value = once, .words = shapes},
        {.name = "SIZE", .value = 0, .words = sizes},
        {.name = "MIB", .value = 128, .min = 32, .max = 65536},
        {.name = "PERCENT", .value = 100, .min = 1, .max = 100},
    };
    bool figures = bench_flag(&argc, argv, "--figures");
    bench_parse(argc, argv, "Resident memory while bursts of blocks come and go; --figures prints it.", args,
                4);
    uint64_t shape = args[0].value, parts = shape == threads ? workers : 1, taken = 0;
    scale = (double)args[3].value / 100;
    watch = bench_pages(sizeof *watch);
    for (uint64_t i = 0; i < parts; i++)
        prepare_worker(i, args[2].value * MIB / parts, args[1].value);
    int statm = bench_open_statm();
    uint64_t before = bench_resident(statm);
    pid_t child = start_watcher(statm, before);
    if (shape == threads)
        run_threads(child);
    else
        run_alone(shape, child);
    if (figures)
        print_figures(before);
    for (uint64_t i = 0; i <= workers; i++)
        taken += worker[i].taken;
    return bench_report(taken);
}
