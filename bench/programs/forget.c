/* SPDX-License-Identifier: MIT */
/* forget.c: preloaded where callgrind counts.
 *
 * A forked child begins with its parent's counts, which would be counted twice: it is told to forget them. And a process
 * that becomes another user could not write to the file that callgrind has made for it: before that the file is opened
 * to all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* A request to callgrind, as valgrind.h documents its instructions: none of them does anything elsewhere. */
static void zero_counts(void)
{
    unsigned long arguments[6] = {('C' << 24 | 'T' << 16) + 1, 0, 0, 0, 0, 0};
    unsigned long result = 0;
    __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
                     : "+d"(result)
                     : "a"(arguments)
                     : "cc", "memory");
}

__attribute__((constructor)) static void start(void)
{
    pthread_atfork(NULL, NULL, zero_counts);
}

/* The file lies beside this library, and measure/counting.py names it. */
static void open_to_all(void)
{
    Dl_info self;
    char path[512];
    if (dladdr((void *)start, &self) == 0 || strrchr(self.dli_fname, '/') == NULL)
        return;
    int directory = (int)(strrchr(self.dli_fname, '/') - self.dli_fname);
    int length = snprintf(path, sizeof path, "%.*s/callgrind.out.%d", directory, self.dli_fname, getpid());
    if (length > 0 && (size_t)length < sizeof path)
        chmod(path, 0666); /* without callgrind there is none */
}

/* The ways to become another user; the C library does each for all threads. */
#define BECOMES(name, parameters, arguments)                                                                 \
    EXPORT int name parameters                                                                               \
    {                                                                                                        \
        int(*real) parameters = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                  \
        open_to_all();                                                                                       \
        return real arguments;                                                                               \
    }

BECOMES(setuid, (uid_t user), (user))
BECOMES(seteuid, (uid_t user), (user))
BECOMES(setreuid, (uid_t real_user, uid_t user), (real_user, user))
BECOMES(setresuid, (uid_t real_user, uid_t user, uid_t saved), (real_user, user, saved))
