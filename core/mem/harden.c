/* SPDX-License-Identifier: MIT */
/* harden.c: the slow side of the checks on blocks: the keys, what is not tiny, and what is wrong. Any thread; a block and its
 * state belong to whoever holds it. Two threads that free a block at the same moment may both pass; nothing else may.
 *
 * No line that is printed has a key in it, or a canary or a link: who reads it may be the enemy. */
#include "mem/harden.h"

#include "base/message.h"
#include "mem/chunk.h"
#include "mem/fast.h"
#include "mem/guard.h"
#include "mem/harden_fast.h"
#include "mem/huge.h"
#include "mem/oversize.h"
#include "mem/realloc.h"
#include "mem/unknown.h"
#include "mem/zero.h"
#include "os/os.h"

#include <errno.h>
#include <string.h>

#define POISON_MOST ((size_t)2048) /* bytes of a new block that debug fills */
/* Bytes that are filled by writing them; of more the pages are given back. */
#define FILL_MOST    ((size_t)64 << 10)
#define GUARDED_MOST 8192u /* large and huge blocks at a time that have an inaccessible end */

hak_harden_keys_t hak_harden_keys;
/* Of the threads' generators: secret, and another one for each. relaxed: each gets a value of its own. */
static _Atomic uint64_t seeds;
static uint64_t seed_factor;             /* secret; written once */
static _Atomic uint32_t oversize_in_use; /* large and huge blocks; relaxed: a count */

void hak_harden_init(void)
{
    uint64_t words[7];
    hak_os_random(words, 7);
    hak_harden_keys = (hak_harden_keys_t){.link = words[0],
                                          .mirror = words[1],
                                          .mirror_factor = words[2] | 1,
                                          .canary = words[3],
                                          .canary_factor = words[4] | 1};
    atomic_store_explicit(&seeds, words[5], memory_order_relaxed);
    seed_factor = words[6] | 1;
}

uint64_t hak_harden_seed(void)
{
    uint64_t next = atomic_fetch_add_explicit(&seeds, 0x9e3779b97f4a7c15ull, memory_order_relaxed);
    return hak_mix(next, seed_factor);
}

void hak_harden_part(uint64_t process)
{
    uint64_t inherited = atomic_load_explicit(&seeds, memory_order_relaxed);
    atomic_store_explicit(&seeds, hak_mix(inherited ^ process, seed_factor), memory_order_relaxed);
}

/* --- what is wrong ------------------------------------------------------------------------------------------------ */

/* The function that was called with a block, for messages. */
typedef struct caller {
    const char *name;
    const void *site;
} caller_t;

static const char looked_at[] = "malloc_usable_size";

static uint64_t number_of(const void *p)
{
    return (uintptr_t)p;
}

static uint64_t class_of(uint32_t entry)
{
    return hak_entry_in_slab(entry) ? hak_entry_class(entry) : 0;
}

/* Where a free block differs from what it was left as. */
void hak_harden_corrupted(const void *block)
{
    const hak_word_t *word = block;
    uint32_t entry = hak_map_find(block);
    if (!hak_entry_in_slab(entry) || *hak_harden_state(block) != HAK_BLOCK_FREE)
        hak_fatal("corrupt list of free blocks: %x (class %u) is not free: state %u, expected %u",
                  number_of(block), class_of(entry),
                  hak_entry_in_slab(entry) ? (uint64_t)*hak_harden_state(block) : 0,
                  (uint64_t)HAK_BLOCK_FREE);
    size_t words = hak_slab_of(block)->size / sizeof *word;
    size_t at = 2;
    while (at < words && word[at] == (uint64_t)HAK_FILL_WORD)
        at++;
    if (at == words)
        at = 0;
    hak_fatal(
        "write after free of %x (class %u), or overrun of the block before it: at byte %u it is not as it "
        "was left",
        number_of(block), class_of(entry), (uint64_t)(at * sizeof *word));
}

