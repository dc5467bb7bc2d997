/* SPDX-License-Identifier: MIT */
/* hakmem.h: the public API of libhakmem.
 *
 * The library replaces malloc, free and the rest of the family under their own names, by LD_PRELOAD or by linking; a
 * program needs this header only for what the standard has no name for. Blocks are interchangeable: malloc's may be
 * given to hakmem_free, and hakmem_alloc's to free or realloc.
 *
 * Threads. All functions may be called by any thread at any time; a block may be freed by another thread than the one
 * that took it. After fork the child may call all of them, whatever other threads were doing.
 *
 * Signals. Like malloc, none of these is async-signal-safe, but for hakmem_version: a handler that interrupts one of
 * them may find a lock of its own thread taken.
 *
 * Errors. What allocates returns NULL and sets errno; success leaves errno as it was. Misuse (a block freed twice, a
 * pointer that is none) is undefined here as it is for malloc; docs/reliability.md says what each variant makes of it.
 *
 * Names. Functions are hakmem_, macros HAKMEM_. The library exports nothing else beside the names of libc and of C++. Three macros
 * have names of their own: HAK_CALLSITE, hak_alloc_cs and hak_free_cs. */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>

/* Of this header; hakmem_version() is that of the library which is loaded. As numbers for #if, and as a text. */
#define HAKMEM_VERSION_MAJOR  0
#define HAKMEM_VERSION_MINOR  1
#define HAKMEM_VERSION_PATCH  0
#define HAKMEM_VERSION        (HAKMEM_VERSION_MAJOR * 10000 + HAKMEM_VERSION_MINOR * 100 + HAKMEM_VERSION_PATCH)
#define HAKMEM_VERSION_STRING "0.1.0"

/* What a compiler may know of these functions: none throws, so that C++ needs no clean-up around a call; the block is new, how
 * long it is, whether a result must be used. No parameter is declared nonnull, since NULL means something to each of them.
 * `malloc` is given without a deallocator, since free will do as well as hakmem_free. All are spelled with underscores: a program
 * may have macros of these names, such as malloc. The list has parentheses of its own: C before C99 and C++ before C++11 have no
 * macros of any number of arguments. */
#if defined(__GNUC__) && !defined(HAKMEM_NO_ATTRIBUTES)
#define HAKMEM_ATTRIBUTES(list) __attribute__(list)
#else
#define HAKMEM_ATTRIBUTES(list)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Version and variant: "0.1.0 bench_minimal". Static storage, never NULL. */
HAKMEM_ATTRIBUTES((__nothrow__, __returns_nonnull__, __const__))
const char *hakmem_version(void);

/* A block of at least `size` bytes, aligned to 16; its contents are not determined. Size 0: a block that is no other
 * one's address and must not be accessed. NULL and ENOMEM: memory is out, or `size` is above 2^46 bytes. */
HAKMEM_ATTRIBUTES((__nothrow__, __malloc__, __alloc_size__(1), __warn_unused_result__))
void *hakmem_alloc(size_t size);

/* The same for `count` times `size` bytes, all zero. NULL and ENOMEM also when the product is more than a size_t
 * holds; a product of 0 is a block of size 0. */
HAKMEM_ATTRIBUTES((__nothrow__, __malloc__, __alloc_size__(1, 2), __warn_unused_result__))
void *hakmem_alloc_zeroed(size_t count, size_t size);

/* The same as hakmem_alloc, aligned to `align` bytes, which must be a power of two: NULL and EINVAL for any other, 0
 * among them. `size` need not be a multiple of it. NULL and ENOMEM as above, also for an `align` above 2^46. */
HAKMEM_ATTRIBUTES((__nothrow__, __malloc__, __alloc_align__(1), __alloc_size__(2), __warn_unused_result__))
void *hakmem_alloc_aligned(size_t align, size_t size);

/* The block with another size, in its place or moved; what both sizes hold is kept. An alignment above 16 is not kept
 * by a move. NULL for `block`: as hakmem_alloc. Size 0 for a block: it is freed and NULL returned, as glibc has it,
 * errno unchanged. NULL and ENOMEM otherwise: the old block is as it was. */
