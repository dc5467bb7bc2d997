/* map.c: sets the map up and covers windows of it. Any thread; `lock` guards `covered`. */
#include "map/map.h"

#include "os/os.h"

#define MAP_BYTES       (((size_t)1 << (HAK_ADDRESS_BITS - HAK_SLICE_SHIFT)) * sizeof(uint32_t))
#define WINDOW_SHIFT    32 /* covering goes by windows of 4 GiB of addresses: 1 MiB of map */
#define WINDOWS         ((size_t)1 << (HAK_ADDRESS_BITS - WINDOW_SHIFT))
#define WINDOW_BYTES    (MAP_BYTES / WINDOWS)
#define LIBRARY_WINDOWS ((size_t)16) /* readable below the libraries, where the system puts mappings */

/* Where to look for a hole: far from programs, libraries and stacks. ThreadSanitizer lets a program use little else
 * than the first TiB. */
#if HAK_THREAD_SANITIZER
#define HOLE_FIRST ((uintptr_t)0x40 << 32)
#define HOLE_STEP  ((uintptr_t)4 << 32)
#else
#define HOLE_FIRST ((uintptr_t)0x20 << 40)
#define HOLE_STEP  ((uintptr_t)1 << 40)
#endif
#define HOLES ((size_t)32)

static _Atomic uint32_t nothing[4]; /* slices of the lowest addresses, of which the system maps none */
_Atomic uint32_t *hak_map = nothing;

static hak_os_lock_t lock;
static _Atomic uint64_t
    covered[WINDOWS / 64]; /* a bit for each window that is writable; set under the lock */

static bool bit(const _Atomic uint64_t *set, size_t i)
{
    /* acquire: pairs with the release in cover_window, so that the window is writable for whoever sees the bit */
    return (atomic_load_explicit(&set[i / 64], memory_order_acquire) >> (i % 64) & 1) != 0;
}

static char *window_of(size_t window)
{
    return (char *)hak_map + window * WINDOW_BYTES;
}

/* Under the lock. */
static bool cover_window(size_t window)
{
    if (bit(covered, window))
        return true;
    /* It is there for reading already, or not at all. */
    if (!hak_os_make_writable(window_of(window), WINDOW_BYTES) &&
        hak_os_map_at(window_of(window), WINDOW_BYTES, true) == NULL)
        return false;
    hak_os_huge_pages(window_of(window), WINDOW_BYTES, false); /* one entry must not cost 2 MiB */
    atomic_fetch_or_explicit(&covered[window / 64], (uint64_t)1 << (window % 64), memory_order_release);
    return true;
}

bool hak_map_cover(const void *address, size_t size)
{
    size_t first = (uintptr_t)address >> WINDOW_SHIFT;
    size_t last = ((uintptr_t)address + size - 1) >> WINDOW_SHIFT;
    for (size_t window = first; window <= last; window++) {
        if (bit(covered, window))
            continue;
        hak_os_lock(&lock);
        bool done = cover_window(window);
        hak_os_unlock(&lock);
        if (!done)
            return false;
    }
    return true;
}

uint32_t hak_map_find(const void *p)
{
    size_t window = (uintptr_t)p >> WINDOW_SHIFT;
    return window < WINDOWS && bit(covered, window) ? hak_map_get(p) : 0;
}

void hak_map_after_fork(void)
{
    /* Whatever a lost thread was covering is covered again by whoever needs it: doing so twice does no harm. */
    hak_os_lock_reset(&lock);
}

/* Maps the windows from `first` on for reading. False if there is something already, or no room. */
static bool make_readable(size_t first, size_t windows)
{
    return hak_os_map_at(window_of(first), windows * WINDOW_BYTES, false) != NULL;
}

/* The heap of brk, where libc's own malloc may have blocks, begins at most 1 GiB behind the program: perhaps in the next
 * window. */
static void make_readable_brk(void)
{
    size_t last = ((uintptr_t)hak_os_program_end() + ((size_t)1 << 30)) >> WINDOW_SHIFT;
    if (last != (uintptr_t)hak_os_program() >> WINDOW_SHIFT)
        make_readable(last, 1);
}

bool hak_map_init(void)
{
    size_t library = (uintptr_t)hak_os_libraries() >> WINDOW_SHIFT;
    size_t below = hak_min(LIBRARY_WINDOWS, library);
    for (size_t i = 0; i < HOLES; i++) {
        uintptr_t at = HOLE_FIRST + i * HOLE_STEP;
        hak_map = (_Atomic uint32_t *)at; /* NOLINT(performance-no-int-to-ptr) */
        if (!make_readable(0, 1))
            continue;
        /* Whatever fails here is there already, or is not needed to run. */
        make_readable(library - below, below + 1);
        make_readable((uintptr_t)__builtin_frame_address(0) >> WINDOW_SHIFT, 1);
        make_readable((uintptr_t)hak_os_program() >> WINDOW_SHIFT, 1);
        make_readable_brk();
        return true;
    }
    hak_map = nothing;
    return false;
}