static _Noreturn void refuse_block(const void *p, uint32_t entry, caller_t caller)
{
    uint64_t site = number_of(caller.site);
    if (entry == 0)
        hak_fatal("%s of %x: not a block of this allocator, or freed before; called from %x", caller.name,
                  number_of(p), site);
    bool in_slab = hak_entry_in_slab(entry);
    size_t at = (uintptr_t)p & (HAK_ALIGN - 1);
    if (in_slab)
        at = (size_t)((const char *)p - hak_slab_base(hak_slab_of(p))) % hak_slab_of(p)->size;
    else if (!hak_is_zero_entry(entry) && hak_entry_kind(entry) != HAK_ENTRY_LARGE - HAK_ENTRY_CACHED)
        at = hak_oversize_size(p, entry) == 0;
    bool free = at == 0 && (!in_slab || *hak_harden_state(p) != HAK_BLOCK_NONE);
    if (free && caller.name == looked_at)
        hak_fatal("%s of %x (class %u), which is free; called from %x", caller.name, number_of(p),
                  class_of(entry), site);
    if (free)
        hak_fatal("double free of %x (class %u); called from %x", number_of(p), class_of(entry), site);
    if (!in_slab)
        hak_fatal("%s of %x: not the start of a block (above %u bytes), or freed before; called from %x",
                  caller.name, number_of(p), (uint64_t)HAK_CLASS_MAX, site);
    hak_fatal("%s of %x: not the start of a block (class %u, blocks of %u bytes, %u bytes into its block); "
              "called from %x",
              caller.name, number_of(p), class_of(entry), (uint64_t)hak_slab_of(p)->size, (uint64_t)at, site);
}

/* Byte `at` behind those asked for was written, or one of the canary's, if that is 0. */
static _Noreturn void abort_overrun(const void *p, uint32_t entry, size_t usable, uint64_t at,
                                    caller_t caller)
{
    uint64_t canary = hak_harden_canary(p, 0);
    const char *end = (const char *)p + usable;
    while (at < HAK_CANARY_BYTES - 1 && end[at] == (char)(canary >> (8 * at)))
        at++;
    hak_fatal("overrun of %x (class %u, %u bytes): byte %u behind them was written; %s called from %x",
              number_of(p), class_of(entry), (uint64_t)usable, at, caller.name, number_of(caller.site));
}

/* --- what is known of a block ------------------------------------------------------------------------------------- */

static bool is_huge(uint32_t entry)
{
    return hak_entry_kind(entry) == HAK_ENTRY_HUGE;
}

/* What is written down of an oversize block: the bytes asked for, all of them while a huge one waits. Above that its note: 0 if it
 * ends in a canary; if it is bare, 1, and above that its kind. A bare block ends with a page, and what follows is inaccessible: an
 * overrun of it faults at its first byte, read or written. */
#define LARGE_BITS 20u /* of the bytes of a large one */
#define HUGE_BITS  47u

static_assert(HAK_RUN_MOST * HAK_SLICE < (size_t)1 << LARGE_BITS || !HAK_HARDEN,
              "the bytes of a large block");
static_assert(HAK_ADDRESS_BITS <= HUGE_BITS, "the bytes of a huge block");

static unsigned asked_bits(uint32_t entry)
{
    return is_huge(entry) ? HUGE_BITS : LARGE_BITS;
}

static void set_asked(void *p, uint32_t entry, size_t asked, unsigned note)
{
    size_t written = asked | (size_t)note << asked_bits(entry);
    if (is_huge(entry)) {
        hak_huge_set_asked(p, written);
        return;
    }
#if HAK_HARDEN
    hak_slab_of(p)->asked = (uint32_t)written;
#endif
}

static size_t written_of(const void *p, uint32_t entry)
{
    if (is_huge(entry))
        return hak_huge_asked(p);
#if HAK_HARDEN
    return hak_slab_of(p)->asked;
#else
    return 0;
#endif
}

static size_t asked_of(const void *p, uint32_t entry)
{
    return written_of(p, entry) & (((size_t)1 << asked_bits(entry)) - 1);
}

static unsigned note_of(const void *p, uint32_t entry)
{
    if (hak_entry_in_slab(entry) || hak_is_zero_entry(entry))
        return 0;
    return (unsigned)(written_of(p, entry) >> asked_bits(entry));
}

/* The same of a block that is in use from now on. */
static void begin_asked(void *p, uint32_t entry, size_t asked, unsigned note)
{
    set_asked(p, entry, asked, note);
    if (!is_huge(entry))
        *hak_harden_state(p) = HAK_BLOCK_USED;
}

/* Bytes behind the canary of a block in a slab. Few fit into its state; of more the next three states have seven bits each,
 * which look like no block in use. */
