/* SPDX-License-Identifier: MIT */
/* A soak: threads that come and go do all that programs do with memory, for as long as asked. Every block is checked
 * when it changes hands; resident memory, sampled throughout, must be flat, and little may remain when all is freed;
 * children, forked in each way there is, check what they inherit. Beside them one thread maps and unmaps memory of its
 * own, which is never to be taken for a block, and another resizes big blocks, so that addresses change hands too.
 *
 * soak [-v] SECONDS THREADS          e.g. soak -v 600 4
 *
 * Says nothing unless -v (a line each tenth of the time) or something is wrong. */
#define _GNU_SOURCE
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include "threads.h"

enum {
    SLOTS = 16384,
    MOST_THREADS = 64,
    CHECKED = 700,      /* bytes of a larger block that are written and checked; and its last one */
    SAMPLES = 300,      /* of resident memory over the whole time */
    FLAT_PERCENT = 120, /* the last third's peak may be this much of the second third's, */
    NOISE_KIB = 65536,  /* and this: large free blocks, more when threads wait for a core */
    FOREIGN = 12,       /* mappings of the program's own at a time */
    PAGE = 4096,
    BIG_BLOCKS = 4
};

typedef struct {
    size_t size; /* of bytes */
    uint64_t seed;
    unsigned char bytes[];
} message_t;

static _Atomic(message_t *) slots[SLOTS];
static atomic_int stopping;
static atomic_ulong operations;
static struct {
    pthread_t thread;
    atomic_int finished;
} workers[MOST_THREADS];

static size_t checked(size_t size)
{
    return size < CHECKED ? size : CHECKED;
}

static void write_message(message_t *message, size_t size, uint64_t seed)
{
    message->size = size;
    message->seed = seed;
    fill(message->bytes, checked(size), seed);
    if (size > CHECKED)
        message->bytes[size - 1] = (unsigned char)seed;
}

static void check_message(const message_t *message)
{
    const size_t at = first_difference(message->bytes, checked(message->size), message->seed);
    CHECK(at == checked(message->size), "byte %zu of a message of %zu bytes changed", at, message->size);
    CHECK(message->size <= CHECKED || message->bytes[message->size - 1] == (unsigned char)message->seed,
          "the last byte of a message of %zu bytes changed", message->size);
}

/* Mostly small; one in 100 to 60 KB, one in 1,000 to 1 MB, one in 10,000 to 10 MB. */
static size_t message_size(uint64_t *random)
{
    const uint64_t choice = next_random(random) % 10000;
    const size_t limit = choice == 0 ? 10000000 : choice < 10 ? 1000000 : 60000;
    return choice < 100 ? next_random(random) % limit : random_size(random, 2000);
}

static void *aligned_block(uint64_t *random, size_t size)
{
    const size_t alignment = (size_t)16 << next_random(random) % 10;
    void *block = NULL;
    switch (next_random(random) % 3) {
    case 0: block = aligned_alloc(alignment, size); break;
    case 1: block = memalign(alignment, size); break;
    default: CHECK(posix_memalign(&block, alignment, size) == 0, "posix_memalign(%zu)", size); break;
    }
    CHECK((uintptr_t)block % alignment == 0, "%p is not aligned to %zu", block, alignment);
    return block;
}

static message_t *new_message(uint64_t *random)
{
    const size_t size = message_size(random);
    const size_t bytes = sizeof(message_t) + size;
    message_t *message = NULL;
    switch (next_random(random) % 8) {
    case 0:
        message = calloc(1, bytes);
        CHECK(message == NULL || is_zero(message, bytes < 4096 ? bytes : 4096), "calloc(%zu)", bytes);
        break;
    case 1: message = aligned_block(random, bytes); break;
    case 2: message = reallocarray(NULL, bytes, 1); break;
    default: message = malloc(bytes); break;
    }
    CHECK(message != NULL, "no memory for %zu bytes", bytes);
    CHECK(malloc_usable_size(message) >= bytes, "too little usable of %zu bytes", bytes);
    write_message(message, size, next_random(random));
    return message;
}

static message_t *resized_message(message_t *message, uint64_t *random)
{
    const size_t before = message->size;
    const size_t size = message_size(random);
    message = realloc(message, sizeof(message_t) + size);
    CHECK(message != NULL, "no memory to resize to %zu bytes", size);
    const size_t kept = checked(before < size ? before : size);
    CHECK(message->size == before && is_filled(message->bytes, kept, message->seed),
          "realloc from %zu to %zu bytes lost some", before, size);
    write_message(message, size, message->seed + 1);
    return message;
}

