/* SPDX-License-Identifier: MIT */
/* For programs that run themselves: a test runs one of their scenarios under other settings of the environment, and judges by what
 * that says. One program a test, since all is static; cmocka's. */
#ifndef TESTS_SCENARIOS_H
#define TESTS_SCENARIOS_H

#include "suite.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

typedef struct scenario {
    const char *name;
    void (*run)(void);
} scenario_t;

static char text[1 << 16]; /* what the last scenario said on both outputs */
static char variant[64];   /* of the library; "" when it is none of ours */

/* For the scenarios: the page of the library's statistics; nothing where it is none of ours. */
static inline void print_page(void)
{
    void (*print)(int, int) = (void (*)(int, int))dlsym(RTLD_DEFAULT, "hakmem_stats_print");
    if (print != NULL)
        print(STDOUT_FILENO, 0);
}

static inline void take_blocks(void **blocks, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc(%zu)", size);
        memset(blocks[i], i | 1, size);
    }
}

static inline void free_blocks(void **blocks, int count)
{
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

/* In the program that is run: 2 for a name that is not there. */
static inline int run_scenario(const scenario_t *scenarios, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            scenarios[i].run();
            return 0;
        }
    }
    return 2;
}

/* Runs a scenario with settings (NAME=VALUE; NULL ends them). Returns its status. */
static inline int run_with(const char *scenario, const char *const *settings)
{
    int ends[2], status = -1;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (; *settings != NULL; settings++)
            putenv((char *)(uintptr_t)*settings);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        alarm(70);
        execl("/proc/self/exe", "scenario", scenario, (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    read_to_end(ends[0], text, sizeof text);
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

#define RUN(scenario, ...) run_with(scenario, (const char *const[]){__VA_ARGS__, NULL})

/* The number behind `name` at the start of a line of a page; -1 without one. */
static inline long number_in(const char *page, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = page; at != NULL && *at != 0; at = strchr(at, '\n'), at += at != NULL)
        if (strncmp(at, name, length) == 0)
            return strtol(at + length, NULL, 10);
    return -1;
}

static inline long told(const char *name)
{
    return number_in(text, name);
}

/* What the system was told of the mapping that holds an address: the line VmFlags of smaps; "" if it is in none. */
static inline const char *mapping_flags(const void *address)
{
    static char line[512];
    bool here = false;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    CHECK(smaps != NULL, "no smaps");
    while (fgets(line, sizeof line, smaps) != NULL) {
        unsigned long low = 0, high = 0;
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2 && strchr(line, '-') < strchr(line, ' ')) {
            here = (uintptr_t)address >= low && (uintptr_t)address < high;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            fclose(smaps);
            return line + 8;
        }
    }
    fclose(smaps);
    return "";
}

/* Asks the library for its variant. False if it is none of ours. */
static inline bool find_variant(void)
{
    const char *(*version)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "hakmem_version");
    const char *name = version != NULL ? strchr(version(), ' ') : NULL;
    if (name != NULL)
        snprintf(variant, sizeof variant, "%s", name + 1);
    return name != NULL;
}

/* Whether it is one of these, with spaces between. */
static inline bool one_of(const char *names)
{
    const char *found = variant[0] != 0 ? strstr(names, variant) : NULL;
    return found != NULL && (found == names || found[-1] == ' ') &&
           strchr(" ", found[strlen(variant)]) != NULL;
}

#define NEEDS(feature)                                                                                       \
    if (!(feature)) {                                                                                        \
        skip();                                                                                              \
    }

#endif