static size_t slack_of(const void *p)
{
    const uint8_t *state = hak_harden_state(p);
    size_t slack = *state & HAK_SLACK_MOST;
    return slack < HAK_SLACK_MOST ? slack : state[1] | (size_t)state[2] << 7 | (size_t)state[3] << 14;
}

static void set_slack(void *p, size_t slack)
{
    uint8_t *state = hak_harden_state(p);
    *state = (uint8_t)(HAK_BLOCK_USED | hak_min(slack, HAK_SLACK_MOST));
    for (unsigned i = 1; slack >= HAK_SLACK_MOST && i <= 3; i++)
        state[i] = slack >> (7 * (i - 1)) & 0x7f;
}

/* Bytes that the owner of a block in use may use: what it asked for. */
static size_t usable_of(const void *p, uint32_t entry)
{
    if (hak_is_zero_entry(entry))
        return 0;
    if (hak_entry_in_slab(entry))
        return hak_slab_of(p)->size - HAK_CANARY_BYTES - slack_of(p);
    return asked_of(p, entry);
}

static bool is_in_use(const void *p, uint32_t entry)
{
    if (((uintptr_t)p & (HAK_ALIGN - 1)) != 0)
        return false;
    if (is_huge(entry)) {
        size_t size = hak_oversize_size(p, entry);
        return size != 0 && size != asked_of(p, entry);
    }
    bool begins = hak_entry_in_slab(entry) || hak_is_zero_entry(entry) || hak_oversize_size(p, entry) != 0;
    return begins && *hak_harden_state(p) >= HAK_BLOCK_USED;
}

/* Bytes of an oversize block from its start to the first page that nothing of it needs. */
static size_t bytes_needed(size_t asked)
{
    return hak_round_up(asked + HAK_CANARY_BYTES, HAK_OS_PAGE);
}

static hak_word_anywhere_t *canary_of(const void *p, size_t usable)
{
    return (hak_word_anywhere_t *)((uintptr_t)p + usable); /* NOLINT(performance-no-int-to-ptr) */
}

#define KIND_MOST 0xffu

/* Of a block whose canary is whole. */
static unsigned kind_of(const void *p, uint32_t entry, size_t usable)
{
    if (hak_is_zero_entry(entry))
        return *hak_harden_state(p) & ~HAK_BLOCK_USED;
    unsigned note = note_of(p, entry);
    if (note != 0)
        return note >> 1;
    return (*canary_of(p, usable) ^ hak_harden_canary(p, 0)) >> HAK_KIND_AT & KIND_MOST;
}

/* Where operator new is not ours, all blocks are of one kind. */
static bool is_kind(unsigned kind)
{
    const unsigned form = kind & ((1u << HAK_KIND_BITS) - 1);
    return kind == HAK_KIND_MALLOC ||
           (hak_kinds_are_known != NULL && (form == HAK_KIND_NEW || form == HAK_KIND_ARRAY));
}

/* How far behind what was asked for the first byte is behind the canary that is not as it was when the block was handed out; 0 if
 * all are. Looked at is all of it: what ran under the next block wrote at its end, and free is about to fill that. */
static size_t written_in_slack(const char *p, uint32_t entry, size_t usable)
{
    size_t end = hak_entry_in_slab(entry) ? hak_slab_of(p)->size
                 : HAK_FILL_BYTE == 0     ? bytes_needed(usable)
                                          : 0;
    size_t at = usable + HAK_CANARY_BYTES;
    size_t lines = hak_round_up(at, HAK_ALIGN);
    while (at < hak_min(lines, end) && p[at] == (char)HAK_FILL_BYTE)
        at++;
    if (at >= end || (at == lines && hak_harden_is_filled(p + lines - HAK_ALIGN, end - lines + HAK_ALIGN)))
        return 0;
    while (p[at] == (char)HAK_FILL_BYTE)
        at++;
    return at - usable;
}

static void check_canary(const void *p, uint32_t entry, size_t usable, unsigned kind, caller_t caller)
{
    if (*canary_of(p, usable) != hak_harden_canary(p, kind) || !is_kind(kind))
        abort_overrun(p, entry, usable, 0, caller);
    size_t written = written_in_slack(p, entry, usable);
    if (written != 0)
        abort_overrun(p, entry, usable, written, caller);
}

