/* SPDX-License-Identifier: MIT */
/* ulimit -v and ulimit -d: the program runs, exhaustion is NULL and ENOMEM, nothing is corrupted, and after
 * freeing, other sizes can be had again. Starts itself anew per level, so that the limit holds from the first malloc. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/resource.h>
#include "threads.h"

enum {
    MOST = 200000
};

static unsigned char **blocks;

/* Takes blocks of `size` until there are no more (or 1.5 GiB); returns how many bytes that were. */
static size_t exhaust(size_t size, size_t limit, size_t *count)
{
    size_t taken = 0;
    *count = 0;
    errno = 0;
    while (*count < MOST && taken < limit) {
        unsigned char *block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
            break;
        }
        blocks[*count] = block;
        block[0] = (unsigned char)*count;
        block[size - 1] = (unsigned char)(*count >> 3);
        ++*count;
        taken += size;
    }
    return taken;
}

static void release(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(blocks[i][0] == (unsigned char)i || size == 1, "block %zu of %zu bytes changed", i, size);
        CHECK(blocks[i][size - 1] == (unsigned char)(i >> 3), "the end of block %zu of %zu bytes changed", i,
              size);
        free(blocks[i]);
    }
}

static void *small_work(void *index)
{
    (void)index;
    unsigned char *block = malloc(1000);
    if (block == NULL)
        return (void *)1;
    memset(block, 1, 1000);
    free(block);
    return NULL;
}

static int under_limit(size_t limit)
{
    static unsigned char *table[MOST];
    blocks = table;
    size_t count;
    CHECK(exhaust(100000, limit, &count) >= limit / 6, "only %zu blocks of 100,000 bytes under %zu MiB",
          count, limit >> 20);
    /* At the limit: the failing calls, each with its errno, and the old block whole. */
    errno = 0;
    void *huge = malloc(limit);
    CHECK(huge == NULL && errno == ENOMEM, "malloc of the whole limit: %p, errno %d", huge, errno);
    errno = 0;
    huge = calloc(limit, 2);
    CHECK(huge == NULL && errno == ENOMEM, "calloc of twice the limit: %p, errno %d", huge, errno);
    errno = 0;
    huge = realloc(blocks[0], limit);
    CHECK(huge == NULL && errno == ENOMEM, "realloc to the whole limit: %p, errno %d", huge, errno);
    CHECK(posix_memalign(&huge, 4096, limit) == ENOMEM, "posix_memalign of the whole limit");
    release(100000, count);

    static const size_t sizes[] = {5000, 64, 1u << 20, 30000, 1000, 300000, 4u << 20, 2000, 70000};
    /* Each touches nearly all of the limit: of large ones a third shows the same. */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i += limit >> 20 >= 200 ? 3 : 1) {
        /* Small sizes stop at MOST blocks. */
        const size_t possible = sizes[i] * MOST < limit ? sizes[i] * MOST : limit;
        const size_t taken = exhaust(sizes[i], limit, &count);
        CHECK(taken >= possible / 8, "after freeing, only %zu KiB in blocks of %zu under %zu MiB",
              taken >> 10, sizes[i], limit >> 20);
        release(sizes[i], count);
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, small_work, NULL);
    CHECK(error == 0, "after freeing, no thread can start under %zu MiB: error %d", limit >> 20, error);
    void *failed;
    pthread_join(thread, &failed);
    CHECK(failed == NULL, "a thread got no memory under %zu MiB", limit >> 20);
    return 0;
}

int main(int argc, char **argv)
{
    const __rlimit_resource_t resource = argc > 1 && strcmp(argv[1], "data") == 0 ? RLIMIT_DATA : RLIMIT_AS;
    if (argc > 2)
        return under_limit(strtoul(argv[2], NULL, 10) << 20);
    /* The two largest take most of the time: they are tried with one of the limits. */
    static char *levels[] = {"64", "96", "128", "200", "512"};
    const size_t count = sizeof levels / sizeof *levels - (resource == RLIMIT_DATA ? 2 : 0);
    for (size_t i = 0; i < count; i++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            const rlim_t bytes = strtoul(levels[i], NULL, 10) << 20;
            const struct rlimit limit = {bytes, bytes};
            CHECK(setrlimit(resource, &limit) == 0, "setrlimit");
            execl("/proc/self/exe", argv[0], resource == RLIMIT_DATA ? "data" : "as", levels[i], NULL);
            _exit(9);
        }
        expect_child_succeeds(child, levels[i]);
    }
    return 0;
}
