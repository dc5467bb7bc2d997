/* SPDX-License-Identifier: MIT */
/* Implements harness.h. The statics below are written by main before any benchmark thread starts and are only
 * read afterwards.
 */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static bool verbose;
static double started;

static void complain(const char *format, va_list list)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
}

void bench_usage_error(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    complain(format, list);
    va_end(list);
    exit(2);
}

void bench_fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    complain(format, list);
    va_end(list);
    exit(1);
}

static void print_help(const char *sentence, const bench_arg_t *args, size_t count)
{
    printf("usage: %s [-v]", program_invocation_short_name);
    for (size_t i = 0; i < count; i++)
        printf(" [%s]", args[i].name);
    printf("\n%s\n  -v  print operations, seconds, operations per second and peak memory\n", sentence);
    for (size_t i = 0; i < count; i++) {
        if (args[i].words != NULL) {
            printf("  %s (default %s):", args[i].name, args[i].words[args[i].value]);
            for (size_t k = 0; args[i].words[k] != NULL; k++)
                printf(" %s", args[i].words[k]);
            printf("\n");
        } else {
            printf("  %s (default %llu, from %llu to %llu)\n", args[i].name,
                   (unsigned long long)args[i].value, (unsigned long long)args[i].min,
                   (unsigned long long)args[i].max);
        }
    }
}

static void read_word(bench_arg_t *arg, const char *text)
{
    char list[1024] = "";
    size_t used = 0;
    for (size_t k = 0; arg->words[k] != NULL; k++) {
        if (strcmp(arg->words[k], text) == 0) {
            arg->value = k;
            return;
        }
        int n = snprintf(list + used, sizeof list - used, " %s", arg->words[k]);
        if (n > 0 && (size_t)n < sizeof list - used)
            used += (size_t)n;
    }
    bench_usage_error("%s must be one of%s, not \"%s\"", arg->name, list, text);
}

static void read_number(bench_arg_t *arg, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < arg->min ||
        value > arg->max) {
        bench_usage_error("%s must be a whole number from %llu to %llu, not \"%s\"", arg->name,
                          (unsigned long long)arg->min, (unsigned long long)arg->max, text);
    }
    arg->value = value;
}

void bench_parse(int argc, char **argv, const char *sentence, bench_arg_t *args, size_t count)
{
    size_t next = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            print_help(sentence, args, count);
            exit(0);
        } else if (argv[i][0] == '-') {
            bench_usage_error("unknown option \"%s\"; -h lists what it takes", argv[i]);
        } else if (next == count) {
            bench_usage_error("\"%s\" is one argument too many; it takes at most %zu, -h lists them", argv[i],
                              count);
        } else if (args[next].words != NULL) {
            read_word(&args[next++], argv[i]);
        } else {
            read_number(&args[next++], argv[i]);
        }
    }
    started = bench_now();
}

static void remove_arguments(int *argc, char **argv, int at, int count)
{
    for (int i = at; i + count <= *argc; i++)
        argv[i] = argv[i + count];
    *argc -= count;
}

bool bench_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0) {
            remove_arguments(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}

const char *bench_option(int *argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            if (i + 1 == *argc)
                bench_usage_error("%s needs a value", name);
            const char *value = argv[i + 1];
            remove_arguments(argc, argv, i, 2);
            return value;
        }
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') {
            const char *value = argv[i] + length + 1;
            remove_arguments(argc, argv, i, 1);
            return value;
        }
    }
    return NULL;
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* From /proc, not getrusage: ru_maxrss survives exec and would report the parent's size in a small program. */
uint64_t bench_peak_rss_kib(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "VmHWM:");
    return line != NULL ? strtoull(line + strlen("VmHWM:"), NULL, 10) : 0;
}

int bench_open_statm(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_fail("cannot open /proc/self/statm");
    return fd;
}

uint64_t bench_resident(int statm)
{
    char text[128];
    ssize_t n = pread(statm, text, sizeof text - 1, 0);
    if (n <= 0)
        bench_fail("cannot read /proc/self/statm");
    text[n] = '\0';
    const char *second = strchr(text, ' ');
    return second == NULL ? 0 : strtoull(second + 1, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void *bench_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        bench_fail("no memory for %zu bytes", bytes);
    memset(pages, 0, bytes);
    return pages;
}

int bench_report(uint64_t operations)
{
    double seconds = bench_now() - started;
    if (verbose) {
        printf("%s ops=%llu seconds=%.6f ops_per_sec=%.0f peak_rss_kib=%llu\n", program_invocation_short_name,
               (unsigned long long)operations, seconds, (double)operations / (seconds > 0 ? seconds : 1e-9),
               (unsigned long long)bench_peak_rss_kib());
    }
    return 0;
}

void bench_thread_start(unsigned long *handle, void *(*body)(void *), void *context)
{
    _Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "a thread handle is passed as unsigned long");
    int error = pthread_create((pthread_t *)handle, NULL, body, context);
    if (error != 0)
        bench_fail("cannot start a thread: %s", strerror(error));
}

void bench_thread_join(unsigned long handle)
{
    int error = pthread_join((pthread_t)handle, NULL);
    if (error != 0)
        bench_fail("cannot join a thread: %s", strerror(error));
}

void bench_threads(size_t count, void *(*body)(void *), void *contexts, size_t size)
{
    enum {
        most = 1024
    };
    static unsigned long handles[most];
    if (count > most)
        bench_fail("%zu threads at a time are more than the %d it can hold", count, (int)most);
    for (size_t i = 0; i < count; i++)
        bench_thread_start(&handles[i], body, (char *)contexts + i * size);
    for (size_t i = 0; i < count; i++)
        bench_thread_join(handles[i]);
}