/* Aborts unless p, whose map entry this is, begins a block in use with a whole canary. Returns its usable bytes. */
static size_t check_block(const void *p, uint32_t entry, caller_t caller)
{
    if (entry == 0 || !is_in_use(p, entry))
        refuse_block(p, entry, caller);
    size_t usable = usable_of(p, entry);
    if (hak_is_zero_entry(entry))
        return usable;
    unsigned kind = kind_of(p, entry, usable);
    if (note_of(p, entry) == 0)
        check_canary(p, entry, usable, kind, caller);
    if (!is_huge(entry) && hak_guard_is_underrun(p))
        hak_fatal("underrun of %x (class %u), or overrun of the block before it; %s called from %x",
                  number_of(p), class_of(entry), caller.name, number_of(caller.site));
    return usable;
}

/* The alignment that the kind names, 0 if it is of none. */
static uint64_t align_in(unsigned kind)
{
    return kind >> HAK_KIND_BITS != 0 ? (uint64_t)1 << (kind >> HAK_KIND_BITS) : 0;
}

/* Aborts if a block of the kind `found` is freed as one of the kind `asked`, unless that may be somebody else's doing. */
static void check_kind(const void *p, uint32_t entry, unsigned found, unsigned asked, const void *site)
{
    static const char *const from[] = {"malloc", "new", "new[]", "none"};
    static const char *const by[] = {"free", "delete", "delete[]", "none"};
    const unsigned form = (1u << HAK_KIND_BITS) - 1;
    if (hak_likely(found == asked))
        return;
    if (hak_kinds_are_known == NULL ||
        !hak_kinds_are_known(found == HAK_KIND_MALLOC || asked == HAK_KIND_MALLOC))
        return;
    hak_fatal("free of %x (class %u), which is of %s (alignment %u), by %s (alignment %u); called from %x",
              number_of(p), class_of(entry), from[found & form], align_in(found), by[asked & form],
              align_in(asked), number_of(site));
}

/* Writes down that the block at p is in use for a request of `size`, and its canary. */
static void mark_used(void *p, size_t size, unsigned kind)
{
    uint32_t entry = hak_map_get(p);
    if (hak_entry_in_slab(entry))
        set_slack(p, hak_slab_of(p)->size - HAK_CANARY_BYTES - size);
    else
        begin_asked(p, entry, size, 0);
    *canary_of(p, size) = hak_harden_canary(p, kind);
}

/* --- filling ------------------------------------------------------------------------------------------------------ */

/* What a program has never touched must not be touched here: many pages go back to the system, few that are zero are read. */
static void fill_range(char *p, size_t bytes)
{
    if (HAK_FILL_BYTE != 0) {
        memset(p, HAK_FILL_BYTE, bytes);
        return;
    }
    char *from = (char *)hak_round_up((uintptr_t)p, HAK_OS_PAGE); /* NOLINT(performance-no-int-to-ptr) */
    size_t front = hak_min(bytes, (size_t)(from - p));
    size_t pages = (bytes - front) & ~(HAK_OS_PAGE - 1);
    if (pages <= FILL_MOST || !hak_os_discard(from, pages))
        hak_huge_clear_pages(from, pages);
    memset(p, HAK_FILL_BYTE, front);
    memset(from + pages, HAK_FILL_BYTE, bytes - front - pages);
}

void hak_harden_fill_any(void *p, size_t bytes)
{
    if (bytes <= HAK_TINY_MAX)
        hak_harden_fill(p, bytes);
    else
        fill_range(p, bytes);
}

void hak_harden_forget(char *base, size_t size, size_t count)
{
    for (size_t i = 0; HAK_FILL_BYTE == 0 && i < count; i++)
        *(hak_line_t *)(void *)(base + i * size) = HAK_FILL_LINE;
}

/* --- large and huge blocks ----------------------------------------------------------------------------------------- *
 *
 * Behind the last page of one in use the rest is inaccessible, at least a page. One that was freed is empty and inaccessible
 * and waits for a while, in a place that another one at random takes over. */

/* Bytes to ask for, so that there is room for the canary and for pages behind it. Of the largest request of all there is none. */
static size_t with_guard(size_t size)
{
    if (size >= HAK_REQUEST_MAX)
        return HAK_REQUEST_MAX + 1;
    return size + HAK_CANARY_BYTES + (size > HAK_CLASS_MAX - HAK_CANARY_BYTES ? HAK_OS_PAGE : 0);
}

