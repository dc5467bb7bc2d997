/* big.c: big blocks. Records, cache and sums are under `lock`; no memory is mapped or unmapped while it is held. */
#include "mem/big.h"

#include "base/options.h"
#include "map/map.h"
#include "mem/chunk.h"
#include "obs/trace.h"
#include "os/os.h"

#define RECORDS                                                                                              \
    (1u << 17) /* of big blocks at a time: 256 GiB at least, and more than the system has mappings */
#define CACHE_RANGES 64u
#define CACHE_PER_LIVE                                                                                       \
    5u /* bytes cached for a byte in use: blocks of 5 to 25 MiB then take a fifth of the time, by 2 half */
#define UNIT                                                                                                 \
    ((size_t)64                                                                                              \
     << 10) /* bytes: sizes and addresses are multiples, so that what is cut from a range fits others */

/* Freed address space that is still mapped. Ranges are cut and joined as blocks come and go: mappings need not be
 * returned to the system as they were taken from it. */
typedef struct range {
    char *base;
    size_t size;
    uint32_t since_ms; /* when the youngest part of it was freed; the low bits of the clock */
} range_t;

static hak_os_lock_t lock;
hak_big_t *hak_bigs;
static uint32_t records_used, free_record;
static range_t cache[CACHE_RANGES];
static uint32_t cached; /* ranges in use */
static hak_big_view_t totals;

static uint32_t new_record_locked(void)
{
    uint32_t index = free_record;
    if (index != 0) {
        free_record = hak_bigs[index].next_free;
        return index;
    }
    if (hak_bigs == NULL && (hak_bigs = hak_os_map(RECORDS * sizeof(hak_big_t), HAK_OS_PAGE)) == NULL)
        return 0;
    return records_used + 1 < RECORDS ? ++records_used : 0;
}

static void drop_record_locked(uint32_t index)
{
    hak_bigs[index] = (hak_big_t){.next_free = free_record};
    free_record = index;
}

static range_t uncache_locked(uint32_t slot)
{
    range_t range = cache[slot];
    totals.cached -= range.size;
    cache[slot] = cache[--cached];
    return range;
}

/* Joins the range with cached neighbours. The cache has a free slot. */
static void cache_locked(range_t range)
{
    for (uint32_t slot = 0; slot < cached;) {
        char *end = cache[slot].base + cache[slot].size;
        if (end != range.base && range.base + range.size != cache[slot].base) {
            slot++;
            continue;
        }
        range_t neighbour = uncache_locked(slot);
        range.base = neighbour.base < range.base ? neighbour.base : range.base;
        range.size += neighbour.size;
        slot = 0;
    }
    cache[cached++] = range;
    totals.cached += range.size;
}

/* Takes ranges out of the cache: all that are older than the policy's delay, and the oldest ones until no more than
 * `budget` bytes and all but one slot are used. Returns how many were written to `out`; the caller unmaps them without
 * the lock. */
static uint32_t evict_locked(size_t budget, range_t out[CACHE_RANGES])
{
    uint32_t n = 0;
    uint32_t now = (uint32_t)hak_os_now_ms();
    for (;;) {
        uint32_t oldest = 0;
        for (uint32_t slot = 1; slot < cached; slot++)
            if (now - cache[slot].since_ms > now - cache[oldest].since_ms)
                oldest = slot;
        bool due = cached != 0 && now - cache[oldest].since_ms >= hak_policy()->purge_delay_ms;
        if (cached == 0 || (totals.cached <= budget && cached < CACHE_RANGES && !due))
            return n;
        out[n++] = uncache_locked(oldest);
    }
}

static void unmap_all(const range_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        hak_os_unmap(list[i].base, list[i].size);
}

/* Cuts `size` bytes out of the smallest cached range that has them; NULL if there is none. A rest of less than a unit
 * stays with the block: *size grows by it. */
