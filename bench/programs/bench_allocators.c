/* SPDX-License-Identifier: MIT */
/* Allocators against scenarios: a scenario allocates, writes and frees blocks of fixed sizes, so many a run, over
 * several runs after one to warm up; the result is one CSV row. Which allocator serves it is decided by LD_PRELOAD:
 * with --allocator the program starts itself again under that library, so that one command names what it measures.
 * One thread.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define OWN "libhakmem.so.0" /* stands for whichever of own_libraries there is */

enum {
    most_runs = 1000
};

typedef struct allocator {
    const char *name;
    const char *library; /* what LD_PRELOAD gets; NULL: the C library's own malloc */
    const char *mode;    /* HAKMEM_MODE, or NULL */
} allocator_t;

/* The project's own rows take the first library of own_libraries that is there, or the one of --library. */
static const allocator_t allocators[] = {
    {"system", NULL, NULL},
    {"hakmem-baseline", OWN, "minimal"},
    {"hakmem-evolving", OWN, "evolving"},
    {"jemalloc", "libjemalloc.so.2", NULL},
    {"mimalloc", "libmimalloc.so.2", NULL},
    {"tcmalloc", "libtcmalloc_minimal.so.4", NULL},
};

enum {
    allocator_count = sizeof allocators / sizeof allocators[0]
};

typedef struct part {
    size_t smallest; /* bytes */
    size_t largest;  /* bytes */
    size_t blocks;   /* a run */
} part_t;

typedef struct scenario {
    const char *name;
    part_t parts[3]; /* unused ones have no blocks */
} scenario_t;

static const part_t json_part = {64 * KIB, 64 * KIB, 1000};
static const part_t mir_part = {256 * KIB, 512 * KIB, 100};
static const part_t vm_part = {2048 * KIB, 2048 * KIB, 10};

static uint64_t run_part(const part_t *part, uint64_t *state)
{
    for (size_t i = 0; i < part->blocks; i++) {
        size_t size = bench_between(state, part->smallest, part->largest);
        unsigned char *block = bench_malloc(size);
        memset(block, (int)(i & 0xff), size);
        bench_opaque(block);
        if (block[size - 1] != (unsigned char)(i & 0xff))
            bench_fail("a block of %zu bytes lost its contents", size);
        free(block);
    }
    return part->blocks;
}