/* Bytes of it from its start to what is inaccessible. */
static size_t bytes_accessible(const void *p, uint32_t entry, size_t asked)
{
    return note_of(p, entry) != 0 ? asked : bytes_needed(asked);
}

/* Of one that is accessible to its end: writes down the end of a block of this kind, and closes what is behind. */
static void end_oversize(void *p, size_t asked, unsigned kind)
{
    uint32_t entry = hak_map_get(p);
    size_t size = hak_oversize_size(p, entry);
    bool guards = atomic_load_explicit(&oversize_in_use, memory_order_relaxed) <= GUARDED_MOST;
    if (guards && asked % HAK_OS_PAGE == 0 && asked != 0 && asked < size &&
        hak_guard_forbid((char *)p + asked, size - asked)) {
        begin_asked(p, entry, asked, 1 | kind << 1);
        return;
    }
    mark_used(p, asked, kind);
    if (guards && bytes_needed(asked) < size)
        hak_guard_forbid((char *)p + bytes_needed(asked), size - bytes_needed(asked));
}

/* Makes the end accessible again; where it was already, nothing changes. False when the system has no more mappings. */
static bool open_end(void *p, uint32_t entry, size_t asked)
{
    size_t size = hak_oversize_size(p, entry);
    size_t from = bytes_accessible(p, entry, asked);
    return from >= size || hak_os_make_writable((char *)p + from, size - from);
}

/* Nothing of it shows afterwards. Where the system takes no pages back, those that were never touched are only read. */
static void empty_oversize(void *p, uint32_t entry, size_t size)
{
    if (hak_os_discard(p, size))
        return;
    size_t bytes = hak_min(size, bytes_accessible(p, entry, usable_of(p, entry)));
    if (HAK_FILL_BYTE == 0)
        hak_huge_clear_pages(p, bytes);
    else
        memset(p, HAK_FILL_BYTE, bytes);
}

static void free_oversize(void *p, uint32_t entry)
{
    size_t size = hak_oversize_size(p, entry);
    empty_oversize(p, entry, size);
    if (is_huge(entry)) {
        set_asked(p, entry, size, 0);
    } else {
        *hak_harden_state(p) = HAK_BLOCK_FREE;
        hak_slab_of(p)->clean = false;
    }
    atomic_fetch_sub_explicit(&oversize_in_use, 1, memory_order_relaxed);
    hak_quarantine_oversize(p, size);
}

/* --- what the fast paths leave ------------------------------------------------------------------------------------ */

/* A large block is accessible once it does not wait any more: what was written there since goes. */
static void clear_large(void *p)
{
    if (HAK_FILL_BYTE != 0)
        return;
    const hak_slab_t *slab = hak_slab_of(p);
    if (!slab->clean && !hak_os_discard(p, slab->size))
        hak_huge_clear_pages(p, slab->size);
}

/* An oversize block that was just taken: what the caller gets for a request of `size`. */
static void *hand_out_oversize(void *p, size_t size, unsigned kind)
{
    if (!is_huge(hak_map_get(p)))
        clear_large(p);
    atomic_fetch_add_explicit(&oversize_in_use, 1, memory_order_relaxed);
    end_oversize(p, size, kind);
    return p;
}

/* A block that was just taken, or NULL: what the caller gets for a request of `size`. */
static void *hand_out(void *p, size_t size, unsigned kind)
{
    if (p == NULL)
        return NULL;
    if (!hak_entry_in_slab(hak_map_get(p))) {
        hand_out_oversize(p, size, kind);
    } else {
        size_t bytes = hak_slab_of(p)->size;
        hak_harden_hand_out(p, bytes, 0, kind);
        *(hak_word_anywhere_t *)((char *)p + bytes - HAK_CANARY_BYTES) = (uint64_t)HAK_FILL_WORD;
        mark_used(p, size, kind);
    }
    if (HAK_CHECKS)
        memset(p, 0xa5, hak_min(size, POISON_MOST));
    return p;
}

/* The block that the thread freed last waits still, and nobody else has it: its first and last line are as they were left. So a
 * write into what was just freed is seen early, not when the block is handed out again. */
