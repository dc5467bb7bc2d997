/* SPDX-License-Identifier: MIT */
/* witness.c: counts requests for memory, process by process, and leaves them to the C library, also in a program that brings
 * another allocator along. Programs that are started, with it or without, since LD_PRELOAD was dropped or replaced, are counted
 * by who starts them: nobody else sees those that do not load it. A process says whether its environment has a setting of the
 * library.
 *
 * Preloaded (with slots.c) in place of the library before a training run: what the instrumented library sees is compared
 * with what was there to be seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE   4096
#define MARK   "LD_PRELOAD="
#define SET    "HAKMEM_"
#define EXPORT __attribute__((visibility("default")))

enum {
    REQUESTED,
    LOST,
    STARTED,
    TOLD
};

/* Requests; programs that were started without this library, and those that were with it; whether there are settings. slots.c
 * maps a file over the page. */
__attribute__((aligned(PAGE), visibility("hidden"))) uint64_t hak_counters_start[PAGE / sizeof(uint64_t)];
__asm__(
    ".globl hak_counters_end\n.hidden hak_counters_end\n.set hak_counters_end, hak_counters_start + 4096");

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *block);

EXPORT void *malloc(size_t size);
EXPORT void free(void *block);
EXPORT void *valloc(size_t size);
EXPORT void *pvalloc(size_t size);
EXPORT size_t malloc_usable_size(void *block);
EXPORT void *calloc(size_t n, size_t size);
EXPORT void *realloc(void *block, size_t size);
EXPORT void *memalign(size_t align, size_t size);
EXPORT void *aligned_alloc(size_t align, size_t size);
EXPORT int posix_memalign(void **block, size_t align, size_t size);

static void count(void)
{
    __atomic_fetch_add(&hak_counters_start[REQUESTED], 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void free(void *block)
{
    __libc_free(block);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
    count();
    return __libc_realloc(block, size);
}

void *memalign(size_t align, size_t size)
{
    count();
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size)
{
    void *got = memalign(align, size);
    if (got == NULL)
        return ENOMEM;
    *block = got;
    return 0;
}

void *valloc(size_t size)
{
    return memalign(PAGE, size);
}

void *pvalloc(size_t size)
{
    return memalign(PAGE, (size + PAGE - 1) / PAGE * PAGE);
}

/* The C library's own, not that of an allocator between. */
size_t malloc_usable_size(void *block)
{
    static size_t (*usable_size)(void *block);
    if (usable_size == NULL) {
        void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
        *(void **)&usable_size = libc != NULL ? dlsym(libc, "malloc_usable_size") : NULL;
    }
    return usable_size != NULL ? usable_size(block) : 0;
}

/* Programs that are started */

typedef int exec_t(const char *path, char *const argv[], char *const environment[]);
typedef int spawn_t(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                    const posix_spawnattr_t *attributes, char *const argv[], char *const environment[]);

static exec_t *next_execve, *next_execvpe;
static int (*next_fexecve)(int file, char *const argv[], char *const environment[]);
static int (*next_system)(const char *command);
static FILE *(*next_popen)(const char *command, const char *mode);
static spawn_t *next_spawn, *next_spawnp;
static const char *own_name;

/* Found early: a child of vfork must not load anything. */
__attribute__((constructor)) static void find_next(void)
{
    Dl_info here;
    if (dladdr((void *)hak_counters_start, &here) != 0)
        own_name = here.dli_fname;
    *(void **)&next_execve = dlsym(RTLD_NEXT, "execve");
    *(void **)&next_execvpe = dlsym(RTLD_NEXT, "execvpe");
    *(void **)&next_fexecve = dlsym(RTLD_NEXT, "fexecve");
    *(void **)&next_system = dlsym(RTLD_NEXT, "system");
    *(void **)&next_popen = dlsym(RTLD_NEXT, "popen");
    *(void **)&next_spawn = dlsym(RTLD_NEXT, "posix_spawn");
    *(void **)&next_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
    for (char *const *entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, SET, sizeof SET - 1) == 0)
            __atomic_store_n(&hak_counters_start[TOLD], 1, __ATOMIC_RELAXED);
}

/* Where a program with this environment is counted: by whether it gets the library. */
static uint64_t *counter_of(char *const environment[])
{
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, MARK, sizeof MARK - 1) == 0)
            return &hak_counters_start[own_name != NULL && strstr(*environment, own_name) == NULL ? LOST
                                                                                                  : STARTED];
    return &hak_counters_start[own_name != NULL ? LOST : STARTED];
}

/* Counted before: afterwards there is nobody to count, but for a program that could not be started. */
static int start(exec_t *exec, const char *path, char *const argv[], char *const environment[])
{
    uint64_t *counter = counter_of(environment);
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    int result = exec(path, argv, environment);
    __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
    return result;
}

EXPORT int execve(const char *path, char *const argv[], char *const environment[])
{
    return start(next_execve, path, argv, environment);
}

EXPORT int execv(const char *path, char *const argv[])
{
    return start(next_execve, path, argv, environ);
}

EXPORT int execvpe(const char *name, char *const argv[], char *const environment[])
{
    return start(next_execvpe, name, argv, environment);
}

EXPORT int execvp(const char *name, char *const argv[])
{
    return start(next_execvpe, name, argv, environ);
}

/* The C library's own execl and its kin call its execve past ours. */
static int start_listed(exec_t *exec, const char *path, const char *first, va_list words, int has_environment)
{
    size_t n = 1;
    va_list ahead;
    va_copy(ahead, words);
    for (const char *word = first; word != NULL; word = va_arg(ahead, const char *))
        n++;
    va_end(ahead);
    char *argv[n];
    argv[0] = (char *)first;
    for (size_t i = 1; i < n; i++)
        argv[i] = va_arg(words, char *);
    return start(exec, path, argv, has_environment ? va_arg(words, char *const *) : environ);
}

EXPORT int execl(const char *path, const char *first, ...)
{
    va_list words;
    va_start(words, first);
    int result = start_listed(next_execve, path, first, words, 0);
    va_end(words);
    return result;
}

EXPORT int execlp(const char *name, const char *first, ...)
{
    va_list words;
    va_start(words, first);
    int result = start_listed(next_execvpe, name, first, words, 0);
    va_end(words);
    return result;
}

EXPORT int execle(const char *path, const char *first, ...)
{
    va_list words;
    va_start(words, first);
    int result = start_listed(next_execve, path, first, words, 1);
    va_end(words);
    return result;
}

EXPORT int fexecve(int file, char *const argv[], char *const environment[])
{
    uint64_t *counter = counter_of(environment);
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    int result = next_fexecve(file, argv, environment);
    __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
    return result;
}

/* Each starts a shell. */
EXPORT int system(const char *command)
{
    if (command != NULL)
        __atomic_fetch_add(counter_of(environ), 1, __ATOMIC_RELAXED);
    return next_system(command);
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    FILE *stream = next_popen(command, mode);
    if (stream != NULL)
        __atomic_fetch_add(counter_of(environ), 1, __ATOMIC_RELAXED);
    return stream;
}

static int spawn(spawn_t *next, pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
    int result = next(pid, path, actions, attributes, argv, environment);
    if (result == 0)
        __atomic_fetch_add(counter_of(environment), 1, __ATOMIC_RELAXED);
    return result;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
    return spawn(next_spawn, pid, path, actions, attributes, argv, environment);
}

EXPORT int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
    return spawn(next_spawnp, pid, name, actions, attributes, argv, environment);
}
