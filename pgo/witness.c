/* SPDX-License-Identifier: MIT */
/* witness.c: counts requests for memory, process by process, and leaves them to the C library, also in a program that brings
 * another allocator along.
 *
 * Preloaded (with slots.c) in place of the library before a training run: what the instrumented library sees is compared
 * with what was there to be seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE   4096
#define EXPORT __attribute__((visibility("default")))

/* The first word counts; slots.c maps a file over the page. */
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
    __atomic_fetch_add(&hak_counters_start[0], 1, __ATOMIC_RELAXED);
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