static void check_last(void)
{
#if HAK_HARDEN
    const void *last = hak_thread.last;
    if (last == NULL || hak_thread.ended || !hak_entry_in_slab(hak_map_get(last)))
        return;
    const char *end = (const char *)last + hak_slab_of(last)->size;
    if (!hak_harden_is_unlinked(last) || !hak_harden_is_unlinked(end - sizeof(hak_line_t)))
        hak_harden_corrupted(last);
#endif
}

void *hak_harden_malloc_slow(size_t size, unsigned kind)
{
    check_last();
    if (size == 0)
        return hak_zero_take(HAK_ALIGN, kind);
    return hand_out(hak_fast_malloc(with_guard(size)), size, kind);
}

void *hak_harden_malloc_none(size_t align, unsigned kind)
{
    return hand_out(hak_malloc_aligned(align, HAK_CANARY_BYTES), 0, kind);
}

void hak_harden_set_kind(void *p, unsigned kind)
{
    uint32_t entry = hak_map_find(p);
    if (entry == 0 || !is_in_use(p, entry))
        return;
    if (hak_is_zero_entry(entry))
        *hak_harden_state(p) = (uint8_t)(HAK_BLOCK_USED | kind);
    else if (note_of(p, entry) != 0)
        set_asked(p, entry, usable_of(p, entry), 1 | kind << 1);
    else
        *canary_of(p, usable_of(p, entry)) = hak_harden_canary(p, kind);
}

/* What is handed out is zero, but in debug. */
void *hak_harden_calloc_oversize(size_t size)
{
    void *p = HAK_FILL_BYTE == 0 ? hak_fast_malloc(with_guard(size)) : hak_malloc_zeroed(with_guard(size));
    return p != NULL ? hand_out_oversize(p, size, HAK_KIND_MALLOC) : NULL;
}

void *hak_harden_aligned(size_t align, size_t size, unsigned kind)
{
    if (size == 0)
        return hak_zero_take(hak_max(align, HAK_ALIGN), kind);
    return hand_out(hak_malloc_aligned(align, with_guard(size)), size, kind);
}

static void free_in_slab(void *p, uint32_t entry)
{
    *hak_harden_state(p) = HAK_BLOCK_FREE;
    hak_harden_fill_any(p, hak_slab_of(p)->size);
    hak_quarantine_small(p, entry);
}

void hak_harden_free_slow(void *p, size_t asked, unsigned kind, const void *site)
{
    if (p == NULL)
        return;
    uint32_t entry = hak_map_find(p);
    if (entry == 0 && hak_unknown_free(p))
        return;
    size_t usable = check_block(p, entry, (caller_t){"free", site});
    check_kind(p, entry, kind_of(p, entry, usable), kind, site);
    if (asked != HAK_ANY_SIZE && asked != usable)
        hak_fatal("free of %x with the wrong size: %u, expected %u; called from %x", number_of(p),
                  (uint64_t)asked, (uint64_t)usable, number_of(site));
#if HAK_HARDEN
    hak_thread.window = (uintptr_t)p >> 32;
#endif
    if (hak_is_zero_entry(entry))
        hak_zero_free(p);
    else if (hak_entry_in_slab(entry))
        free_in_slab(p, entry);
    else
        free_oversize(p, entry);
}

void hak_harden_check_align(const void *p, size_t align, const void *site)
{
    if (((uintptr_t)p & (align - 1)) != 0)
        hak_fatal("free of %x with the wrong alignment: %u, expected at most %u; called from %x",
                  number_of(p), (uint64_t)align, number_of(p) & -number_of(p), number_of(site));
}

/* What a block that shrank or grew in place must not show: the old canary, and what was between the new end and the old. */
static void clear_between(char *p, size_t before, size_t size, size_t bytes)
{
    size_t from = hak_min(before, size);
    size_t to = hak_min(before + HAK_CANARY_BYTES, bytes);
    if (from < to)
        fill_range(p + from, to - from);
}

/* In place, or by moving pages; NULL when it can be neither: the block is as it was. What needs the same pages as before makes no
 * call to the system: a string that grew by a few bytes at a time made two for each. */
