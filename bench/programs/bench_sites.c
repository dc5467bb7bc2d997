/* SPDX-License-Identifier: MIT */
/* Call sites (docs/call-sites.md). `truth`: places whose kind is declared call hak_alloc_cs in a random order; with --json
 * their kinds and then the library's statistics are printed, from which report/sites.py makes the confusion matrix of the
 * inference. The others are for counting instructions, and free each block before they take the next: `founders` by their three
 * places (64 KiB x 1000, 256 KiB x 100, 2 MiB x 10), `turns` by six places in turn, `tiny` by one; and the same by malloc and
 * free. One thread. */
#include "harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

enum {
    live_most = 8, /* blocks of a place */
    rounds_of_truth = 40000
};

typedef enum work {
    TRUTH,
    TURNS,
    TURNS_MALLOC,
    TINY,
    TINY_MALLOC,
    FOUNDERS,
    FOUNDERS_MALLOC
} work_t;

/* A place as its programmer sees it. It calls while `first` <= done / all < `last`, percent. */
typedef struct place {
    const char *name;  /* its identity: the statistics show this text */
    const char *truth; /* what a person would call it */
    size_t low, high;  /* bytes */
    unsigned weight;   /* of a million calls */
    unsigned first, last;
} place_t;

static const place_t places[] = {
    {"tree node", "SMALL_FREQUENT", 48, 48, 300000, 0, 100},
    {"string", "SMALL_FREQUENT", 5, 200, 250000, 0, 100},
    {"token", "SMALL_FREQUENT", 16, 16, 150000, 0, 100},
    {"json text", "SMALL_FREQUENT", 64 * KIB, 64 * KIB, 20000, 0, 100},
    {"line buffer", "SMALL_FREQUENT", 100, 40 * KIB, 30000, 0, 100},
    {"hash table, grows", "SMALL_FREQUENT", 64, 120 * KIB, 10000, 0, 100},
    {"symbol, at the start", "SMALL_FREQUENT", 24, 64, 100000, 0, 10},
    {"record", "MEDIUM", 256 * KIB, 256 * KIB, 5000, 0, 100},
    {"page set", "MEDIUM", 128 * KIB, 900 * KIB, 3000, 0, 100},
    {"message", "MEDIUM", 70 * KIB, 200 * KIB, 8000, 0, 100},
    {"session, now and then", "MEDIUM", 500, 2 * KIB, 700, 0, 100},
    {"options, at the start", "MEDIUM", 100, 300, 250, 0, 100},
    {"image or its header", "MEDIUM", 1 * KIB, 3 * MIB, 1500, 0, 100},
    {"frame", "LARGE_INFREQUENT", 2 * MIB, 2 * MIB, 1000, 0, 100},
    {"picture", "LARGE_INFREQUENT", 1 * MIB, 8 * MIB, 800, 0, 100},
    {"arena", "LARGE_INFREQUENT", 16 * MIB, 16 * MIB, 400, 0, 100},
    {"index, late", "LARGE_INFREQUENT", 4 * MIB, 6 * MIB, 1200, 70, 100},
    {"dump, a few times", "LARGE_INFREQUENT", 30 * MIB, 30 * MIB, 120, 0, 100},
    {"video, all the time", "MEDIUM", 2 * MIB, 2 * MIB, 1800000, 90, 100},
};

enum {
    place_count = sizeof places / sizeof places[0]
};

static void *(*alloc_at)(size_t size, const void *site);
static void (*free_at)(void *block, size_t size);
static void (*print_statistics)(int fd, int json);

static void find_library(void)
{
    alloc_at = (void *(*)(size_t, const void *))dlsym(RTLD_DEFAULT, "hakmem_alloc_at");
    free_at = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "hakmem_free_at");
    print_statistics = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    if (alloc_at == NULL || free_at == NULL || print_statistics == NULL)
        bench_fail("this needs hakmem: LD_PRELOAD=build/clang-learning/base/libhakmem.so");
}

/* --- truth --------------------------------------------------------------------------------------------------------- */

static struct {
    void *block;
    size_t size;
} live[place_count][live_most];

static unsigned weight_at(const place_t *place, uint64_t percent)
{
    return percent >= place->first && percent < place->last ? place->weight : 0;
}