/* Takes a message out, whoever made it; checks it; puts it back resized, or another in its place. */
static void one_operation(uint64_t *random)
{
    const size_t i = next_random(random) % SLOTS;
    message_t *message = atomic_exchange(&slots[i], NULL);
    if (message != NULL)
        check_message(message);
    if (message != NULL && next_random(random) % 4 == 0) {
        message = resized_message(message, random);
    } else {
        free(message);
        message = new_message(random);
    }
    message = atomic_exchange(&slots[i], message);
    if (message != NULL) {
        check_message(message);
        free(message);
    }
}

static void *work(void *index)
{
    static atomic_ulong born;
    uint64_t random = (atomic_fetch_add(&born, 1) + 1) * 7919;
    const uint64_t life = 2000 + next_random(&random) % 200000;
    for (uint64_t i = 0; i < life && !atomic_load_explicit(&stopping, memory_order_relaxed); i++) {
        one_operation(&random);
        if (i % 512 == 0)
            atomic_fetch_add_explicit(&operations, 512, memory_order_relaxed);
    }
    if (next_random(&random) % 50 == 0)
        malloc_trim(0);
    atomic_store(&workers[(uintptr_t)index].finished, 1);
    return NULL;
}

/* --- memory that is not the allocator's --------------------------------------------------------------------------- */

typedef struct {
    unsigned char *at; /* NULL in a free place */
    size_t size;
    uint64_t seed;
} foreign_t;

static void check_foreign(const foreign_t *mine)
{
    CHECK(malloc_usable_size(mine->at) == 0, "%p, mapped by the program, is taken for a block",
          (void *)mine->at);
    CHECK(is_filled(mine->at, 100, mine->seed) && is_filled(mine->at + mine->size - 100, 100, mine->seed + 1),
          "the program's own memory at %p was changed", (void *)mine->at);
}

/* 64 KiB to 64 MiB, of which two pages are touched; where blocks of that size just were, if the system likes. */
static void replace_foreign(foreign_t *mine, uint64_t *random)
{
    if (mine->at != NULL) {
        check_foreign(mine);
        munmap(mine->at, mine->size);
    }
    const size_t size = ((size_t)1 << (16 + next_random(random) % 11)) - next_random(random) % 15 * PAGE;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED, "no memory to map");
    *mine = (foreign_t){.at = at, .size = size, .seed = next_random(random)};
    fill(mine->at, 100, mine->seed);
    fill(mine->at + size - 100, 100, mine->seed + 1);
    check_foreign(mine);
}

static void *map_and_unmap(void *unused)
{
    static foreign_t foreign[FOREIGN];
    uint64_t random = 4711;
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        replace_foreign(&foreign[next_random(&random) % FOREIGN], &random);
        const foreign_t *other = &foreign[next_random(&random) % FOREIGN];
        if (other->at != NULL)
            check_foreign(other);
        usleep(50);
    }
    return unused;
}

/* 1 to 16 MiB, of which the ends are touched. */
static void *resize_big_blocks(void *unused)
{
    struct {
        unsigned char *block;
        size_t size;
    } blocks[BIG_BLOCKS] = {0};
    uint64_t random = (uintptr_t)blocks;
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        const size_t i = next_random(&random) % BIG_BLOCKS;
        const size_t size = ((size_t)1 << 20) + next_random(&random) % ((size_t)15 << 20);
        if (blocks[i].block != NULL) {
            CHECK(malloc_usable_size(blocks[i].block) >= blocks[i].size, "the allocator forgot a big block");
            CHECK(blocks[i].block[0] == i && blocks[i].block[blocks[i].size - 1] == i,
                  "a big block was changed");
        }
        if (next_random(&random) % 8 == 0) {
            free(blocks[i].block);
            blocks[i].block = NULL;
        }
        const size_t before = blocks[i].block == NULL ? 1 : blocks[i].size;
        unsigned char *resized = realloc(blocks[i].block, size);
        CHECK(resized != NULL, "no memory to resize to %zu bytes", size);
        CHECK(blocks[i].block == NULL || (resized[0] == i && (size < before || resized[before - 1] == i)),
              "realloc of a big block lost some");
        resized[0] = resized[size - 1] = (unsigned char)i;
        blocks[i].block = resized;
        blocks[i].size = size;
        usleep(50);
    }
    for (size_t i = 0; i < BIG_BLOCKS; i++)
        free(blocks[i].block);
    return unused;
}

