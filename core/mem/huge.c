/* SPDX-License-Identifier: MIT */
/* huge.c: see huge.h.
 *
 * Two orders hold everywhere here. An address gets an entry only after the map there was covered: extent.c does that for all that
 * it takes from the system, and what the system makes longer is covered here. And it loses all its entries before it is given up
 * (freed, moved away from, unmapped): the moment the system has it back, another thread may get it. */
#include "mem/huge.h"

#include "base/message.h"
#include "mem/extent.h"
#include "mem/tick.h"
#include "obs/trace.h"
#include "os/os.h"

#include <string.h>

/* Of a block's size, should its alignment alone make it huge: the rest is never touched, and a size tells large from huge. */
#define HUGE_LEAST (HAK_LARGE_MAX + HAK_UNIT)
/* Bytes: up to it a copy into pages that are there costs less than moving the pages and faulting in what is new. */
#define COPY_MOST ((size_t)4 << 20)
/* Pages of a block that are looked at, evenly spread, before it is copied. */
#define SAMPLES 8u
/* Slices in front of a pointer that are looked at: 64 MiB. */
#define LOOK_BACK   4096u
#define PART_MASK   (((size_t)1 << HAK_HUGE_PART_BITS) - 1)
#define ASKED_SLICE 2u /* the first of three */

static_assert(HAK_ADDRESS_BITS - HAK_SLICE_SHIFT <= 2 * HAK_HUGE_PART_BITS, "a size has two parts");
static_assert(HAK_ADDRESS_BITS <= 3 * HAK_HUGE_PART_BITS, "the bytes asked for have three");
static_assert((ASKED_SLICE + 3) * HAK_SLICE < HUGE_LEAST, "the last slice is behind all parts");

static _Atomic size_t huge_blocks; /* in use; relaxed: a figure for the statistics */

static void set_part(void *p, unsigned slice, size_t bits)
{
    hak_map_set((char *)p + slice * HAK_SLICE, hak_entry((uint32_t)(bits & PART_MASK), HAK_ENTRY_PART));
}

size_t hak_huge_asked(const void *p)
{
    return hak_huge_part(p, ASKED_SLICE) | hak_huge_part(p, ASKED_SLICE + 1) << HAK_HUGE_PART_BITS |
           hak_huge_part(p, ASKED_SLICE + 2) << 2 * HAK_HUGE_PART_BITS;
}

void hak_huge_set_asked(void *p, size_t asked)
{
    for (unsigned part = 0; part < 3; part++)
        set_part(p, ASKED_SLICE + part, asked >> part * HAK_HUGE_PART_BITS);
}

/* Writes a block down. The map is covered there. */
static void publish_block(char *base, size_t size)
{
    size_t slices = size >> HAK_SLICE_SHIFT;
    set_part(base, 1, slices >> HAK_HUGE_PART_BITS);
    hak_map_set(base + size - HAK_SLICE, hak_entry(0, HAK_ENTRY_PART));
    hak_map_set(base, hak_entry((uint32_t)(slices & PART_MASK), HAK_ENTRY_HUGE));
}

static void forget_block(char *base, size_t size)
{
    for (unsigned slice = 0; slice < (HAK_HARDEN ? ASKED_SLICE + 3 : ASKED_SLICE); slice++)
        hak_map_set(base + slice * HAK_SLICE, 0);
    hak_map_set(base + size - HAK_SLICE, 0);
}

static void release_range(char *base, size_t size, bool dirty)
{
    if (hak_extent_release(base, size, dirty))
        hak_tick_now();
}

void *hak_huge_take(size_t size, size_t align, bool zeroed, bool *zero)
{
    size = hak_max(hak_round_up(size, HAK_UNIT), HUGE_LEAST);
    char *base = hak_extent_take(size, hak_max(align, HAK_UNIT), zeroed, zero);
    if (base == NULL)
        return NULL;
    publish_block(base, size);
    atomic_fetch_add_explicit(&huge_blocks, 1, memory_order_relaxed);
    hak_trace("huge taken", base, size);
    return base;
}

void hak_huge_release(void *p, uint32_t entry)
{
    size_t size = hak_huge_slices(p, entry) << HAK_SLICE_SHIFT;
    atomic_fetch_sub_explicit(&huge_blocks, 1, memory_order_relaxed);
    hak_trace("huge released", p, size);
    forget_block(p, size);
    release_range(p, size, true);
}

