/* guard.c: the slow side of the checks on blocks: the keys, what is not tiny, and what is wrong. Any thread; a block and its
 * state belong to whoever holds it. Two threads that free a block at the same moment may both pass; nothing else may. */
#include "mem/guard.h"

#include "base/message.h"
#include "mem/big.h"
#include "mem/foreign.h"
#include "mem/hard.h"
#include "mem/huge.h"
#include "os/os.h"

#include <errno.h>
#include <string.h>

#define POISON_MOST ((size_t)2048) /* bytes of a new block that debug fills */

hak_guard_keys_t hak_guard_keys;

void hak_guard_init(void)
{
    uint64_t words[3];
    hak_os_random(words, 3);
    hak_guard_keys = (hak_guard_keys_t){.link = words[0], .echo = words[1], .canary = words[2] | 1};
}

/* --- what is wrong ------------------------------------------------------------------------------------------------ */

static uint64_t number(const void *p)
{
    return (uintptr_t)p;
}

/* Where a free block differs from what it was left as. */
void hak_guard_spoilt(const void *block)
{
    const hak_word_t *word = block;
    uint32_t entry = hak_map_find(block);
    uint64_t cls = hak_entry_low(entry) / 16;
    if (!hak_entry_in_slab(entry) || *hak_guard_state(block) != HAK_BLOCK_FREE)
        hak_fatal("corrupt list of free blocks: %x (class %u) is not free: state %u, expected %u",
                  number(block), cls, hak_entry_in_slab(entry) ? (uint64_t)*hak_guard_state(block) : 0,
                  (uint64_t)HAK_BLOCK_FREE);
    uint64_t fill = (uint64_t)HAK_FILL_WORD;
    size_t words = hak_slab_of(block)->size / sizeof *word;
    size_t at = 2;
    while (at < words && word[at] == fill)
        at++;
    if (at == words)
        hak_fatal(
            "write after free of %x (class %u), or overrun of the block before it: link %x, its second copy "
            "%x, expected %x",
            number(block), cls, word[0], word[1], hak_guard_echo(block, word[0] ^ hak_guard_keys.link));
    hak_fatal(
        "write after free of %x (class %u), or overrun of the block before it: at byte %u found %x, expected %x",
        number(block), cls, (uint64_t)(at * sizeof *word), word[at], fill);
}

static _Noreturn void refuse(const void *p, uint32_t entry, const void *site)
{
    if (entry == 0)
        hak_fatal("free of %x: not a block of this allocator, or freed before; called from %x", number(p),
                  number(site));
    if (!hak_entry_in_slab(entry))
        hak_fatal("free of %x: not the start of a block (above %u bytes); called from %x", number(p),
                  (uint64_t)HAK_CLASS_MAX, number(site));
    const hak_slab_t *slab = hak_slab_of(p);
    uint64_t cls = hak_entry_low(entry) / 16;
    size_t at = (size_t)((const char *)p - hak_slab_base(slab));
    if (at % slab->size != 0 || *hak_guard_state(p) == HAK_BLOCK_NONE)
        hak_fatal(
            "free of %x: not the start of a block (class %u, blocks of %u bytes, %u bytes into its block); "
            "called from %x",
            number(p), cls, (uint64_t)slab->size, (uint64_t)(at % slab->size), number(site));
    hak_fatal("double free of %x (class %u): state %u, expected %u or more; called from %x", number(p), cls,
              (uint64_t)*hak_guard_state(p), (uint64_t)HAK_BLOCK_USED, number(site));
}

/* --- one block ---------------------------------------------------------------------------------------------------- */

static bool is_big(uint32_t entry)
{
    return hak_entry_low(entry) == HAK_ENTRY_BIG;
}

