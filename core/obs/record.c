/* SPDX-License-Identifier: MIT */
/* record.c: see record.h. All state is under one lock, but for what a thread knows of itself and the count of lost calls. */
#include "obs/record.h"

#include "base/options.h"
#include "obs/blocks.h"
#include "obs/sink.h"
#include "obs/sites.h"
#include "os/os.h"

#include <string.h>

/* A thread's number in the file of the process `generation`; 0 when it has none yet. */
typedef struct self {
    uint32_t number;
    uint32_t generation;
    bool ended; /* it was told of its end: what it still does is nobody's */
    bool busy;  /* in a realloc: what that frees is part of it */
} self_t;

static _Thread_local self_t self;

static hak_os_lock_t record_lock = HAK_OS_LOCK(RECORD);
static hak_sink_t sink HAK_GUARDED_BY(record_lock);
static hak_blocks_t blocks HAK_GUARDED_BY(record_lock);
static hak_sites_t sites HAK_GUARDED_BY(record_lock);
/* Written to this file. */
static uint64_t events HAK_GUARDED_BY(record_lock);
/* Calls of signal handlers; relaxed: a figure. */
static _Atomic uint64_t lost;
/* Numbers given to threads. */
static uint32_t threads HAK_GUARDED_BY(record_lock);
/* The thread whose events are being written. */
static uint32_t current HAK_GUARDED_BY(record_lock);
/* The file is the parent's. */
static bool forked HAK_GUARDED_BY(record_lock);
/* The parent was at the table when it forked. */
static bool broken HAK_GUARDED_BY(record_lock);

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void put_byte(unsigned value) HAK_REQUIRES(record_lock)
{
    sink.bytes[sink.used++] = (unsigned char)value;
}

/* Seven bits a byte, the lowest first; the highest bit says that more follow. */
static void put_number(uint64_t value) HAK_REQUIRES(record_lock)
{
    for (; value >= 128; value >>= 7)
        put_byte((unsigned)(value & 127) | 128);
    put_byte((unsigned)value);
}

static void stop_recording(hak_sink_end_t end) HAK_REQUIRES(record_lock)
{
    hak_sink_finish(&sink, end, events, atomic_load_explicit(&lost, memory_order_relaxed));
    hak_blocks_clear(&blocks);
    hak_sites_clear(&sites);
    /* calls then go the way that they go without a recording; the frees of threads that have begun keep the slow one */
    __atomic_store_n(&hak_watch_calls, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&hak_watch, hak_options()->size_hist, __ATOMIC_RELAXED);
}

/* Begins an event, if there is room; else the recording is over. */
static bool begin_event(hak_record_kind_t kind) HAK_REQUIRES(record_lock)
{
    if (!sink.open)
        return false;
    if (!hak_sink_make_room(&sink, events, atomic_load_explicit(&lost, memory_order_relaxed))) {
        stop_recording(HAK_SINK_FULL);
        return false;
    }
    put_byte(kind);
    events++;
    return true;
}

/* --- the process and its threads ---------------------------------------------------------------------------------- */

static void put_born(const hak_blocks_entry_t *entry) HAK_REQUIRES(record_lock)
{
    if (!begin_event(HAK_RECORD_BORN))
        return;
    put_number(entry->size);
    put_number(entry->align);
}

/* The parent's blocks get numbers of their own, in the order of their places. */
static void put_snapshot(void) HAK_REQUIRES(record_lock)
{
    blocks.fresh = 0;
    blocks.released_count = 0;
    for (size_t i = 0; i < blocks.capacity && sink.open; i++) {
        if (blocks.places[i].address == 0)
            continue;
        blocks.places[i].number = blocks.fresh++;
        put_born(&blocks.places[i]);
    }
}

/* A forked child's first call. */
static void begin_child(void) HAK_REQUIRES(record_lock)
{
    forked = false;
    events = 0;
    threads = current = 0;
    atomic_store_explicit(&lost, 0, memory_order_relaxed);
    hak_sites_clear(&sites);
    if (broken)
        blocks = (hak_blocks_t){.places = NULL}; /* its memory is left alone: it may be in any state */
    if (!hak_sink_begin_in_child(&sink, HAK_SINK_CHILD | (broken ? HAK_SINK_UNKNOWN : 0)))
        stop_recording(HAK_SINK_FULL);
    else
        put_snapshot();
}

static void mind_thread(void) HAK_REQUIRES(record_lock)
{
    uint32_t generation = hak_os_generation();
    if (!self.ended && (self.number == 0 || self.generation != generation)) {
        self.number = ++threads;
        self.generation = generation;
        current = self.number;
        begin_event(HAK_RECORD_BEGIN);
    }
    uint32_t number = self.ended ? 0 : self.number;
    if (number != current && begin_event(HAK_RECORD_THREAD)) {
        put_number(number);
        current = number;
    }
}

/* Whether events can be written, by the calling thread. */
static bool can_record(void) HAK_REQUIRES(record_lock)
{
    if (forked)
        begin_child();
    if (sink.open && hak_blocks_prepare(&blocks))
        mind_thread();
    else if (sink.open)
        stop_recording(HAK_SINK_MEMORY);
    return sink.open;
}

/* True: the caller may write events, and holds the lock. */
static bool enter_record(void) HAK_TRIES(record_lock)
{
    if (hak_os_lock_is_mine(&record_lock)) { /* a signal handler in the middle of this */
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
        return false;
    }
    hak_os_lock(&record_lock);
    if (can_record())
        return true;
    hak_os_unlock(&record_lock);
    return false;
}