static uint64_t run_scenario(const scenario_t *scenario)
{
    uint64_t state = 1;
    uint64_t operations = 0;
    for (size_t i = 0; i < 3; i++)
        operations += run_part(&scenario->parts[i], &state);
    return operations;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* True when a mapped file's path contains the library's name: ld.so only warns when a preload fails. */
static bool is_loaded(const char *library)
{
    static char maps[1 << 16];
    const char *slash = strrchr(library, '/');
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    for (ssize_t n = 1; fd >= 0 && n > 0 && used < sizeof maps - 1; used += (size_t)n) {
        n = read(fd, maps + used, sizeof maps - 1 - used);
        if (n < 0)
            break;
    }
    close(fd);
    return strstr(maps, slash != NULL ? slash + 1 : library) != NULL;
}

/* Builds of the project, seen from this program's directory (build/bench): the modes are in variants with options. */
static const char *const own_libraries[] = {"../clang-learning/base/libhakmem.so",
                                            "../gcc-learning/base/libhakmem.so", "../../dist/libhakmem.so"};

/* The first of own_libraries that exists; OWN when there is none, for the loader to find. */
static const char *own_library(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    char *slash = n > 0 ? strrchr(path, '/') : NULL;
    for (size_t i = 0; slash != NULL && i < sizeof own_libraries / sizeof own_libraries[0]; i++) {
        strcpy(slash + 1, own_libraries[i]);
        if (access(path, R_OK) == 0)
            return path;
    }
    return OWN;
}

static const char *library_of(const allocator_t *allocator, const char *named)
{
    if (allocator->library == NULL || named != NULL)
        return allocator->library == NULL ? NULL : named;
    return strcmp(allocator->library, OWN) == 0 ? own_library() : allocator->library;
}

static const allocator_t *find_allocator(const char *name)
{
    for (size_t i = 0; i < allocator_count; i++)
        if (strcmp(allocators[i].name, name) == 0)
            return &allocators[i];
    bench_usage_error(
        "--allocator must be one of system hakmem-baseline hakmem-evolving jemalloc mimalloc tcmalloc, "
        "not \"%s\"",
        name);
}

/* Starts this program again with the library preloaded; the environment variable tells the second start. */
static void become(const allocator_t *allocator, const char *library, char **original)
{
    if (getenv("BENCH_ALLOCATORS_PRELOADED") != NULL) {
        if (library != NULL && !is_loaded(library)) {
            bench_usage_error(
                "%s could not be loaded; install the package that has it or name its path by --library",
                library);
        }
        return;
    }
    setenv("BENCH_ALLOCATORS_PRELOADED", "1", 1);
    if (library != NULL)
        setenv("LD_PRELOAD", library, 1);
    else
        unsetenv("LD_PRELOAD");
    if (allocator->mode != NULL) {
        setenv("HAKMEM_MODE", allocator->mode, 1);
        setenv("HAKMEM_LEARN_WINDOW_MS", "10", 0); /* a scenario is over in a fifth of a second */
    }
    execv("/proc/self/exe", original);
    bench_fail("cannot start itself again");
}

static const scenario_t scenarios[] = {
    {"json", {json_part}},
    {"mir", {mir_part}},
    {"vm", {vm_part}},
    {"mixed", {json_part, mir_part, vm_part}},
};
static const char *const scenario_names[] = {"json", "mir", "vm", "mixed", NULL};

/* What is measured, and how it is shown. */
typedef struct request {
    const scenario_t *scenario;
    uint64_t runs;
    const char *label; /* of the allocator */
    bool csv, header;
} request_t;

/* Starts the program again under the allocator that is asked for, if that has not been done; its label. */
static const char *choose_allocator(const char *name, const char *library, char **original)
{
    if (name == NULL && library != NULL)
        bench_usage_error("--library needs --allocator");
    if (name == NULL)
        return "preloaded";
    const allocator_t *allocator = find_allocator(name);
    become(allocator, library_of(allocator, library), original);
    return allocator->name;
}

static request_t read_request(int argc, char **argv)
{
    request_t request;
    char *original[32] = {NULL};
    for (int i = 0; i < argc && i < 31; i++)
        original[i] = argv[i];
    request.csv = bench_flag(&argc, argv, "--csv");
    request.header = bench_flag(&argc, argv, "--header");
    const char *allocator = bench_option(&argc, argv, "--allocator");
    const char *library = bench_option(&argc, argv, "--library");
    const char *chosen = bench_option(&argc, argv, "--scenario");
    bench_arg_t args[] = {
        {.name = "SCENARIO", .value = 3, .words = scenario_names},
        {.name = "RUNS", .value = 50, .min = 1, .max = most_runs},
    };
    if (chosen != NULL) { /* the option stands for the first argument */
        char *words[] = {argv[0], (char *)(uintptr_t)chosen};
        bench_parse(2, words, "", args, 1);
    }
    bench_arg_t *rest = chosen != NULL ? args + 1 : args;
    bench_parse(
        argc, argv,
        "Writes blocks of 64 KiB (json), 256-512 KiB (mir), 2 MiB (vm) or all. Options: --scenario NAME, "
        "--allocator NAME, --library PATH, --csv, --header.",
        rest, chosen != NULL ? 1 : 2);
    request.label = choose_allocator(allocator, library, original);
    request.scenario = &scenarios[args[0].value];
    request.runs = args[1].value;
    return request;
}

/* `seconds` of the runs are sorted; `operations` and `faults` are of one run, and of all. */
static void print_rows(const request_t *request, const double *seconds, uint64_t operations, long faults)
{
    if (request->header)
        printf("allocator,scenario,runs,blocks_per_run,median_us,p95_us,page_faults_per_run,peak_rss_kib\n");
    if (!request->csv)
        return;
    const uint64_t runs = request->runs;
    printf("%s,%s,%llu,%llu,%.1f,%.1f,%.1f,%llu\n", request->label, request->scenario->name,
           (unsigned long long)runs, (unsigned long long)operations, seconds[runs / 2] * 1e6,
           seconds[runs * 95 / 100] * 1e6, (double)faults / (double)runs,
           (unsigned long long)bench_peak_rss_kib());
}

int main(int argc, char **argv)
{
    static double seconds[most_runs];
    const request_t request = read_request(argc, argv);
    uint64_t operations = run_scenario(request.scenario);
    long faults = page_faults();
    for (uint64_t i = 0; i < request.runs; i++) {
        double start = bench_now();
        run_scenario(request.scenario);
        seconds[i] = bench_now() - start;
    }
    faults = page_faults() - faults;
    qsort(seconds, request.runs, sizeof seconds[0], compare);
    print_rows(&request, seconds, operations, faults);
    return bench_report(operations * (request.runs + 1));
}
