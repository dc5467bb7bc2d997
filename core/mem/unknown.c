/* SPDX-License-Identifier: MIT */
/* unknown.c: libc's own functions, and what is a block of libc's malloc. Written once is what dlsym found: it finds the same
 * for every thread.
 *
 * In front of each block glibc keeps two words: the bytes of what lies before it, and its own bytes with three flags. A
 * block is in the heap of brk, which is libc's alone; in an arena, whose head is at a multiple of 64 MiB; or a mapping. */
#define _GNU_SOURCE
#include "mem/unknown.h"

#include "os/os.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>

/* Weak: a static program has no second malloc, and is not to be linked with the dynamic linker for it. */
#pragma weak dladdr
#pragma weak dlsym
extern char *__curbrk __attribute__((weak)); /* where libc's brk heap ends; NULL while there is none */

#define IN_USE_BEFORE ((size_t)1) /* flags in a block's size */
#define MAPPED        ((size_t)2)
#define IN_ARENA      ((size_t)4)
#define FLAGS         ((size_t)15)
#define LIBC_LEAST    ((size_t)32) /* bytes of a block with its two words */
#define ARENA         ((uintptr_t)64 << 20)

typedef struct block {
    size_t before; /* bytes; of a mapping: what lies in front of it in the mapping */
    size_t size;   /* and flags */
} block_t;

typedef struct arena_heap {
    const char *arena; /* lies in the first of its heaps, right behind its head */
    struct arena_heap *previous;
    size_t size;     /* bytes in use */
    size_t writable; /* bytes */
} arena_heap_t;

/* --- libc's own --------------------------------------------------------------------------------------------------- */

/* release of libc_free in hak_unknown_find, pairs with acquire by who asks for it: the others are there. */
static _Atomic(void *) libc_free, libc_usable_size, libc_mallinfo2;

/* A function of libc's: the next one of that name, if it is where libc's version is told. Something else that is preloaded
 * behind us may have a malloc of its own. */
static void *find_in_libc(const char *name)
{
    Dl_info object, libc;
    void *found = dlsym(RTLD_NEXT, name);
    void *known = dlsym(RTLD_NEXT, "gnu_get_libc_version");
    bool of_libc = found != NULL && known != NULL && dladdr(found, &object) != 0 &&
                   dladdr(known, &libc) != 0 && object.dli_fbase == libc.dli_fbase;
    return of_libc ? found : NULL;
}

void hak_unknown_find(void)
{
    if (dlsym == NULL || dladdr == NULL || atomic_load_explicit(&libc_free, memory_order_acquire) != NULL)
        return;
    atomic_store_explicit(&libc_mallinfo2, find_in_libc("mallinfo2"), memory_order_relaxed);
    atomic_store_explicit(&libc_usable_size, find_in_libc("malloc_usable_size"), memory_order_relaxed);
    atomic_store_explicit(&libc_free, find_in_libc("free"), memory_order_release);
}

/* True if libc has mappings of so many bytes in use: in nearly all processes it has none. */
static bool libc_has_mapped(size_t bytes)
{
    hak_unknown_find();
    if (atomic_load_explicit(&libc_free, memory_order_acquire) == NULL)
        return false;
    struct mallinfo2 (*ask)(void);
    *(void **)&ask = atomic_load_explicit(&libc_mallinfo2, memory_order_relaxed);
    return ask != NULL && ask().hblkhd >= bytes;
}

/* --- what is a block of libc's ------------------------------------------------------------------------------------ */

/* A word of memory that may be anybody's, and may be changing: no data race of the program's. */
__attribute__((noinline, no_sanitize("thread"))) static uintptr_t word_at(const void *p)
{
    return *(const volatile uintptr_t *)p;
}

static size_t size_by_libc(const block_t *block)
{
    return word_at(&block->size) & ~FLAGS;
}

/* The block behind this one is there, and says that this one is in use. */
static bool is_used_by_libc(const block_t *block)
{
    const block_t *next = (const block_t *)((const char *)block + size_by_libc(block));
    return hak_os_readable(&next->size) && (word_at(&next->size) & IN_USE_BEFORE) != 0;
}