HAKMEM_ATTRIBUTES((__nothrow__, __alloc_size__(2), __warn_unused_result__))
void *hakmem_resize(void *block, size_t size);

/* Ends a block. NULL does nothing. Keeps errno. */
HAKMEM_ATTRIBUTES((__nothrow__))
void hakmem_free(void *block);

/* How many bytes of a block may be used: at least what was asked for (in the variants hardened and debug exactly
 * that). 0 for NULL and for pointers into the program, its stacks and libraries. One that leads nowhere may fault, as under glibc,
 * but in hardened and debug; these end the program where it leads to what was a block of theirs, or into the middle of one. */
HAKMEM_ATTRIBUTES((__nothrow__))
size_t hakmem_usable_size(const void *block);

/* Gives unused memory back to the system at once, whatever the purge delay says: what the calling thread holds, what others
 * have set aside, all that finished ones left, and the pool. Only the bins of other threads stay as they are. 1 if any memory
 * was given back, else 0. Takes milliseconds. */
HAKMEM_ATTRIBUTES((__nothrow__))
int hakmem_trim(void);

/* Writes options, memory and counters to a file descriptor: as text for people (`json` 0), whose form may change, or
 * as one JSON object on one line. It allocates nothing, and errors of write are ignored.
 *
 * Each member of the object is an integer, but for "sites": there is one in the variants learning and research once a call site was
 * seen, a list of objects (docs/call-sites.md). A reader must ignore members that it does not know.
 *
 *   stable   "HAKMEM_..."  an option as it was read, by its name in the environment, in its own unit (docs/options.md);
 *                          where the variant has options
 *            "reserved"    bytes of address space of the pool (blocks up to 512 KiB)
 *            "used"        bytes of it in slabs and large blocks
 *            "dirty"       bytes of it that are free and not yet given back
 *            "purged"      bytes given back so far
 *            "big_live"    bytes in blocks above 512 KiB
 *            "big_cached"  bytes of freed ones that are kept
 *            "heaps"       threads that had a heap at the same time, at most
 *   may go   all others: counters of the slow paths, where the variant has statistics (core/obs/counters.def), and
 *            "requests_upto_N", where it has the histogram
 *
 * The values are not of one moment: other threads go on meanwhile. */
HAKMEM_ATTRIBUTES((__nothrow__))
void hakmem_stats_print(int fd, int json);

/* --- call sites (docs/call-sites.md) ---
 *
 * malloc and free by a place in the program. In the variants learning and research each place has a row in the statistics, of 256
 * at most: its calls, bytes, lifetimes, and from its tenth call on a policy, by which it is served. In all other variants these are
 * hakmem_alloc and hakmem_free and nothing else. Blocks are as all others: free and realloc take them, and hakmem_free_at
 * takes blocks of malloc. HAKMEM_SITE_RULES=0 turns it off. */

/* A block as hakmem_alloc gives it, for the place `site`: any address that stands for it and stays what it is, such as
 * HAK_CALLSITE(), one of a static object, or __builtin_return_address(0) in a wrapper. It is never read through. NULL: no
 * place, which is not watched. */
HAKMEM_ATTRIBUTES((__nothrow__, __malloc__, __alloc_size__(1), __warn_unused_result__))
void *hakmem_alloc_at(size_t size, const void *site);

/* Ends a block, whose site is told of it. `size` is what was asked for: the variants hardened and debug end the program when it is
 * not, as for free_sized of C23. NULL does nothing. Keeps errno. */
HAKMEM_ATTRIBUTES((__nothrow__))
void hakmem_free_at(void *block, size_t size);

/* The place where this stands, a `const void *` that is the same each time: the text "file:line", which the tools show. Two on one
 * line are one place, and so are equal texts that the linker joins. */
#define HAK_CALLSITE()                 HAKMEM_CALLSITE_(__FILE__, __LINE__)
#define HAKMEM_CALLSITE_(file, line)   HAKMEM_CALLSITE_2_(file, line)
#define HAKMEM_CALLSITE_2_(file, line) ((const void *)(file ":" #line))

#define hak_alloc_cs(size)       hakmem_alloc_at((size), HAK_CALLSITE())
#define hak_free_cs(block, size) hakmem_free_at((block), (size))

#ifdef __cplusplus
}
#endif
#endif