/* The block in place, shorter. */
static void *shrink_block(char *base, size_t before, size_t size)
{
    hak_map_set(base + before - HAK_SLICE, 0);
    publish_block(base, size);
    release_range(base + size, before - size, true);
    return base;
}

/* The system makes a mapping longer where it is. What is new is covered afterwards: of a request that it refuses nothing stays. */
static bool lengthen_mapping(char *base, size_t before, size_t size, bool *movable)
{
    if (!hak_os_resize(base, before, size, movable))
        return false;
    if (hak_map_cover(base + before, size - before))
        return true;
    hak_os_resize(base, size, before, movable);
    *movable = false;
    return false;
}

/* The block in place, longer; NULL if that cannot be: *movable tells that the system would move it. */
static void *grow_in_place(char *base, size_t before, size_t size, bool *movable)
{
    if (hak_extent_take_at(base + before, size - before)) {
        hak_map_set(base + before - HAK_SLICE, 0);
        publish_block(base, size);
        return base;
    }
    if (!lengthen_mapping(base, before, size, movable))
        return NULL;
    hak_extent_moved(before, size);
    hak_map_set(base + before - HAK_SLICE, 0);
    publish_block(base, size);
    return base;
}

/* Tells of a block at another place what was told of it here. */
static void publish_moved(char *target, size_t size, size_t asked)
{
    publish_block(target, size);
    if (HAK_HARDEN)
        hak_huge_set_asked(target, asked);
}

/* After the system refused to move something there: what was taken for it is there still, or again (os.h). If not, it is lost to
 * us: another thread may have got the place. */
static bool is_there(char *target, size_t size)
{
    return hak_os_is_mapped(target, size) || hak_os_map_at(target, size, true) != NULL;
}

/* How much from here on is one mapping, about: 0 if not even a unit, or the system does not tell. It is asked to make all but the
 * last page longer, where that page is: it has no room for that, or says that this is more than one mapping. */
static size_t one_mapping(char *base, size_t size)
{
    bool no_room;
    for (;; size = hak_round_up(size / 2, HAK_UNIT)) {
        hak_os_resize(base, size - HAK_OS_PAGE, size, &no_room);
        if (no_room || size == HAK_UNIT)
            return no_room ? size : 0;
    }
}

/* A block that has grown into what was behind it may be several mappings. No kernel moves these and makes them longer, and few move
 * them at all. False if nothing was moved; after that, what is refused is copied. Only a kernel without memory for its own tables
 * can refuse what is one mapping and stays as long. */
static bool move_pieces(char *base, size_t size, char *target)
{
    for (size_t at = 0, piece = size; at < size; at += piece) {
        piece = one_mapping(base + at, hak_min(2 * piece, size - at)); /* they are about as long, mostly */
        if (piece != 0 && hak_os_move(base + at, piece, target + at, piece))
            continue;
        bool there = piece == 0 || is_there(target + at, piece);
        if (at == 0)
            return false;
        if (!there)
            hak_fatal("the system has moved a half of %x alone", (uint64_t)(uintptr_t)base);
        piece = HAK_UNIT;
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the map has no entry for NULL */
        memcpy(target + at, base + at, piece);
        hak_os_release(base + at, piece);
    }
    return true;
}

/* The pages at another place; false when the system refuses (all is as it was). */
static bool move_pages(char *base, size_t before, char *target, size_t size, bool movable)
{
    size_t asked = HAK_HARDEN ? hak_huge_asked(base) : 0;
    forget_block(base, before);
    if (!(movable ? hak_os_move(base, before, target, size) : move_pieces(base, before, target))) {
        publish_moved(base, before, asked);
        return false;
    }
    hak_extent_moved(before, 0);
    hak_extent_vacated(base, before);
    publish_moved(target, size, asked);
    return true;
}

static void copy_block(char *base, size_t before, char *target, size_t size)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): the map has no entry for NULL */
    memcpy(target, base, before);
    publish_block(target, size);
    forget_block(base, before);
    release_range(base, before, true);
}

typedef long long line_t __attribute__((vector_size(16), may_alias));

/* `size` is a multiple of four lines. */
static bool is_zero(const void *p, size_t size)
{
    const line_t *end = (const line_t *)p + size / sizeof(line_t);
    for (const line_t *line = p; line < end; line += 4) {
        line_t any = line[0] | line[1] | line[2] | line[3];
        if ((any[0] | any[1]) != 0)
            return false;
    }
    return true;
}