/* Unchecked: there is one thread yet. */
void hak_record_start(void) HAK_LOCKS_UNCHECKED
{
    hak_watch = HAK_HISTOGRAM && hak_options()->size_hist;
    hak_watch_frees = !HAK_HARDEN && hak_options()->safe_free;
    const char *name = HAK_RECORD ? hak_options()->trace : NULL;
    if (name == NULL || *name == 0)
        return;
    if (!hak_sink_begin(&sink, name, (uint64_t)hak_options()->trace_mb << 20))
        return;
    hak_watch = hak_watch_calls = hak_watch_frees = true;
}

/* Unchecked: nobody else is at work yet. */
void hak_record_after_fork(void) HAK_LOCKS_UNCHECKED
{
    if (!hak_record_is_on())
        return;
    broken |= hak_os_lock_reset(&record_lock);
    forked = true;
}

void hak_record_finish(void)
{
    if (!hak_record_is_on() || hak_os_lock_is_mine(&record_lock))
        return;
    hak_os_lock(&record_lock);
    if (!forked)
        stop_recording(HAK_SINK_ENDED);
    hak_os_unlock(&record_lock);
}

void hak_record_thread_ends(void)
{
    if (!hak_record_is_on() || self.number == 0 || self.generation != hak_os_generation())
        return;
    if (!enter_record())
        return;
    begin_event(HAK_RECORD_END);
    self.ended = true;
    current = 0;
    hak_os_unlock(&record_lock);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void put_object(const hak_os_object_t *mapping) HAK_REQUIRES(record_lock)
{
    size_t length = strlen(mapping->path);
    if (!begin_event(HAK_RECORD_OBJECT))
        return;
    put_number(length);
    memcpy(sink.bytes + sink.used, mapping->path, length);
    sink.used += length;
}

/* The number of the place, which is written before the event that names it. */
static uint32_t site_number(const void *address) HAK_REQUIRES(record_lock)
{
    hak_sites_news_t news;
    uint32_t number = hak_sites_number(&sites, address, &news);
    if (news.site && news.named)
        put_object(&news.mapping);
    if (news.site && begin_event(HAK_RECORD_SITE)) {
        put_number(news.object);
        put_number(news.offset);
    }
    return number;
}

static void put_free(const hak_blocks_entry_t *entry) HAK_REQUIRES(record_lock)
{
    if (begin_event(HAK_RECORD_FREE)) {
        put_number(entry->number);
        hak_blocks_release(&blocks, entry->number);
    }
}

/* A block that a handler freed unseen is still there when its address comes again. */
static void forget_stale(uintptr_t address) HAK_REQUIRES(record_lock)
{
    hak_blocks_entry_t stale;
    if (hak_blocks_take(&blocks, address, &stale))
        put_free(&stale);
}

static void enter_block(hak_record_kind_t kind, uintptr_t address, hak_blocks_entry_t entry, const void *site)
    HAK_REQUIRES(record_lock)
{
    forget_stale(address);
    uint32_t place = site_number(site);
    if (!begin_event(kind))
        return;
    put_number(place);
    put_number(entry.size);
    if (kind == HAK_RECORD_ALIGNED)
        put_number(entry.align);
    entry.address = address;
    entry.number = hak_blocks_number(&blocks);
    hak_blocks_put(&blocks, entry);
}

void hak_record_take(hak_record_kind_t kind, const void *p, size_t size, unsigned align, const void *site)
{
    if (p == NULL)
        return;
    if (!enter_record())
        return;
    enter_block(kind, (uintptr_t)p, (hak_blocks_entry_t){.size = size, .align = align}, site);
    hak_os_unlock(&record_lock);
}

void hak_record_free(const void *p)
{
    hak_blocks_entry_t entry;
    if (!hak_record_is_on() || self.busy)
        return;
    if (!enter_record())
        return;
    if (hak_blocks_take(&blocks, (uintptr_t)p, &entry))
        put_free(&entry);
    hak_os_unlock(&record_lock);
}

hak_record_held_t hak_record_hold(const void *p)
{
    hak_blocks_entry_t entry;
    hak_record_held_t held = {.known = false};
    self.busy = true;
    if (!enter_record())
        return held;
    if (hak_blocks_take(&blocks, (uintptr_t)p, &entry))
        held = (hak_record_held_t){entry.size, entry.number, entry.align, true};
    hak_os_unlock(&record_lock);
    return held;
}

static void enter_resized(hak_record_held_t held, uintptr_t address, size_t size, const void *site)
    HAK_REQUIRES(record_lock)
{
    forget_stale(address);
    uint32_t place = site_number(site);
    if (!begin_event(HAK_RECORD_REALLOC))
        return;
    put_number(place);
    put_number(size);
    put_number(held.number);
    hak_blocks_put(&blocks, (hak_blocks_entry_t){address, size, held.number, held.align});
}

void hak_record_resized(hak_record_held_t held, const void *before, const void *p, size_t size,
                        const void *site)
{
    self.busy = false;
    if (p == NULL && !held.known)
        return;
    if (!enter_record())
        return;
    hak_blocks_entry_t entry = {
        .address = (uintptr_t)before, .size = held.size, .number = held.number, .align = held.align};
    if (p == NULL)
        hak_blocks_put(&blocks, entry);
    else if (held.known)
        enter_resized(held, (uintptr_t)p, size, site);
    else
        enter_block(HAK_RECORD_MALLOC, (uintptr_t)p, (hak_blocks_entry_t){.size = size}, site);
    hak_os_unlock(&record_lock);
}
