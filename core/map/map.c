/* map.c: sets the map up and covers parts of it. Any thread; `lock` guards `covered`. */
#include "map/map.h"

#include "os/os.h"

#define ENTRIES ((size_t)1 << (HAK_ADDRESS_BITS - HAK_SLICE_SHIFT))
#define MAP_BYTES (ENTRIES * sizeof(uint32_t))
#define WINDOW_SHIFT 32 /* covering goes by windows of 4 GiB of addresses: 256 KiB of map */
#define WINDOWS ((size_t)1 << (HAK_ADDRESS_BITS - WINDOW_SHIFT))
#define WINDOW_BYTES (MAP_BYTES / WINDOWS)

static _Atomic uint32_t nothing[4]; /* slices of the lowest addresses, of which the system maps none */
_Atomic uint32_t *hak_map = nothing;

static hak_os_lock_t lock;
static bool sparse; /* the map is a hole in which windows are mapped one by one */
static _Atomic uint64_t covered[WINDOWS / 64]; /* a bit for each window that is writable; set under the lock */
static uint64_t readable[WINDOWS / 64]; /* sparse only: windows mapped for reading; under the lock */

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
    if (bit(covered, window)) return true;
    bool mapped = !sparse || (readable[window / 64] >> (window % 64) & 1) != 0;
    bool done = mapped ? hak_os_make_writable(window_of(window), WINDOW_BYTES)
                       : hak_os_map_at(window_of(window), WINDOW_BYTES, true) != NULL;
    if (!done) return false;
    hak_os_huge_pages(window_of(window), WINDOW_BYTES, false); /* one entry must not cost 2 MiB */
    atomic_fetch_or_explicit(&covered[window / 64], (uint64_t)1 << (window % 64), memory_order_release);
    return true;
}

bool hak_map_cover(const void *address, size_t size)
{
    size_t first = (uintptr_t)address >> WINDOW_SHIFT;
    size_t last = ((uintptr_t)address + size - 1) >> WINDOW_SHIFT;
    for (size_t window = first; window <= last; window++) {
        if (bit(covered, window)) continue;
        hak_os_lock(&lock);
        bool done = cover_window(window);
        hak_os_unlock(&lock);
        if (!done) return false;
    }
    return true;
}

/* Sparse only, before there are threads. */
static void make_readable(uintptr_t address)
{
    size_t window = address >> WINDOW_SHIFT;
    size_t word = window / 64;
    uint64_t mask = (uint64_t)1 << (window % 64);
    if (window >= WINDOWS || (readable[word] & mask) != 0) return;
    if (hak_os_map_at(window_of(window), WINDOW_BYTES, false) != NULL) readable[word] |= mask;
}

static bool init_sparse(void)
{
    /* Candidates for the hole: far from where the system puts programs, libraries and stacks. */
    for (uintptr_t top = 0x20; top < 0x50; top++) {
        uintptr_t at = top << 40;
        hak_map = (_Atomic uint32_t *)at; /* NOLINT(performance-no-int-to-ptr) */
        make_readable(0);
        if ((readable[0] & 1) == 0) continue;
        sparse = true;
        uintptr_t library = (uintptr_t)&lock;
        make_readable((uintptr_t)__builtin_frame_address(0));
        make_readable((uintptr_t)hak_os_program());
        make_readable(library);
        make_readable(library - ((uintptr_t)1 << WINDOW_SHIFT));
        make_readable(library + ((uintptr_t)1 << WINDOW_SHIFT));
        return true;
    }
    hak_map = nothing;
    return false;
}

bool hak_map_init(void)
{
    void *map = hak_os_map_readonly(MAP_BYTES);
    if (map == NULL) return init_sparse();
    hak_map = map;
    return true;
}
