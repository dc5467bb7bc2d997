/* SPDX-License-Identifier: MIT */
/* A trace (HAKMEM_TRACE) executed under whatever malloc is loaded: by as many threads, in the order of its calls, with blocks
 * written and checked. Prints what that took: time, memory over the calls, pages, waste. docs/trace.md says what each
 * figure means. --check and --stat only read the trace.
 *
 * With --copies each block is had so many times, one beside the other: as the program would on more of the same.
 *
 * One thread at a time has the turn. It executes the events until one is another thread's, and gives that the turn. The main thread
 * is the trace's first, and does what threads did after their end. */
#define _GNU_SOURCE
#include "replay.h"

#include "harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LOOKS = 2048, /* at resident memory */
    CALLS_A_MS = 10000,
    HUGE_LOOKS = 16,
    SPINS = 200,
    MARK = 8, /* bytes at either end of a block */
    COPIES_MOST = 16,
};

enum touch {
    TOUCH_NONE,
    TOUCH_FIRST,
    TOUCH_ALL,
};

/* A thread of the trace. A turn is given by `turn`. */
typedef struct worker {
    _Atomic uint32_t turn;
    pthread_t handle;
} worker_t;

typedef struct figures {
    double wall, user, system;
    uint64_t minor, major;
    uint64_t live, peak_live, waste, waste_at_peak, refused;
    uint64_t resident_first, peak_resident, resident;
    double live_operations, resident_operations;
    uint64_t done; /* events */
} figures_t;

static trace_t trace;
static cursor_t cursor;
static uint32_t copies = 1;  /* of each block */
static block_t *more_blocks; /* those of the copies but the first: by copy, then by number */
static uint64_t events;      /* that are executed, those of the copies counted */
static worker_t *workers;    /* by thread; [0] is the main thread */
static uint32_t to_join;     /* the thread that has ended, or 0 */
static bool finished;
static enum touch touch = TOUCH_FIRST;
static figures_t now;
static uint64_t look_every, look_huge_every;
static int statm;

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static uint64_t pattern(uint32_t number, const block_t *block)
{
    return (number * 0x9e3779b97f4a7c15u) ^ (block->born << 17) ^ 0x5bd1e9955bd1e995u;
}

static void fail_contents(uint32_t number, const block_t *block)
{
    bench_fail("block %" PRIu32 " of %" PRIu64 " bytes at %p lost its contents", number, block->size,
               block->address);
}

/* Marks both ends; a block that is too small for two marks has one. */
static void mark_ends(uint32_t number, block_t *block)
{
    const uint64_t mark = pattern(number, block);
    memcpy(block->address, &mark, block->size < MARK ? block->size : MARK);
    if (block->size >= 2 * MARK)
        memcpy((char *)block->address + block->size - MARK, &mark, MARK);
    block->filled = true;
}

/* Checks the mark in front, if `size` bytes hold it, and the one at the end. */
static void check_ends(uint32_t number, const block_t *block, uint64_t size, bool end)
{
    const uint64_t mark = pattern(number, block), front = size < block->size ? size : block->size;
    if (!block->filled)
        return;
    if (memcmp(block->address, &mark, front < MARK ? front : MARK) != 0)
        fail_contents(number, block);
    if (end && block->size >= 2 * MARK &&
        memcmp((char *)block->address + block->size - MARK, &mark, MARK) != 0)
        fail_contents(number, block);
}

static void check_zero(uint32_t number, const block_t *block)
{
    static const char zero[MARK];
    const size_t length = block->size < MARK ? block->size : MARK;
    if (memcmp(block->address, zero, length) != 0 ||
        memcmp((char *)block->address + block->size - length, zero, length) != 0)
        fail_contents(number, block);
}

/* Writes what is new of a block: from `kept` on. */
static void fill(uint32_t number, block_t *block, uint64_t kept)
{
    if (touch == TOUCH_NONE)
        return;
    if (block->size > kept) {
        memset((char *)block->address + kept, (int)(number & 127) | 128, block->size - kept);
        model_touch((char *)block->address + kept, block->size - kept);
    }
    mark_ends(number, block);
}

