/* hakmem.h: the public API of libhakmem.
 *
 * The library replaces malloc, free and the rest of the family under their own names, by LD_PRELOAD or by linking;
 * a program needs this header only for what the standard has no name for. All functions may be called by any thread at
 * any time; none of them sets errno on success. */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0 bench_minimal": version and variant. Static storage. */
const char *hakmem_version(void);

/* The malloc family under names that nothing else defines. Blocks are interchangeable with those of malloc.
 * NULL and errno ENOMEM when memory is out. */
void *hakmem_alloc(size_t size);
void *hakmem_alloc_zeroed(size_t count, size_t size);
void *hakmem_alloc_aligned(size_t align, size_t size); /* align: a power of two, else NULL and EINVAL */
void *hakmem_resize(void *block, size_t size);
void hakmem_free(void *block);
size_t hakmem_usable_size(const void *block); /* bytes; 0 for NULL and for pointers that are not ours */

/* Gives unused memory back to the system, whatever the purge delay says: the calling thread's caches, those of finished
 * threads, the pool. Returns 1 if any memory was given back, else 0. */
int hakmem_trim(void);

/* Prints options and statistics as text, or as one JSON object, to a file descriptor. Counters are zero in variants
 * without statistics. */
void hakmem_stats_print(int fd, int json);

#ifdef __cplusplus
}
#endif
#endif