static bool is_in_brk(const block_t *block)
{
    const char *end = &__curbrk != NULL ? __curbrk : NULL;
    const char *start = hak_os_program_end();
    return (const char *)block >= start && (const char *)block < end &&
           size_by_libc(block) < (size_t)(end - (const char *)block) && is_used_by_libc(block);
}

static const arena_heap_t *heap_of(const void *p)
{
    return (const arena_heap_t *)((uintptr_t)p & ~(ARENA - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

static bool is_in_arena(const block_t *block)
{
    const arena_heap_t *heap = heap_of(block);
    if (!hak_os_readable(heap))
        return false;
    size_t size = word_at(&heap->size);
    size_t writable = word_at(&heap->writable);
    const void *arena = (const void *)word_at(&heap->arena); /* NOLINT(performance-no-int-to-ptr) */
    if (size > writable || writable > ARENA || (writable & (HAK_OS_PAGE - 1)) != 0)
        return false;
    size_t at = (uintptr_t)block - (uintptr_t)heap;
    if (at >= size || size_by_libc(block) >= size - at || !hak_os_readable(arena))
        return false;
    const arena_heap_t *first = heap_of(arena);
    return hak_os_readable(first) && word_at(&first->arena) == (uintptr_t)arena && is_used_by_libc(block);
}

/* True if the pages of the mapping are there, of a large one a thousand of them. */
static bool are_readable(const char *start, size_t size)
{
    size_t step = hak_max(hak_round_up(size / 1000, HAK_OS_PAGE), HAK_OS_PAGE);
    for (size_t at = 0; at < size; at += step)
        if (!hak_os_readable(start + at))
            return false;
    return hak_os_readable(start + size - HAK_OS_PAGE);
}

/* A mapping holds one block and nothing else: it begins and ends with a page. */
static bool is_mapping(const block_t *block)
{
    size_t before = word_at(&block->before);
    if ((word_at(&block->size) & FLAGS) != MAPPED || before >= (uintptr_t)block)
        return false;
    const char *start = (const char *)block - before;
    size_t size = before + size_by_libc(block);
    return (((uintptr_t)start | size) & (HAK_OS_PAGE - 1)) == 0 && size < HAK_REQUEST_MAX &&
           are_readable(start, size) && libc_has_mapped(size);
}

/* Hardened trusts the brk heap alone, in which no block of ours lies: words in front of any other pointer may have been
 * written by who wants libc's free to believe them. */
static bool is_block(const void *p)
{
    if (((uintptr_t)p & (HAK_ALIGN - 1)) != 0 || (uintptr_t)p < HAK_OS_PAGE ||
        (uintptr_t)p >> HAK_ADDRESS_BITS != 0)
        return false;
    const block_t *block = (const block_t *)p - 1;
    if (!hak_os_readable(block))
        return false;
    size_t size = word_at(&block->size);
    if (size < LIBC_LEAST || size >= HAK_REQUEST_MAX || (size & (FLAGS ^ 7)) != 0)
        return false;
    if ((size & MAPPED) != 0)
        return !HAK_HARDEN && is_mapping(block);
    if ((size & IN_ARENA) != 0)
        return !HAK_HARDEN && is_in_arena(block);
    return is_in_brk(block);
}

/* True if p is a block of libc's and libc's functions are known. */
static bool is_of_libc(const void *p)
{
    if (!is_block(p))
        return false;
    hak_unknown_find();
    return atomic_load_explicit(&libc_free, memory_order_acquire) != NULL;
}

bool hak_unknown_free(void *p)
{
    int saved = errno;
    bool found = is_of_libc(p);
    if (found) {
        void (*release_theirs)(void *);
        *(void **)&release_theirs = atomic_load_explicit(&libc_free, memory_order_relaxed);
        release_theirs(p);
    }
    errno = saved;
    return found;
}

size_t hak_unknown_size(void *p)
{
    int saved = errno;
    size_t size = 0;
    if (is_of_libc(p)) {
        size_t (*usable)(void *);
        *(void **)&usable = atomic_load_explicit(&libc_usable_size, memory_order_relaxed);
        size = usable != NULL ? usable(p) : 0;
    }
    errno = saved;
    return size;
}

bool hak_unknown_is_static(const void *p)
{
    int saved = errno;
    Dl_info object;
    bool found = hak_os_on_stack(p) || (dladdr != NULL && dladdr(p, &object) != 0);
    errno = saved;
    return found;
}
