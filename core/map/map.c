/* SPDX-License-Identifier: MIT */
/* map.c: sets the map up and covers windows of it. Any thread. */
#include "map/map.h"

#include "os/os.h"

#define MAP_BYTES       (((size_t)1 << (HAK_ADDRESS_BITS - HAK_SLICE_SHIFT)) * sizeof(uint32_t))
#define WINDOWS         ((size_t)1 << (HAK_ADDRESS_BITS - HAK_WINDOW_SHIFT))
#define WINDOW_BYTES    (MAP_BYTES / WINDOWS)
#define LIBRARY_WINDOWS ((size_t)16) /* readable beside the libraries, where the system puts mappings */

#define PLENTY ((size_t)1 << 30) /* bytes of address space; with less, windows that few need are left out */

/* Where the map may begin. Wide: far from programs, libraries and stacks, below a third of the addresses, from where the system
 * maps upwards if it is told to (ADDR_COMPAT_LAYOUT), and where AddressSanitizer has nothing. Low: the first 512 GiB, which
 * ThreadSanitizer and MemorySanitizer leave to programs, and hardly anything else. */
typedef struct range {
    uintptr_t first, last;
} range_t;

static const range_t wide = {(uintptr_t)0x20 << 40, ((uintptr_t)0x2a << 40) - MAP_BYTES};
static const range_t low = {(uintptr_t)0x08 << 32, ((uintptr_t)0x80 << 32) - MAP_BYTES};
#define PLACE     ((uintptr_t)64 << 10) /* bytes: places are multiples of it */
#define MAP_TRIES 16u                   /* places in a range, before the other range is tried */

/* The runtime of a sanitizer, if there is one in the process. */
extern void __tsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));

#define NOTHING HAK_ENTRY_PART
/* Slices of the lowest addresses, of which the system maps none; relaxed, as all of the map. Of no heap's, also as seen by a thread
 * whose storage is still zero: the linker fills it after the resolvers of IFUNCs have run. */
static _Atomic uint32_t nothing[] = {NOTHING, NOTHING, NOTHING, NOTHING};
_Atomic uint32_t *hak_map = nothing;

static hak_os_lock_t map_lock = HAK_OS_LOCK(MAP);
/* A bit for each window that is writable; set under the lock. release in cover_window, pairs with acquire in has_bit: it is
 * writable for whoever sees the bit. */
static _Atomic uint64_t covered[WINDOWS / 64];
/* 1 more than the window that is being covered; 0: none is. A forked child reads it, whose parent's thread may have mapped that and
 * not yet said so. release in cover_window: whoever finds it cleared finds the window's bit set. */
static _Atomic size_t at_work;

static bool has_bit(const _Atomic uint64_t *set, size_t i)
{
    return (atomic_load_explicit(&set[i / 64], memory_order_acquire) >> (i % 64) & 1) != 0;
}

/* What is mapped for reading: where a program's pointers lead that are no blocks of ours. */
enum {
    LOWEST, /* NULL and other small numbers */
    LIBRARIES,
    BESIDE, /* the libraries, where few programs need it */
    STACK,  /* the first thread's */
    PROGRAM,
    BRK, /* libc's own heap */
    RANGES
};

/* The windows of each; written when the map is set up, and then under the lock. */
static struct {
    size_t first, windows;
} readable[RANGES];

static bool is_readable(size_t window)
{
    for (size_t i = 0; i < RANGES; i++)
        if (window - readable[i].first < readable[i].windows)
            return true;
    return false;
}

static char *window_of(size_t window)
{
    return (char *)hak_map + window * WINDOW_BYTES;
}

/* `ours`: it may be mapped already. What else is mapped there is the program's, and stays as it is. */
static bool map_window(size_t window, bool ours)
{
    bool read = is_readable(window);
    return (!read && hak_os_map_at(window_of(window), WINDOW_BYTES, true) != NULL) ||
           ((read || ours) && hak_os_make_writable(window_of(window), WINDOW_BYTES));
}

static bool cover_window(size_t window, bool ours) HAK_REQUIRES(map_lock)
{
    if (has_bit(covered, window))
        return true;
    atomic_store_explicit(&at_work, window + 1, memory_order_relaxed);
    bool done = map_window(window, ours);
    if (done) {
        hak_os_thp(window_of(window), WINDOW_BYTES, false); /* one entry must not cost 2 MiB */
        atomic_fetch_or_explicit(&covered[window / 64], (uint64_t)1 << (window % 64), memory_order_release);
    }
    atomic_store_explicit(&at_work, 0, memory_order_release);
    return done;
}

bool hak_map_cover(const void *address, size_t size)
{
    size_t first = (uintptr_t)address >> HAK_WINDOW_SHIFT;
    size_t last = ((uintptr_t)address + size - 1) >> HAK_WINDOW_SHIFT;
    if (last >= WINDOWS)
        return false;
    for (size_t window = first; window <= last; window++) {
        if (has_bit(covered, window))
            continue;
        hak_os_lock(&map_lock);
        bool done = cover_window(window, false);
        hak_os_unlock(&map_lock);
        if (!done)
            return false;
    }
    return true;
}

