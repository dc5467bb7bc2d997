/* SPDX-License-Identifier: MIT */
/* A program that calls every function of the malloc family which libc defines in the same object as malloc: linked with the
 * archive, all of them have to come from it, or the link fails with "multiple definition". By tests/test_archive.py. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>

#include "check.h"
#include "hakmem.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t each);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);

/* Each block is ours: it has a size for us, and none would if it were libc's. */
static void is_ours(void *block)
{
    CHECK(block != NULL && hakmem_usable_size(escape(block)) != 0, "a block of another malloc");
    free(block);
}

static void *in_thread(void *unused)
{
    is_ours(malloc(100));
    is_ours(strdup("text"));
    return unused;
}

int main(void)
{
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 64, 100) == 0, "posix_memalign");
    is_ours(aligned);
    is_ours(malloc(100));
    is_ours(calloc(10, 10));
    is_ours(realloc(malloc(10), 10000));
    is_ours(reallocarray(NULL, 10, 10));
    is_ours(aligned_alloc(64, 128));
    is_ours(memalign(64, 100));
    is_ours(valloc(100));
    is_ours(pvalloc(100));
    is_ours(__libc_realloc(__libc_malloc(10), 1000));
    is_ours(__libc_calloc(3, 30));
    is_ours(__libc_memalign(64, 100));
    is_ours(__libc_valloc(100));
    is_ours(__libc_pvalloc(100));
    __libc_free(malloc(10));

    void *big = malloc(20u << 20);
    CHECK(malloc_usable_size(big) >= 20u << 20, "malloc_usable_size");
    CHECK(mallinfo2().hblkhd >= 20u << 20, "mallinfo2");
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0, "malloc_info");
    CHECK(strstr(text, "</malloc>") != NULL, "%s", text);
    is_ours(text);
    free(big);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1, "mallopt");
    malloc_trim(0);
    malloc_stats();

    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0, "a thread");
    puts(hakmem_version());
    return 0;
}
