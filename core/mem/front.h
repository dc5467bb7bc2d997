/* front.h: the fast paths. malloc and free of blocks that have a class are what is in this file; every exceptional
 * exit is one branch to a _slow function. The golden table (bench/golden.toml) counts the instructions. */
#ifndef HAK_MEM_FRONT_H
#define HAK_MEM_FRONT_H

#include "base/options.h"
#include "mem/bin.h"

/* What the fast path of malloc leaves: an empty bin, a request without a class, no memory. Sets errno on failure. */
HAK_NOINLINE void *hak_malloc_slow(size_t size);
/* A request above HAK_TINY_MAX. */
HAK_NOINLINE void *hak_malloc_mid(size_t size);
/* What the fast path of free leaves: NULL, blocks of other threads, large and huge ones, pointers that are not ours. */
HAK_NOINLINE void hak_free_slow(void *p);
/* What begins no block of ours: libc's, or nobody's. */
HAK_COLD void hak_free_not_ours(void *p, uint32_t entry);
/* Memory that is aligned to a power of two, any size. */
void *hak_malloc_aligned(size_t align, size_t size);
/* Zeroed memory, the slow way. */
HAK_NOINLINE void *hak_calloc_slow(size_t size);
void *hak_realloc(void *p, size_t size);
/* The block that p begins, made to hold `size` bytes where it is or by moving pages; NULL when it cannot be. */
void *hak_realloc_in_place(void *p, size_t size);
/* A block of `before` bytes in a slab can be kept for `size`: they fit, and at least half of it stays in use. */
HAK_INLINE bool hak_realloc_stays(size_t size, size_t before)
{
    return size <= before && (size >= before / 2 || before <= 64);
}

/* What grows by little will do so again: a quarter more than asked for spares the next copies. */
HAK_INLINE bool hak_realloc_by_little(size_t size, size_t before)
{
    return size > before && size - before <= before / 4 && size <= HAK_LARGE_MAX;
}

/* Bytes in the block that p begins, canary included; 0 if p is not ours. */
size_t hak_block_size(const void *p);
/* Gives back whatever can be. True if any memory was. */
bool hak_trim_all(void);

/* With safe_free each free takes the slow path and is checked there; HAK_HARDEN checks on all paths. */
static inline bool hak_check_frees(void)
{
    return !HAK_HARDEN && hak_policy()->safe_free;
}

HAK_INLINE void *hak_malloc_front(size_t size)
{
    if (hak_unlikely(size > HAK_TINY_MAX))
        return hak_malloc_mid(size);
    size_t offset = (size + 15) & ~(size_t)15;
    hak_bin_ref_t bin = hak_bin_at(offset);
    void *block = bin->head;
    if (hak_unlikely(block == NULL))
        return hak_malloc_slow(size);
    return hak_bin_pop(bin, block);
}

HAK_INLINE void hak_free_front(void *p)
{
    size_t offset = hak_map_get(p) ^ hak_thread_self();
    if (hak_unlikely(offset >= HAK_ENTRY_LIMIT)) {
        hak_free_slow(p);
        return;
    }
    if (HAK_CHECK_LINKS && hak_unlikely(hak_link_is_sealed(p)))
        hak_link_freed_twice(p);
    hak_bin_ref_t bin = hak_bin_at(offset);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the map sends NULL to the slow path */
    void *head = bin->head;
    hak_link_set(p, head);
    bin->head = p;
    if (hak_unlikely(--bin->frees_left == 0))
        hak_bin_full(offset);
}

#endif