static void *resize_marked(void *p, size_t size, size_t before, uint32_t entry)
{
    bool oversize = !hak_entry_in_slab(entry);
    if (oversize && bytes_needed(size) == bytes_accessible(p, entry, before)) {
        clear_between(p, before, size, bytes_needed(size));
        mark_used(p, size, HAK_KIND_MALLOC);
        return p;
    }
    if (oversize && !open_end(p, entry, before))
        return NULL;
    if (oversize && size < before && with_guard(size) > (is_huge(entry) ? HAK_STAYS_HUGE : HAK_CLASS_MAX))
        /* It cannot fail, and others may get the rest. */
        fill_range((char *)p + size, before + HAK_CANARY_BYTES - size);
    void *resized = hak_realloc_in_place(p, with_guard(size));
    if (resized == NULL) {
        if (oversize)
            end_oversize(p, before, HAK_KIND_MALLOC);
        return NULL;
    }
    entry = hak_map_get(resized);
    bool in_slab = hak_entry_in_slab(entry);
    clear_between(resized, before, size,
                  in_slab ? hak_slab_of(resized)->size : hak_oversize_size(resized, entry));
    if (in_slab) {
        mark_used(resized, size, HAK_KIND_MALLOC);
        return resized;
    }
    if (!oversize)
        atomic_fetch_add_explicit(&oversize_in_use, 1, memory_order_relaxed);
    end_oversize(resized, size, HAK_KIND_MALLOC);
    return resized;
}

/* A block of libc's, of `before` bytes, becomes one of ours; NULL if memory is out. */
static HAK_COLD void *realloc_from_libc(void *p, size_t size, size_t before)
{
    void *target = hak_harden_malloc(size, HAK_KIND_MALLOC);
    if (target == NULL)
        return NULL;
    memcpy(target, p, hak_min(before, size));
    hak_unknown_free(p);
    return target;
}

/* For a block that cannot be had smaller: it is kept, and is smaller by what is written about it. */
static void *shrink_by_name(void *p, size_t size, size_t before)
{
    bool bare = note_of(p, hak_map_get(p)) != 0;
    if (bare && size + HAK_CANARY_BYTES > before)
        return p;
    clear_between(p, before, size, bare ? before : before + HAK_CANARY_BYTES);
    mark_used(p, size, HAK_KIND_MALLOC);
    return p;
}

/* With HAK_CHECKS realloc moves, so that stale pointers show: always, but of huge blocks only from one eighth of a power of two to
 * another. (An array that grew by 4 KiB to 20 MiB was copied 5,000 times, with 13 million page faults.) */
static bool moves_for_checks(size_t before, size_t size)
{
    if (!HAK_CHECKS || before <= HAK_LARGE_MAX || size <= HAK_LARGE_MAX)
        return HAK_CHECKS;
    unsigned eighth = 60u - (unsigned)__builtin_clzl(size);
    return before >> eighth != size >> eighth;
}

void *hak_harden_realloc(void *p, size_t size, const void *site)
{
    uint32_t entry = hak_map_find(p);
    size_t theirs = hak_unlikely(entry == 0) ? hak_unknown_size(p) : 0;
    if (theirs != 0)
        return realloc_from_libc(p, size, theirs);
    size_t before = check_block(p, entry, (caller_t){"realloc", site});
    unsigned kind = kind_of(p, entry, before);
    check_kind(p, entry, kind, HAK_KIND_MALLOC, site);
    bool stays = !moves_for_checks(before, size) && size <= HAK_REQUEST_MAX && !hak_is_zero_entry(entry);
    void *resized = stays ? resize_marked(p, size, before, entry) : NULL;
    if (resized != NULL)
        return resized;
    void *target = hak_realloc_target(size, before, with_guard);
    if (target == NULL)
        return size > before ? NULL : shrink_by_name(p, size, before);
    memcpy(hand_out(target, size, HAK_KIND_MALLOC), p, hak_min(before, size));
    hak_harden_free_slow(p, HAK_ANY_SIZE, kind, site);
    return target;
}

size_t hak_harden_usable(const void *p, const void *site)
{
    uint32_t entry = hak_map_find(p);
    size_t theirs = hak_unlikely(entry == 0) ? hak_unknown_size((void *)(uintptr_t)p) : 0;
    if (theirs != 0 || (entry == 0 && !hak_chunk_holds(p) && !hak_huge_holds(p)))
        return theirs;
    return check_block(p, entry, (caller_t){looked_at, site});
}