/* Bytes that the owner of a block in use may use. */
static size_t usable_of(const void *p, uint32_t entry)
{
#if HAK_HARDEN
    if (!hak_entry_in_slab(entry))
        return is_big(entry) ? hak_big_asked(p) : hak_slab_of(p)->asked;
#else
    (void)is_big, (void)entry;
#endif
    return hak_slab_of(p)->size - HAK_CANARY_BYTES - (*hak_guard_state(p) & HAK_SLACK_MOST);
}

/* Aborts unless p, whose map entry this is, begins a block in use with a whole canary. Returns its usable bytes. */
static size_t check(const void *p, uint32_t entry, const void *site)
{
    if (entry == 0)
        refuse(p, entry, site);
    bool in_slab = hak_entry_in_slab(entry);
    bool in_use = in_slab ? *hak_guard_state(p) >= HAK_BLOCK_USED : hak_huge_size(p, entry) != 0;
    if (!in_use || ((uintptr_t)p & (HAK_ALIGN - 1)) != 0)
        refuse(p, entry, site);
    size_t usable = usable_of(p, entry);
    uint64_t found = *(const hak_word_anywhere_t *)((const char *)p + usable);
    if (found != hak_guard_canary(p))
        hak_fatal("overrun of %x (class %u, %u bytes): canary %x, expected %x; freed from %x", number(p),
                  in_slab ? (uint64_t)(hak_entry_low(entry) / 16) : 0, (uint64_t)usable, found,
                  hak_guard_canary(p), number(site));
    return usable;
}

/* Writes down that the block at p is in use for a request of `size`, and its canary. */
static void mark(void *p, size_t size)
{
    uint32_t entry = hak_map_get(p);
    size_t at = size;
#if HAK_HARDEN
    if (is_big(entry))
        hak_big_set_asked(p, size);
    else if (!hak_entry_in_slab(entry))
        hak_slab_of(p)->asked = (uint32_t)size;
#endif
    if (hak_entry_in_slab(entry)) {
        size_t most = hak_slab_of(p)->size - HAK_CANARY_BYTES;
        size_t slack = hak_min(most - size, HAK_SLACK_MOST);
        *hak_guard_state(p) = (uint8_t)(HAK_BLOCK_USED | slack);
        at = most - slack;
    }
    *(hak_word_anywhere_t *)((char *)p + at) = hak_guard_canary(p);
}

/* A block that was just taken, or NULL: what the caller gets for a request of `size`. */
static void *hand_out(void *p, size_t size)
{
    if (p == NULL)
        return NULL;
    if (hak_entry_in_slab(hak_map_get(p))) {
        size_t bytes = hak_slab_of(p)->size;
        hak_guard_hand_out(p, bytes, hak_min(bytes - HAK_CANARY_BYTES - size, HAK_SLACK_MOST));
    } else {
        mark(p, size);
    }
    if (HAK_CHECKS)
        memset(p, 0xa5, hak_min(size, POISON_MOST));
    return p;
}

/* Requests so large that the canary would overflow are too large anyhow. */
static size_t with_canary(size_t size)
{
    return size < HAK_REQUEST_MAX ? size + HAK_CANARY_BYTES : size;
}

/* --- what the fast paths leave ------------------------------------------------------------------------------------ */

/* What a block above HAK_CLASS_MAX held must not be read by whoever gets its memory next. The pages of a big one are given
 * back: most of it may never have been touched. */
static void wipe(void *p, uint32_t entry)
{
    size_t size = hak_huge_size(p, entry);
    if (!is_big(entry) || !hak_os_discard(p, size))
        memset(p, HAK_FILL_BYTE, size);
}

void hak_guard_fill_any(void *p, size_t bytes)
{
    if (bytes <= HAK_TINY_MAX)
        hak_guard_fill(p, bytes);
    else
        memset(p, HAK_FILL_BYTE, bytes);
}

void *hak_hard_malloc_slow(size_t size)
{
    return hand_out(hak_malloc_front(with_canary(size)), size);
}