/* True if most pages of a block are zero, of some that are looked at: the program has touched few. */
static bool is_sparse(const char *base, size_t size)
{
    unsigned zero = 0;
    for (unsigned i = 0; i < SAMPLES; i++)
        zero += is_zero(base + (2 * i + 1) * (size / (2 * SAMPLES) & ~(HAK_OS_PAGE - 1)), HAK_OS_PAGE);
    return zero > SAMPLES / 2;
}

/* The block at another place, longer; NULL when there is none, or the system refuses. It is asked to move at once only what it said
 * that it could: another thread may have got the place of a target that was gone before we have it back. */
static void *move_block(char *base, size_t before, size_t size, bool movable)
{
    bool zero;
    char *target = hak_extent_take(size, HAK_UNIT, false, &zero);
    if (target == NULL)
        return NULL;
    /* hardened leaves nothing where a block was; and to copy pages that were never touched would touch them */
    if (!HAK_HARDEN && !zero && before <= COPY_MOST && !is_sparse(base, before)) {
        copy_block(base, before, target, size);
        return target;
    }
    if (move_pages(base, before, target, size, movable))
        return target;
    if (is_there(target, size))
        release_range(target, size, !zero);
    else
        hak_extent_moved(size, 0);
    return NULL;
}

void *hak_huge_resize(void *p, uint32_t entry, size_t size)
{
    size_t before = hak_huge_slices(p, entry) << HAK_SLICE_SHIFT;
    size = hak_max(hak_round_up(size, HAK_UNIT), HUGE_LEAST);
    if (size == before)
        return p;
    if (size < before)
        return shrink_block(p, before, size);
    bool movable = false;
    void *grown = grow_in_place(p, before, size, &movable);
    return grown != NULL ? grown : move_block(p, before, size, movable);
}

/* Entries are in the first few slices and in the last one of a block, and in both ends of a free range. */
bool hak_huge_holds(const void *p)
{
    const char *at = (const char *)p - ((uintptr_t)p & (HAK_SLICE - 1));
    for (size_t i = 0; i < LOOK_BACK && (uintptr_t)at >= HAK_SLICE; i++, at -= HAK_SLICE) {
        uint32_t entry = hak_map_find(at);
        if (entry == 0 || hak_entry_kind(entry) == HAK_ENTRY_PART)
            continue;
        if (hak_entry_kind(entry) == HAK_ENTRY_FREE)
            return hak_extent_holds(at, p);
        return hak_entry_kind(entry) == HAK_ENTRY_HUGE &&
               (size_t)((const char *)p - at) < hak_huge_slices(at, entry) << HAK_SLICE_SHIFT;
    }
    return false;
}

size_t hak_huge_count(void)
{
    return atomic_load_explicit(&huge_blocks, memory_order_relaxed);
}

#define ALIKE_MOST 16u /* pages that are taken to be like the first of them */

static void write_bytes(char *p, const char *from, size_t size)
{
    if (from != NULL)
        memcpy(p, from, size);
    else
        memset(p, 0, size);
}

/* Copies from there, or from zeroes if that is NULL. Pages that are zero, here and there, are only read. One that no program has
 * touched stays without memory of its own; one that holds something shows it in its first lines, mostly. Where one page after the
 * other does, fewer are looked at (dense blocks of 2 MiB: 9 % of the time of calloc and of their filling when each is). */
HAK_INLINE void write_pages(char *p, const char *from, size_t size)
{
    size_t alike = HAK_OS_PAGE;
    while (size >= HAK_OS_PAGE) {
        bool zero = (from == NULL || is_zero(from, HAK_OS_PAGE)) && is_zero(p, HAK_OS_PAGE);
        size_t part = zero ? HAK_OS_PAGE : hak_min(alike, size & ~(HAK_OS_PAGE - 1));
        if (!zero)
            write_bytes(p, from, part);
        alike = zero ? HAK_OS_PAGE : hak_min(2 * alike, ALIKE_MOST * HAK_OS_PAGE);
        p += part;
        from += from != NULL ? part : 0;
        size -= part;
    }
    write_bytes(p, from, size);
}

void hak_huge_clear(void *p, size_t size)
{
    if (size < HAK_ZERO_BY_PAGE || !hak_os_discard(p, hak_round_up(size, HAK_OS_PAGE)))
        write_pages(p, NULL, size);
}

void hak_huge_clear_pages(char *p, size_t size)
{
    write_pages(p, NULL, size);
}

void hak_huge_copy_pages(char *p, const char *from, size_t size)
{
    write_pages(p, from, size);
}
