/* big.c: big blocks. Records, cache and sums are under `lock`; no system call is made while it is held. */
#include "mem/big.h"

#include "base/options.h"
#include "map/map.h"
#include "obs/trace.h"
#include "os/os.h"

#define RECORDS                                                                                              \
    (1u << 17) /* of big blocks at a time: 256 GiB at least, and more than the system has mappings */
#define CACHE_SLOTS 16u

typedef struct record {
    char *base;         /* first byte; NULL in a free record */
    size_t size;        /* bytes mapped */
    uint32_t next_free; /* index of the next free record; 0 ends the list */
    uint32_t cached_ms; /* when it went into the cache; the low bits of the clock */
} record_t;

static hak_os_lock_t lock;
static record_t *records; /* [0] is not used */
static uint32_t records_used, free_record;
static uint32_t cache[CACHE_SLOTS]; /* records, oldest first */
static uint32_t cached;             /* slots in use */
static hak_big_view_t totals;

static uint32_t index_of(uint32_t entry)
{
    return hak_entry_high(entry);
}

static uint32_t new_record_locked(void)
{
    uint32_t index = free_record;
    if (index != 0) {
        free_record = records[index].next_free;
        return index;
    }
    if (records == NULL && (records = hak_os_map(RECORDS * sizeof(record_t), HAK_OS_PAGE)) == NULL)
        return 0;
    return records_used + 1 < RECORDS ? ++records_used : 0;
}

static void drop_record_locked(uint32_t index)
{
    records[index] = (record_t){.next_free = free_record};
    free_record = index;
}

static void uncache_locked(uint32_t slot)
{
    totals.cached -= records[cache[slot]].size;
    cached--;
    for (uint32_t i = slot; i < cached; i++)
        cache[i] = cache[i + 1];
}

/* Takes mappings that have to go out of the cache: all that are due, until it holds no more than `budget` bytes.
 * Returns how many were written to `out`; the caller unmaps them without the lock. */
static uint32_t evict_locked(size_t budget, bool due, record_t out[CACHE_SLOTS])
{
    uint32_t n = 0;
    uint32_t now = due ? (uint32_t)hak_os_now_ms() : 0;
    while (cached != 0) {
        uint32_t index = cache[0];
        bool old = due && now - records[index].cached_ms >= hak_policy()->purge_delay_ms;
        if (totals.cached <= budget && cached < CACHE_SLOTS && !old)
            break;
        uncache_locked(0);
        out[n++] = records[index];
        drop_record_locked(index);
    }
    return n;
}

static void unmap_all(const record_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        hak_os_unmap(list[i].base, list[i].size);
}

/* The smallest cached block that fits without wasting more than an eighth; its record, or 0. */
static uint32_t find_cached_locked(size_t size, size_t align)
{
    uint32_t best = CACHE_SLOTS;
    for (uint32_t slot = 0; slot < cached; slot++) {
        const record_t *record = &records[cache[slot]];
        if (record->size < size || record->size - size > size / 8 ||
            ((uintptr_t)record->base & (align - 1)) != 0)
            continue;
        if (best == CACHE_SLOTS || record->size < records[cache[best]].size)
            best = slot;
    }
    if (best == CACHE_SLOTS)
        return 0;
    uint32_t index = cache[best];
    uncache_locked(best);
    return index;
}

static void *map_new(size_t size, size_t align)
{
    char *base = hak_os_map(size, align);
    if (base == NULL)
        return NULL;
    if (!hak_map_cover(base, HAK_SLICE)) {
        hak_os_unmap(base, size);
        return NULL;
    }
    if (hak_policy()->thp != HAK_THP_AUTO)
        hak_os_huge_pages(base, size, hak_policy()->thp == HAK_THP_ON);
    return base;
}

void *hak_big_take(size_t size, size_t align, bool *zero)
{
    size = hak_round_up(size, HAK_OS_PAGE);
    align = hak_max(align, HAK_SLICE);
    hak_os_lock(&lock);
    uint32_t index = HAK_BIGCACHE ? find_cached_locked(size, align) : 0;
    bool from_cache = index != 0;
    if (!from_cache)
        index = new_record_locked();
    hak_os_unlock(&lock);
    if (index == 0)
        return NULL;
    record_t *record = &records[index]; /* ours alone from here on */
    if (!from_cache)
        *record = (record_t){.base = map_new(size, align), .size = size};
    char *base = record->base;

    hak_os_lock(&lock);
    if (base == NULL) {
        drop_record_locked(index);
    } else {
        totals.live += record->size;
        totals.taken++;
        totals.from_cache += from_cache;
    }
    hak_os_unlock(&lock);
    if (base == NULL)
        return NULL;
    hak_map_set(base, hak_entry(index, HAK_ENTRY_BIG));
    hak_trace("big taken", base, record->size);
    *zero = !from_cache;
    return base;
}

bool hak_big_give(void *p, uint32_t entry)
{
    uint32_t index = index_of(entry);
    record_t *record = &records[index];
    if (record->base != p)
        return false;
    hak_map_set(p, 0);
    hak_trace("big given", p, record->size);
    size_t budget =
        HAK_BIGCACHE && !hak_policy()->disable_bigcache ? (size_t)hak_policy()->bigcache_mb << 20 : 0;
    record_t out[CACHE_SLOTS];
    hak_os_lock(&lock);
    totals.live -= record->size;
    record->cached_ms = (uint32_t)hak_os_now_ms();
    cache[cached++] = index;
    totals.cached += record->size;
    uint32_t n = evict_locked(budget, true, out);
    hak_os_unlock(&lock);
    unmap_all(out, n);
    return true;
}

size_t hak_big_size(uint32_t entry)
{
    return records[index_of(entry)].size;
}

void *hak_big_resize(void *p, uint32_t entry, size_t size)
{
    uint32_t index = index_of(entry);
    record_t *record = &records[index];
    size_t before = record->size;
    size = hak_round_up(size, HAK_OS_PAGE);
    char *base = p;
    if (size == before)
        return p;
    if (!hak_os_resize(base, before, size)) {
        base = map_new(size, HAK_SLICE);
        if (base == NULL)
            return NULL;
        if (!hak_os_move(p, before, base, size)) {
            hak_os_unmap(base, size);
            return NULL;
        }
        hak_map_set(p, 0);
    }
    record->base = base;
    record->size = size;
    hak_map_set(base, entry);
    hak_os_lock(&lock);
    totals.live += size - before;
    hak_os_unlock(&lock);
    return base;
}

size_t hak_big_trim(void)
{
    record_t out[CACHE_SLOTS];
    hak_os_lock(&lock);
    size_t bytes = totals.cached;
    uint32_t n = 0;
    while (cached != 0) {
        uint32_t index = cache[0];
        uncache_locked(0);
        out[n++] = records[index];
        drop_record_locked(index);
    }
    hak_os_unlock(&lock);
    unmap_all(out, n);
    return bytes;
}

void hak_big_after_fork(void)
{
    if (!hak_os_lock_reset(&lock))
        return;
    /* Another thread was moving records about: forget the cache and the free records rather than trust them. */
    cached = 0;
    totals.cached = 0;
    free_record = 0;
}

hak_big_view_t hak_big_view(void)
{
    hak_os_lock(&lock);
    hak_big_view_t view = totals;
    hak_os_unlock(&lock);
    return view;
}