void *hak_hard_calloc_huge(size_t size)
{
    void *p = hak_calloc_slow(with_canary(size));
    if (p != NULL)
        mark(p, size);
    return p;
}

void *hak_hard_aligned(size_t align, size_t size)
{
    return hand_out(hak_malloc_aligned(align, with_canary(size)), size);
}

void hak_hard_free_slow(void *p, size_t asked, const void *site)
{
    if (p == NULL)
        return;
    uint32_t entry = hak_map_find(p);
    if (entry == 0 && hak_foreign_free(p))
        return;
    size_t usable = check(p, entry, site);
    bool in_slab = hak_entry_in_slab(entry);
    bool exact = !in_slab || (*hak_guard_state(p) & HAK_SLACK_MOST) != HAK_SLACK_MOST;
    if (asked != HAK_ANY_SIZE && (exact ? asked != usable : asked > usable))
        hak_fatal("free of %x with the wrong size: %u, expected %u; called from %x", number(p),
                  (uint64_t)asked, (uint64_t)usable, number(site));
    if (in_slab) {
        *hak_guard_state(p) = HAK_BLOCK_FREE;
        hak_guard_fill_any(p, hak_slab_of(p)->size);
    } else {
        wipe(p, entry);
    }
#if HAK_HARDEN
    hak_thread.window = (uintptr_t)p >> 32;
#endif
    hak_free_front(p);
}

void hak_hard_check_align(const void *p, size_t align, const void *site)
{
    if (((uintptr_t)p & (align - 1)) != 0)
        hak_fatal("free of %x with the wrong alignment: %u, expected at most %u; called from %x", number(p),
                  (uint64_t)align, number(p) & -number(p), number(site));
}

static void *resize(void *p, size_t size, uint32_t entry)
{
    void *resized = hak_realloc_in_place(p, with_canary(size));
    if (resized == NULL)
        return NULL;
    if (hak_entry_in_slab(entry) && !hak_entry_in_slab(hak_map_get(resized)))
        *hak_guard_state(p) = HAK_BLOCK_FREE;
    mark(resized, size);
    return resized;
}

/* A block of libc's, of `before` bytes, becomes one of ours; NULL if memory is out. */
static HAK_COLD void *realloc_foreign(void *p, size_t size, size_t before)
{
    void *target = hak_hard_malloc(size);
    if (target == NULL)
        return NULL;
    memcpy(target, p, hak_min(before, size));
    hak_foreign_free(p);
    return target;
}

void *hak_hard_realloc(void *p, size_t size, const void *site)
{
    uint32_t entry = hak_map_find(p);
    size_t foreign = hak_unlikely(entry == 0) ? hak_foreign_size(p) : 0;
    if (foreign != 0)
        return realloc_foreign(p, size, foreign);
    size_t before = check(p, entry, site);
    /* With HAK_CHECKS every realloc moves, so that stale pointers show. */
    void *resized = HAK_CHECKS || size > HAK_REQUEST_MAX ? NULL : resize(p, size, entry);
    if (resized != NULL)
        return resized;
    bool by_little = !HAK_CHECKS && hak_realloc_by_little(size, before);
    int saved = errno;
    void *target = by_little ? hak_malloc_front(with_canary(size + size / 4)) : NULL;
    if (target == NULL)
        target = hak_malloc_front(with_canary(size));
    if (target == NULL && size > before)
        return NULL;
    errno = saved; /* an attempt that failed is no failure of the whole */
    if (target == NULL) {
        mark(p, size); /* a block can always be shrunk, by doing nothing */
        return p;
    }
    memcpy(hand_out(target, size), p, hak_min(before, size));
    hak_hard_free_slow(p, HAK_ANY_SIZE, site);
    return target;
}

size_t hak_hard_usable(const void *p, const void *site)
{
    uint32_t entry = hak_map_find(p);
    return hak_likely(entry != 0) ? check(p, entry, site) : hak_foreign_size((void *)(uintptr_t)p);
}