static size_t draw(uint64_t *state, uint64_t percent)
{
    uint64_t all = 0;
    for (size_t i = 0; i < place_count; i++)
        all += weight_at(&places[i], percent);
    uint64_t wanted = bench_between(state, 0, all - 1);
    size_t i = 0;
    for (; wanted >= weight_at(&places[i], percent); i++)
        wanted -= weight_at(&places[i], percent);
    return i;
}

static void renew(size_t i, uint64_t *state)
{
    size_t k = bench_between(state, 0, live_most - 1);
    if (live[i][k].block != NULL)
        free_at(live[i][k].block, live[i][k].size);
    live[i][k].size = bench_between(state, places[i].low, places[i].high);
    live[i][k].block = alloc_at(live[i][k].size, places[i].name);
    if (live[i][k].block == NULL)
        bench_fail("a block of %zu bytes was refused", live[i][k].size);
}

static void run_truth(uint64_t rounds)
{
    uint64_t state = 7;
    for (uint64_t done = 0; done < rounds; done++)
        renew(draw(&state, done * 100 / rounds), &state);
}

static void print_truth(void)
{
    for (size_t i = 0; i < place_count; i++)
        printf("%s\t%s\n", places[i].name, places[i].truth);
    fflush(stdout);
    print_statistics(STDOUT_FILENO, 1);
}

/* --- turns --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t size;
} turns[] = {{"64 KiB", 64 * KIB}, {"1 MiB", 1 * MIB},     {"256 KiB", 256 * KIB},
             {"2 MiB", 2 * MIB},   {"300 KiB", 300 * KIB}, {"4 MiB", 4 * MIB}};

static void pair(size_t size, const char *name, bool by_malloc)
{
    size = bench_opaque_size(size);
    char *block = by_malloc ? malloc(size) : alloc_at(size, name);
    *(char *)bench_opaque(block) = 1;
    if (by_malloc)
        free(block);
    else
        free_at(block, size);
}

static uint64_t run_turns(uint64_t rounds, bool by_malloc)
{
    enum {
        count = sizeof turns / sizeof turns[0]
    };
    for (uint64_t done = 0; done < rounds; done++)
        for (size_t i = 0; i < count; i++)
            pair(turns[i].size, turns[i].name, by_malloc);
    return rounds * count;
}

/* Each block is freed before the next is taken, one place after the other. */
static uint64_t run_founders(uint64_t rounds, bool by_malloc)
{
    static const struct {
        const char *name;
        size_t size, times;
    } parts[] = {{"json", 64 * KIB, 1000}, {"mir", 256 * KIB, 100}, {"vm", 2 * MIB, 10}};
    for (uint64_t done = 0; done < rounds; done++) {
        for (size_t i = 0; i < 3 * parts[0].times; i++) {
            size_t k = i / parts[0].times;
            if (i % parts[0].times < parts[k].times)
                pair(parts[k].size, parts[k].name, by_malloc);
        }
    }
    return rounds * (parts[0].times + parts[1].times + parts[2].times);
}

static uint64_t run_tiny(uint64_t rounds, bool by_malloc)
{
    for (uint64_t done = 0; done < rounds; done++)
        pair(48, "tiny", by_malloc);
    return rounds;
}

int main(int argc, char **argv)
{
    static const char *const words[] = {"truth",       "turns",    "turns-malloc",    "tiny",
                                        "tiny-malloc", "founders", "founders-malloc", NULL};
    bench_arg_t args[] = {
        {.name = "WORK", .value = TRUTH, .words = words},
        {.name = "ROUNDS", .value = rounds_of_truth, .min = 1, .max = 1u << 30},
    };
    bool json = bench_flag(&argc, argv, "--json");
    bench_parse(argc, argv, "Call sites whose kind is known; --json prints them and the statistics.", args,
                2);
    uint64_t rounds = args[1].value;
    work_t work = (work_t)args[0].value;
    find_library();
    switch (work) {
    case TRUTH: run_truth(rounds); break;
    case TURNS:
    case TURNS_MALLOC: rounds = run_turns(rounds, work == TURNS_MALLOC); break;
    case TINY:
    case TINY_MALLOC: rounds = run_tiny(rounds, work == TINY_MALLOC); break;
    case FOUNDERS:
    case FOUNDERS_MALLOC: rounds = run_founders(rounds, work == FOUNDERS_MALLOC); break;
    }
    if (json)
        print_truth();
    return bench_report(2 * rounds);
}