/* --- threads and children ----------------------------------------------------------------------------------------- */

static void start(int i)
{
    atomic_store(&workers[i].finished, 0);
    const int error = pthread_create(&workers[i].thread, NULL, work, (void *)(intptr_t)i);
    CHECK(error == 0, "pthread_create: error %d", error);
}

/* fork, and the two ways that call no handler. ThreadSanitizer would lose track of the last two. */
static pid_t fork_in_some_way(void)
{
#if !defined(__SANITIZE_THREAD__)
    static unsigned way;
    switch (way++ % 3) {
    case 1: return _Fork();
    case 2: return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    default: break;
    }
#endif
    return fork();
}

/* What the child inherits may have been taken out by a thread that it does not have; all else is whole. */
static void fork_once(void)
{
    const pid_t child = fork_in_some_way();
    if (child == 0) {
        alarm(30);
        uint64_t random = 99;
        for (int i = 0; i < 2000; i++)
            one_operation(&random);
        _exit(0);
    }
    expect_child_succeeds(child, "a forked child");
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long highest(const long *samples, int from, int to)
{
    long most = 0;
    for (int i = from; i < to; i++)
        most = samples[i] > most ? samples[i] : most;
    return most;
}

static pthread_t beside[3];

static void start_all(int threads)
{
    uint64_t random = 1;
    for (size_t i = 0; i < SLOTS; i++)
        slots[i] = new_message(&random);
    for (int i = 0; i < threads; i++)
        start(i);
    for (int i = 0; i < 3; i++) {
        const int error = pthread_create(&beside[i], NULL, i == 0 ? map_and_unmap : resize_big_blocks, NULL);
        CHECK(error == 0, "pthread_create: error %d", error);
    }
}

/* Whoever has ended gets a successor. */
static void replace_until(double until, int threads)
{
    while (now() < until) {
        usleep(2000);
        for (int i = 0; i < threads; i++) {
            if (atomic_load(&workers[i].finished)) {
                pthread_join(workers[i].thread, NULL);
                start(i);
            }
        }
    }
}

static void take_samples(long *samples, double seconds, int threads, bool verbose)
{
    const double begin = now();
    for (int sample = 0; sample < SAMPLES; sample++) {
        replace_until(begin + seconds * (sample + 1) / (double)SAMPLES, threads);
        if (sample % 10 == 5)
            fork_once();
        samples[sample] = resident_kib();
        if (verbose && sample % (SAMPLES / 10) == SAMPLES / 10 - 1) {
            dprintf(1, "%7.1f s %12lu operations %8ld KiB\n", now() - begin, atomic_load(&operations),
                    samples[sample]);
        }
    }
}

static void stop_all(int threads)
{
    atomic_store(&stopping, 1);
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(beside[i], NULL);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i] != NULL) {
            check_message(slots[i]);
            free(slots[i]);
        }
    }
    malloc_trim(0);
}

static void judge(const long *samples, bool verbose)
{
    const long second = highest(samples, SAMPLES / 3, SAMPLES * 2 / 3);
    const long last = highest(samples, SAMPLES * 2 / 3, SAMPLES);
    const long left = resident_kib();
    if (verbose) {
        dprintf(1, "peak of the second third %ld KiB, of the last %ld KiB; %ld KiB when all was freed\n",
                second, last, left);
    }
    CHECK(left * 4 <= last, "all is freed and %ld of %ld KiB remain", left, last);
    CHECK(last <= second * FLAT_PERCENT / 100 + NOISE_KIB, "memory grows: %ld KiB after %ld KiB", last,
          second);
}

int main(int argc, char **argv)
{
    static long samples[SAMPLES];
    const bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    if (argc != 3 + verbose) {
        dprintf(2, "usage: soak [-v] SECONDS THREADS\n");
        return 2;
    }
    const double seconds = atof(argv[1 + verbose]);
    const int threads = atoi(argv[2 + verbose]);
    CHECK(seconds > 0 && threads > 0 && threads <= MOST_THREADS, "%s seconds, %s threads", argv[1 + verbose],
          argv[2 + verbose]);
    start_all(threads);
    take_samples(samples, seconds, threads, verbose);
    stop_all(threads);
    judge(samples, verbose);
    return 0;
}