static char *take_cached_locked(size_t *size, size_t align)
{
    uint32_t best = CACHE_RANGES;
    for (uint32_t slot = 0; slot < cached; slot++) {
        const range_t *range = &cache[slot];
        if (range->size >= *size && ((uintptr_t)range->base & (align - 1)) == 0 &&
            (best == CACHE_RANGES || range->size < cache[best].size))
            best = slot;
    }
    if (best == CACHE_RANGES)
        return NULL;
    range_t range = uncache_locked(best);
    size_t cut = hak_round_up(*size, UNIT);
    if (range.size <= cut) {
        *size = range.size;
        return range.base;
    }
    *size = cut;
    cache_locked((range_t){.base = range.base + cut, .size = range.size - cut, .since_ms = range.since_ms});
    return range.base;
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
    /* Whole units, though the last pages may never be touched: the system then puts one mapping right below the other,
     * so that neighbours can be joined, and none has to be aligned by cutting. */
    size = hak_round_up(size, UNIT);
    align = hak_max(align, UNIT);
    hak_os_lock(&lock);
    uint32_t index = new_record_locked();
    char *base = HAK_BIGCACHE && index != 0 ? take_cached_locked(&size, align) : NULL;
    totals.from_cache += base != NULL;
    hak_os_unlock(&lock);
    if (index == 0)
        return NULL;
    *zero = base == NULL;
    if (base == NULL)
        base = map_new(size, align);

    hak_os_lock(&lock);
    if (base == NULL) {
        drop_record_locked(index);
    } else {
        hak_bigs[index] = (hak_big_t){.base = base, .size = size};
        totals.live += size;
        totals.blocks++;
        totals.taken++;
    }
    hak_os_unlock(&lock);
    if (base == NULL)
        return NULL;
    hak_map_set(base, hak_entry(index, HAK_ENTRY_BIG));
    hak_trace("big taken", base, size);
    return base;
}

void hak_big_give(void *p, uint32_t entry)
{
    uint32_t index = hak_entry_high(entry);
    hak_big_t record = hak_bigs[index];
    hak_map_set(p, 0);
    hak_trace("big given", p, record.size);
    bool caching = HAK_BIGCACHE && !hak_policy()->disable_bigcache && !hak_pool_scarce();
    range_t out[CACHE_RANGES];
    uint32_t n = 0;
    hak_os_lock(&lock);
    drop_record_locked(index);
    totals.live -= record.size;
    totals.blocks--;
    size_t least = (size_t)hak_policy()->bigcache_mb << 20;
    size_t budget = caching ? hak_max(least, CACHE_PER_LIVE * totals.live) : 0;
    if (record.size <= budget) {
        cache_locked(
            (range_t){.base = record.base, .size = record.size, .since_ms = (uint32_t)hak_os_now_ms()});
        n = evict_locked(budget, out);
    } else {
        out[n++] = (range_t){.base = record.base, .size = record.size};
    }
    hak_os_unlock(&lock);
    unmap_all(out, n);
}

void *hak_big_resize(void *p, uint32_t entry, size_t size)
{
    uint32_t index = hak_entry_high(entry);
    hak_big_t *record = &hak_bigs[index];
    size_t before = record->size;
    size = hak_round_up(size, UNIT);
    char *base = p;
    if (size == before)
        return p;
    if (!hak_os_resize(base, before, size)) {
        base = map_new(size, UNIT);
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

void hak_big_expire(void)
{
    range_t out[CACHE_RANGES];
    hak_os_lock(&lock);
    uint32_t n = cached != 0 ? evict_locked(SIZE_MAX, out) : 0;
    hak_os_unlock(&lock);
    unmap_all(out, n);
}

size_t hak_big_trim(void)
{
    range_t out[CACHE_RANGES];
    hak_os_lock(&lock);
    size_t bytes = totals.cached;
    uint32_t n = 0;
    while (cached != 0)
        out[n++] = uncache_locked(0);
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