uint32_t hak_map_find(const void *p)
{
    size_t window = (uintptr_t)p >> HAK_WINDOW_SHIFT;
    return window < WINDOWS && has_bit(covered, window) ? hak_map_get(p) : 0;
}

/* Readable windows of little use: under a limit that leaves little room they are not mapped to begin with. */
size_t hak_map_give_up(void)
{
    size_t bytes = 0;
    if (hak_os_space_limit() >= PLENTY)
        return 0;
    hak_os_lock(&map_lock);
    for (; readable[BESIDE].windows != 0; readable[BESIDE].first++, readable[BESIDE].windows--) {
        if (has_bit(covered, readable[BESIDE].first))
            continue;
        if (!hak_os_unmap(window_of(readable[BESIDE].first), WINDOW_BYTES))
            break; /* it stays readable: to be known when it is to be covered */
        bytes += WINDOW_BYTES;
    }
    hak_os_unlock(&map_lock);
    return bytes;
}

/* Unchecked: nobody else is at work yet. */
void hak_map_after_fork(void) HAK_LOCKS_UNCHECKED
{
    size_t window = atomic_load_explicit(&at_work, memory_order_relaxed);
    if (hak_os_lock_reset(&map_lock) && window != 0) /* a lost thread was at it */
        cover_window(window - 1, true);
}

void hak_map_each(uint32_t owner, void (*visit)(const void *slice, uint32_t owner))
{
    const uintptr_t slices = (uintptr_t)1 << (HAK_WINDOW_SHIFT - HAK_SLICE_SHIFT);
    for (uintptr_t window = 0; window < WINDOWS; window++) {
        for (uintptr_t i = 0; has_bit(covered, window) && i < slices; i++) {
            const void *slice = (const void *)((window * slices + i) << HAK_SLICE_SHIFT); /* NOLINT */
            uint32_t entry = hak_map_get(slice);
            if (hak_entry_in_slab(entry) && hak_entry_owner(entry) == owner)
                visit(slice, owner);
        }
    }
}

/* Maps the windows from `first` on for reading. False if there is something already, or no room. */
static bool make_readable(size_t range, size_t first, size_t windows)
{
    if (hak_os_map_at(window_of(first), windows * WINDOW_BYTES, false) == NULL)
        return false;
    readable[range].first = first;
    readable[range].windows = windows;
    return true;
}

/* Finds room for the window of the lowest addresses, and so for the map. */
static bool find_place(range_t range)
{
    for (unsigned i = 0; i < MAP_TRIES; i++) {
        uint64_t random;
        hak_os_random(&random, 1);
        uintptr_t at = range.first + (random % (range.last - range.first) & ~(PLACE - 1));
        hak_map = (_Atomic uint32_t *)at; /* NOLINT(performance-no-int-to-ptr) */
        if (make_readable(LOWEST, 0, 1))
            return true;
    }
    hak_map = nothing;
    return false;
}

/* The windows of the libraries, which may lie on both sides of a border, and, with plenty of address space, some on the side where
 * the system goes on: below, or, if the loader is the lowest of them (setarch -L), above. */
static void read_libraries(bool plenty)
{
    uintptr_t one = (uintptr_t)hak_os_libraries(), other = (uintptr_t)hak_os_libraries_end();
    size_t first = hak_min(one, other) >> HAK_WINDOW_SHIFT;
    size_t last = hak_max(one, other) >> HAK_WINDOW_SHIFT;
    size_t behind = last - first <= LIBRARY_WINDOWS ? last - first : 0;
    make_readable(LIBRARIES, first, 1 + behind);
    bool upwards = one > other;
    size_t beside = hak_min(LIBRARY_WINDOWS, first);
    if (plenty)
        make_readable(BESIDE, upwards ? first + 1 + behind : first - beside, beside);
}

HAK_COLD bool hak_map_init(void)
{
    bool sanitized = __tsan_init != NULL || __msan_init != NULL;
    if (!find_place(sanitized ? low : wide) && !find_place(sanitized ? wide : low))
        return false;
    bool plenty = hak_os_space_limit() >= PLENTY;
    /* Whatever fails here is there already, or is not needed to run. */
    read_libraries(plenty);
    make_readable(STACK, (uintptr_t)__builtin_frame_address(0) >> HAK_WINDOW_SHIFT, 1);
    make_readable(PROGRAM, (uintptr_t)hak_os_program() >> HAK_WINDOW_SHIFT, 1);
    /* The heap of brk, where libc's own malloc may have blocks, begins at most 1 GiB behind the program: perhaps in the next
     * window. */
    size_t brk = ((uintptr_t)hak_os_program_end() + ((size_t)1 << 30)) >> HAK_WINDOW_SHIFT;
    if (plenty && brk != (uintptr_t)hak_os_program() >> HAK_WINDOW_SHIFT)
        make_readable(BRK, brk, 1);
    return true;
}
