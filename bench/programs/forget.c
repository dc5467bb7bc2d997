/* SPDX-License-Identifier: MIT */
/* forget.c: preloaded where callgrind counts. A forked child begins with its parent's counts, which would be counted twice:
 * it is told to forget them. */
#include <pthread.h>

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