static void read_all(const block_t *block)
{
    const volatile char *bytes = block->address;
    for (uint64_t at = 0; at < block->size; at += 4096)
        (void)bytes[at];
    model_touch(block->address, block->size);
}

static void look_before_the_end(uint32_t number, const block_t *block)
{
    if (touch == TOUCH_NONE || block->size == 0)
        return;
    check_ends(number, block, block->size, true);
    if (touch == TOUCH_ALL) {
        read_all(block);
    } else {
        model_touch(block->address, 1);
        model_touch((char *)block->address + block->size - 1, 1);
    }
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

static void count_block(block_t *block)
{
    block->usable = malloc_usable_size(block->address);
    now.live += block->size;
    now.waste += block->usable > block->size ? block->usable - block->size : 0;
    if (now.live > now.peak_live) {
        now.peak_live = now.live;
        now.waste_at_peak = now.waste;
    }
}

static void forget_block(const block_t *block)
{
    now.live -= block->size;
    now.waste -= block->usable > block->size ? block->usable - block->size : 0;
}

static void *take_aligned(const event_t *event)
{
    void *p = NULL;
    const size_t align = (size_t)1 << event->align;
    if (align <= 16)
        return malloc(event->size);
    return posix_memalign(&p, align, event->size) == 0 ? p : NULL;
}

static void execute_take(const event_t *event, block_t *block)
{
    void *p = event->kind == TRACE_CALLOC ? calloc(1, event->size)
              : event->align != 0         ? take_aligned(event)
                                          : malloc(event->size);
    *block = (block_t){.address = bench_opaque(p), .size = event->size, .born = now.done, .live = true};
    if (p == NULL) { /* the program had it; here it is as if it had been freed at once */
        now.refused++;
        block->size = 0;
        return;
    }
    if (event->kind == TRACE_CALLOC && touch != TOUCH_NONE)
        check_zero(event->block, block);
    count_block(block);
    fill(event->block, block, 0);
}

static void execute_realloc(const event_t *event, block_t *block)
{
    const uint64_t before = block->size, kept = before < event->size ? before : event->size;
    if (block->address != NULL) {
        check_ends(event->block, block, before, true);
        forget_block(block);
    }
    const void *old = block->address;
    void *p = event->size != 0 ? bench_opaque(realloc(block->address, event->size)) : block->address;
    if (p == NULL || event->size == 0) {
        now.refused += event->size != 0;
        if (block->address != NULL)
            count_block(block);
        return;
    }
    block->address = p;
    block->size = event->size;
    count_block(block);
    check_ends(event->block, block, kept, false);
    if (touch != TOUCH_NONE && p != old) /* it was copied */
        model_touch(p, kept);
    fill(event->block, block, kept);
}

static void execute_free(const event_t *event, block_t *block)
{
    if (block->address != NULL) {
        look_before_the_end(event->block, block);
        forget_block(block);
        free(block->address);
    }
    block->address = NULL;
    block->filled = false;
}

/* --- memory over the calls ---------------------------------------------------------------------------------------- */

static uint64_t anonymous_bytes(void)
{
    char line[128];
    unsigned long size, resident, shared;
    const ssize_t n = pread(statm, line, sizeof line - 1, 0);
    line[n > 0 ? n : 0] = 0;
    if (sscanf(line, "%lu %lu %lu", &size, &resident, &shared) != 3)
        return 0;
    return (resident - shared) * 4096;
}

/* The program took so long, or, where nobody says it, 100 ns a call: where the library's clock can be set (steady.so), it goes as
 * fast as it did there, not as the replay does. It stands still in between: no first touch of a huge page looks slow. */
static uint64_t recorded_ms;
static void (*tell_time)(uint64_t);

static void look_at_clock(void)
{
    if (tell_time != NULL)
        tell_time(1 + recorded_ms * now.done / (events + 1));
}

static void look_at_memory(void)
{
    uint64_t bytes = anonymous_bytes();
    bytes = bytes > now.resident_first ? bytes - now.resident_first : 0;
    now.resident = bytes;
    now.peak_resident = bytes > now.peak_resident ? bytes : now.peak_resident;
    now.resident_operations += (double)bytes * (double)look_every;
}

static bool is_call(const event_t *event)
{
    return trace_gives(event->kind) || event->kind == TRACE_REALLOC || event->kind == TRACE_FREE;
}

static void execute(const event_t *event, block_t *block)
{
    if (event->kind == TRACE_FREE)
        execute_free(event, block);
    else if (event->kind == TRACE_REALLOC)
        execute_realloc(event, block);
    else
        execute_take(event, block);
    now.live_operations += (double)now.live;
    if (++now.done % look_every == 0) {
        look_at_memory();
        look_at_clock();
    }
    if (now.done % look_huge_every == 0)
        model_look();
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void give_turn(uint32_t thread)
{
    /* release: whoever finds it set sees all that was done before */
    atomic_store_explicit(&workers[thread].turn, 1, memory_order_release);
    futex(&workers[thread].turn, FUTEX_WAKE, 1);
}

static void await_turn(uint32_t thread)
{
    for (unsigned spins = 0; atomic_load_explicit(&workers[thread].turn, memory_order_acquire) == 0; spins++)
        if (spins >= SPINS)
            futex(&workers[thread].turn, FUTEX_WAIT, 0);
    atomic_store_explicit(&workers[thread].turn, 0, memory_order_relaxed);
}

/* The trace's first thread is the main one, which also does what is nobody's. */
static uint32_t worker_of(uint32_t thread)
{
    return thread <= 1 ? 0 : thread;
}

static block_t *block_of(uint32_t number, uint32_t copy)
{
    return copy == 0 ? &trace.blocks[number]
                     : &more_blocks[(copy - 1) * (size_t)trace.blocks_at_once + number];
}

static void *work(void *which);

static void start_worker(uint32_t thread)
{
    const int error = pthread_create(&workers[thread].handle, NULL, work, (void *)(uintptr_t)thread);
    if (error != 0)
        bench_fail("a thread could not be started: %s", strerror(error));
}

/* Executes events while they are this worker's. True: somebody else has the turn; false: this thread is to end. */
static bool use_turn(uint32_t self)
{
    event_t event;
    for (int more; (more = trace_next(&cursor, &event)) > 0;) {
        if (event.kind == TRACE_BEGIN && worker_of(event.thread) != 0) {
            start_worker(event.thread);
        } else if (event.kind == TRACE_END && self != 0) {
            to_join = self;
            return false;
        }
        for (uint32_t copy = 0; is_call(&event) && copy < copies; copy++)
            execute(&event, block_of(event.block, copy));
        if (worker_of(cursor.thread) != self) {
            give_turn(worker_of(cursor.thread));
            return true;
        }
    }
    finished = true;
    if (self != 0)
        give_turn(0);
    return self != 0;
}

static void *work(void *which)
{
    const uint32_t self = (uint32_t)(uintptr_t)which;
    do {
        await_turn(self);
    } while (!finished && use_turn(self));
    if (!finished)
        give_turn(0);
    return NULL;
}

/* The next event after a thread's end is nobody's or names another thread. */
static void run_main(void)
{
    while (!finished && use_turn(0)) {
        await_turn(0);
        if (to_join != 0) {
            pthread_join(workers[to_join].handle, NULL);
            workers[to_join].handle = 0;
            to_join = 0;
        }
    }
}

static void end_workers(void)
{
    for (uint32_t thread = 2; thread <= trace.threads; thread++) {
        if (workers[thread].handle != 0) {
            give_turn(thread);
            pthread_join(workers[thread].handle, NULL);
        }
    }
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void run(void)
{
    struct rusage before, after;
    look_every = events / LOOKS + 1;
    recorded_ms = recorded_ms != 0 ? recorded_ms * copies : events / CALLS_A_MS;
    tell_time = (void (*)(uint64_t))dlsym(RTLD_DEFAULT, "hakmem_steady_tell");
    look_at_clock();
    look_huge_every = events / HUGE_LOOKS + 1;
    workers = trace_memory((trace.threads + 1u) * sizeof *workers);
    memset(workers, 0, (trace.threads + 1u) * sizeof *workers);
    model_start();
    statm = bench_open_statm();
    now.resident_first = anonymous_bytes();
    getrusage(RUSAGE_SELF, &before);
    const double start = bench_now();
    run_main();
    now.wall = bench_now() - start;
    getrusage(RUSAGE_SELF, &after);
    look_every = now.done % look_every;
    look_at_memory();
    model_look();
    now.user = seconds(after.ru_utime) - seconds(before.ru_utime);
    now.system = seconds(after.ru_stime) - seconds(before.ru_stime);
    now.minor = (uint64_t)(after.ru_minflt - before.ru_minflt);
    now.major = (uint64_t)(after.ru_majflt - before.ru_majflt);
}

/* --- the report --------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name;
    double value;
    int digits;
} row_t;

#define ROWS 24

/* Of the resident peak what the live peak does not explain. */
static uint64_t external_waste(void)
{
    const uint64_t blocks = now.peak_live + now.waste_at_peak;
    return now.peak_resident > blocks ? now.peak_resident - blocks : 0;
}

static size_t make_rows(row_t *rows)
{
    const row_t all[] = {{"events", (double)events, 0},
                         {"allocations", (double)trace.allocations * copies, 0},
                         {"frees", (double)trace.frees * copies, 0},
                         {"remote_frees", (double)trace.remote_frees * copies, 0},
                         {"threads", trace.threads, 0},
                         {"refused", (double)now.refused, 0},
                         {"wall_s", now.wall, 6},
                         {"user_s", now.user, 6},
                         {"system_s", now.system, 6},
                         {"faults_minor", (double)now.minor, 0},
                         {"faults_major", (double)now.major, 0},
                         {"faults_huge", (double)model.huge_most, 0},
                         {"peak_live_bytes", (double)now.peak_live, 0},
                         {"live_byte_operations", now.live_operations, 0},
                         {"peak_resident_bytes", (double)now.peak_resident, 0},
                         {"end_resident_bytes", (double)now.resident, 0},
                         {"resident_byte_operations", now.resident_operations, 0},
                         {"internal_waste_bytes", (double)now.waste_at_peak, 0},
                         {"external_waste_bytes", (double)external_waste(), 0},
                         {"pages_touched", (double)model.pages, 0},
                         {"tlb1_misses", (double)model.misses[0], 0},
                         {"tlb2_misses", (double)model.misses[1], 0}};
    memcpy(rows, all, sizeof all);
    return sizeof all / sizeof *all;
}

/* hakmem's own statistics, one JSON object; "null" under another malloc. */
static const char *library_object(void)
{
    static char text[1 << 14];
    void (*print)(int, int) = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    const int file = print != NULL ? memfd_create("statistics", MFD_CLOEXEC) : -1;
    if (file < 0)
        return "null";
    print(file, 1);
    const ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return n > 0 ? text : "null";
}

static void print_json(const row_t *rows, size_t count, const char *library)
{
    printf("{\"program\": \"%s\", \"recorded_by\": \"%s\", \"cut\": %s, \"end\": %" PRIu32, trace.program,
           trace.library, trace.cut ? "true" : "false", trace.end);
    for (size_t i = 0; i < count; i++)
        printf(", \"%s\": %.*f", rows[i].name, rows[i].digits, rows[i].value);
    printf(", \"library\": %s}\n", library);
}

static void print_csv(const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i != 0 ? "," : "", rows[i].name);
    for (size_t i = 0; i < count; i++)
        printf("%s%.*f", i != 0 ? "," : "\n", rows[i].digits, rows[i].value);
    printf("\n");
}

static void print_text(const row_t *rows, size_t count)
{
    printf("%s\nrecorded by hakmem %s, %s\n", trace.program, trace.library, trace.cut ? "cut" : "to its end");
    for (size_t i = 0; i < count; i++)
        printf("%26s  %.*f\n", rows[i].name, rows[i].digits, rows[i].value);
}

/* What main returns: figures that nobody got are no success. */
static int printed(void)
{
    const bool lost = fflush(stdout) != 0 || ferror(stdout) != 0;
    if (lost) {
        fprintf(stderr, "bench_replay: the figures cannot be written to standard output: %s\n",
                strerror(errno));
    }
    return lost ? 1 : 0;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static void read_touch(const char *word)
{
    static const char *const words[] = {"none", "first", "all"};
    for (unsigned i = 0; word != NULL && i < 3; i++) {
        if (strcmp(word, words[i]) == 0) {
            touch = (enum touch)i;
            return;
        }
    }
    if (word != NULL)
        bench_usage_error("--touch must be one of none, first, all, not '%s'", word);
}

static void check_memory(void)
{
    const uint64_t there = (uint64_t)sysconf(_SC_PHYS_PAGES) * 4096;
    if (trace.peak_live > there / copies) {
        bench_usage_error("%s has %" PRIu64 " MiB in use at its peak, more than this machine has", trace.path,
                          (trace.peak_live >> 20) * copies);
    }
}

static void read_seconds(const char *word)
{
    char *end = NULL;
    const double seconds = word == NULL ? 0 : strtod(word, &end);
    if (word != NULL && (*word == 0 || *end != 0 || !(seconds >= 0 && seconds <= 1e6)))
        bench_usage_error("--seconds must be a number up to 1000000, not '%s'", word);
    recorded_ms = (uint64_t)(seconds * 1000);
}

static void read_copies(const char *word)
{
    char *end = NULL;
    const unsigned long number = word == NULL ? 1 : strtoul(word, &end, 10);
    if (word != NULL && (word[0] < '0' || word[0] > '9' || *end != 0 || number < 1 || number > COPIES_MOST))
        bench_usage_error("--copies must be 1 to %d, not '%s'", COPIES_MOST, word);
    copies = (uint32_t)number;
}

static const char HELP[] =
    "bench_replay FILE [--json | --csv | --stat | --sizes | --check] [--touch=none|first|all] [--seconds=S]\n"
    "    [--copies=N]: executes a trace\n"
    "  --json, --csv   the figures as one object, or as a head and a row\n"
    "  --stat          executes nothing; sizes, lifetimes, live bytes, sites, threads\n"
    "  --sizes         executes nothing; at the live peak how many blocks of each size\n"
    "  --check         executes nothing; only reads all of the trace\n"
    "  --seconds       how long the recorded program took, for the library's clock; needs steady.so\n"
    "  --copies        each block so many times (1): what the program would do on more of the same\n"
    "  --touch         write blocks when they are new (first, the default), and read them before their end (all), or neither\n";

static void open_trace(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        bench_usage_error("%s: one trace is to be named; --help shows how",
                          argc < 2 ? "no file" : argv[argc - 1]);
    }
    trace_open(&trace, argv[1]);
    if (trace.cut) {
        fprintf(stderr,
                "bench_replay: %s is cut: its process was ended in the middle; what is there is used\n",
                argv[1]);
    }
}

static void replay(void)
{
    check_memory();
    cursor.released = trace_memory(trace.blocks_at_once * sizeof(uint32_t));
    cursor.ended = trace_memory(trace.threads + 1u);
    events = trace.events * copies;
    more_blocks = trace_memory((copies - 1) * (size_t)trace.blocks_at_once * sizeof *more_blocks);
    trace_rewind(&trace, &cursor);
    run();
}

static void report(bool json, bool csv)
{
    row_t rows[ROWS];
    const char *library = library_object();
    const size_t count = make_rows(rows);
    if (json)
        print_json(rows, count, library);
    else if (csv)
        print_csv(rows, count);
    else
        print_text(rows, count);
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer); /* or stdio takes a block for it */
    if (bench_flag(&argc, argv, "-h") || bench_flag(&argc, argv, "--help")) {
        fputs(HELP, stdout);
        return printed();
    }
    const bool json = bench_flag(&argc, argv, "--json"), csv = bench_flag(&argc, argv, "--csv");
    const bool stat = bench_flag(&argc, argv, "--stat"), sizes = bench_flag(&argc, argv, "--sizes");
    const bool only_check = bench_flag(&argc, argv, "--check");
    read_touch(bench_option(&argc, argv, "--touch"));
    read_seconds(bench_option(&argc, argv, "--seconds"));
    read_copies(bench_option(&argc, argv, "--copies"));
    open_trace(argc, argv);
    if (stat)
        stat_print(&trace);
    if (sizes)
        stat_print_sizes(&trace);
    if (stat || sizes || only_check)
        return printed();
    replay();
    report(json, csv);
    end_workers();
    return printed();
}
