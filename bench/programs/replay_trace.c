/* SPDX-License-Identifier: MIT */
/* The reader of traces. Every byte is doubted: a length, a number or a reference that does not fit ends the reading. */
#include "replay.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        "HAKTRACE"
#define VERSION      1u
#define HEADER       64u /* bytes before the strings */
#define SIZE_MOST    ((uint64_t)1 << 46)
#define ALIGN_MOST   46u
#define THREADS_MOST 4096u /* at the same time */
#define END_CUT      0u
#define ENDS         5u

void *trace_memory(size_t bytes)
{
    void *p =
        mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        bench_fail("the system has no %zu bytes for the tables", bytes);
    return p;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static bool get_number(cursor_t *cursor, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (cursor->at == cursor->trace->size)
            return false;
        const uint8_t byte = cursor->trace->bytes[cursor->at++];
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool get_below(cursor_t *cursor, uint64_t limit, uint64_t *value)
{
    return get_number(cursor, value) && *value < limit;
}

static uint64_t fixed(const uint8_t *bytes, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static bool get_size(cursor_t *cursor, event_t *event)
{
    return get_below(cursor, SIZE_MOST + 1, &event->size);
}

static bool get_align(cursor_t *cursor, event_t *event)
{
    uint64_t align;
    const bool fits = get_below(cursor, ALIGN_MOST + 1, &align);
    event->align = (uint8_t)align;
    return fits;
}

static bool get_site(cursor_t *cursor, event_t *event)
{
    uint64_t site;
    const bool fits = get_below(cursor, cursor->sites + 1u, &site);
    event->site = (uint32_t)site;
    return fits;
}

static bool get_live_block(cursor_t *cursor, event_t *event)
{
    uint64_t number;
    if (!get_below(cursor, cursor->fresh, &number))
        return false;
    event->block = (uint32_t)number;
    return cursor->trace->blocks[number].live;
}

static bool get_new_block(cursor_t *cursor, event_t *event)
{
    event->block = cursor->released_count != 0 ? cursor->released[--cursor->released_count] : cursor->fresh++;
    cursor->trace->blocks[event->block].live = true;
    return true;
}

static bool get_freed_block(cursor_t *cursor, event_t *event)
{
    if (!get_live_block(cursor, event))
        return false;
    cursor->trace->blocks[event->block].live = false;
    cursor->released[cursor->released_count++] = event->block;
    return true;
}

static bool get_object(cursor_t *cursor, event_t *event)
{
    uint64_t length;
    if (!get_number(cursor, &length) || length > cursor->trace->size - cursor->at)
        return false;
    event->block = (uint32_t)length;
    event->size = cursor->at;
    cursor->at += length;
    cursor->objects++;
    return true;
}

static bool get_place(cursor_t *cursor, event_t *event)
{
    uint64_t object;
    if (!get_below(cursor, cursor->objects + 1u, &object) || !get_number(cursor, &event->size))
        return false;
    event->block = (uint32_t)object;
    cursor->sites++;
    return true;
}

static bool switch_thread(cursor_t *cursor)
{
    uint64_t thread;
    if (!get_below(cursor, cursor->threads + 1u, &thread) || cursor->ended[thread])
        return false;
    cursor->thread = (uint32_t)thread;
    return true;
}

static bool end_thread(cursor_t *cursor)
{
    if (cursor->thread == 0)
        return false;
    cursor->ended[cursor->thread] = true;
    cursor->thread = 0;
    return true;
}

static bool get_rest(cursor_t *cursor, event_t *event)
{
    switch (event->kind) {
    case TRACE_THREAD: return switch_thread(cursor);
    case TRACE_BEGIN: event->thread = cursor->thread = ++cursor->threads; return true;
    case TRACE_END: return end_thread(cursor);
    case TRACE_OBJECT: return get_object(cursor, event);
    case TRACE_SITE: return get_place(cursor, event);
    case TRACE_MALLOC:
    case TRACE_CALLOC:
        return get_site(cursor, event) && get_size(cursor, event) && get_new_block(cursor, event);
    case TRACE_ALIGNED:
        return get_site(cursor, event) && get_size(cursor, event) && get_align(cursor, event) &&
               get_new_block(cursor, event);
    case TRACE_REALLOC:
        return get_site(cursor, event) && get_size(cursor, event) && get_live_block(cursor, event);
    case TRACE_FREE: return get_freed_block(cursor, event);
    case TRACE_BORN:
        return get_size(cursor, event) && get_align(cursor, event) && get_new_block(cursor, event);
    default: return false;
    }
}

int trace_next(cursor_t *cursor, event_t *event)
{
    const size_t before = cursor->at;
    if (before == cursor->trace->size)
        return 0;
    *event = (event_t){.kind = cursor->trace->bytes[cursor->at++], .thread = cursor->thread};
    if (get_rest(cursor, event))
        return 1;
    /* what was not written to its end is no event; only a trace that is cut may have it */
    const bool whole = cursor->at < cursor->trace->size || !cursor->trace->cut;
    cursor->at = before;
    return whole ? -1 : 0;
}

void trace_rewind(const trace_t *trace, cursor_t *cursor)
{
    uint32_t *released = cursor->released;
    uint8_t *ended = cursor->ended;
    *cursor = (cursor_t){.trace = trace, .at = trace->first, .released = released, .ended = ended};
    memset(ended, 0, trace->threads + 1u);
    for (uint32_t i = 0; i < trace->blocks_at_once; i++)
        trace->blocks[i] = (block_t){.live = false};
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* A string of the header, cut to `room`. Returns where the next one is; 0 if it does not fit. */
static size_t header_string(const trace_t *trace, size_t at, size_t end, char *out, size_t room)
{
    if (at == 0 || at + 2 > end)
        return 0;
    const size_t length = (size_t)fixed(trace->bytes + at, 2);
    if (length > end - at - 2)
        return 0;
    const size_t kept = length < room - 1 ? length : room - 1;
    memcpy(out, trace->bytes + at + 2, kept);
    out[kept] = 0;
    for (size_t i = 0; i < kept; i++) /* it is printed into JSON */
        if (out[i] < ' ' || out[i] > '~' || out[i] == '"' || out[i] == '\\')
            out[i] = '?';
    return at + 2 + length;
}

static void read_header(trace_t *trace)
{
    char id[65];
    if (trace->size < HEADER || memcmp(trace->bytes, MAGIC, 8) != 0)
        bench_usage_error("%s is no trace of hakmem: it does not begin as one", trace->path);
    const uint64_t version = fixed(trace->bytes + 8, 4), length = fixed(trace->bytes + 12, 4);
    if (version != VERSION) {
        bench_usage_error("%s has version %llu of the format; this program reads version %u", trace->path,
                          (unsigned long long)version, VERSION);
    }
    if (length < HEADER || length > trace->size)
        bench_usage_error("%s is cut within its header", trace->path);
    trace->first = (size_t)length;
    trace->flags = (uint32_t)fixed(trace->bytes + 16, 4);
    trace->end = (uint32_t)fixed(trace->bytes + 20, 4);
    trace->cut = trace->end == END_CUT;
    const uint64_t bytes = fixed(trace->bytes + 24, 8);
    size_t at = header_string(trace, HEADER, trace->first, trace->program, sizeof trace->program);
    at = header_string(trace, at, trace->first, id, sizeof id);
    at = header_string(trace, at, trace->first, trace->library, sizeof trace->library);
    at = header_string(trace, at, trace->first, id, sizeof id);
    if (at != 0 && trace->end < ENDS && !trace->cut && bytes > trace->size)
        bench_usage_error("%s was cut: %llu of its %llu bytes are left, copy it whole", trace->path,
                          (unsigned long long)trace->size, (unsigned long long)bytes);
    if (at == 0 || trace->end >= ENDS || (!trace->cut && bytes < length))
        bench_usage_error("%s is damaged: its header contradicts itself", trace->path);
    if (!trace->cut)
        trace->size = (size_t)bytes;
}

static void map_file(trace_t *trace, const char *path)
{
    struct stat info;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &info) != 0)
        bench_usage_error("%s cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode) || info.st_size == 0) {
        bench_usage_error("%s is no trace of hakmem: %s", path,
                          S_ISREG(info.st_mode) ? "it is empty" : "it is no file");
    }
    trace->path = path;
    trace->size = (size_t)info.st_size;
    /* read and not mapped: whoever cuts the file meanwhile does no harm */
    uint8_t *bytes = trace_memory(trace->size);
    for (size_t at = 0; at < trace->size;) {
        const ssize_t n = read(file, bytes + at, trace->size - at);
        if (n < 0)
            bench_usage_error("%s cannot be read: %s", path, strerror(errno));
        if (n == 0)
            trace->size = at;
        at += (size_t)n;
    }
    close(file);
    trace->bytes = bytes;
}

static void count(trace_t *trace, const event_t *event, uint64_t *live)
{
    block_t *block = &trace->blocks[event->block];
    if (event->kind == TRACE_FREE) {
        trace->frees++;
        trace->remote_frees += block->thread != event->thread;
        *live -= block->size;
        return;
    }
    if (event->kind == TRACE_REALLOC)
        *live -= block->size;
    else
        block->thread = event->thread;
    trace->allocations += event->kind != TRACE_BORN;
    trace->total_bytes += event->size;
    block->size = event->size;
    *live += event->size;
    trace->peak_live = *live > trace->peak_live ? *live : trace->peak_live;
}

static void count_thread(trace_t *trace, const event_t *event, uint32_t *running)
{
    *running += event->kind == TRACE_BEGIN;
    *running -= event->kind == TRACE_END;
    if (*running > THREADS_MOST)
        bench_usage_error("%s has more than %u threads at the same time", trace->path, THREADS_MOST);
    trace->threads_at_once = *running > trace->threads_at_once ? *running : trace->threads_at_once;
}

void trace_open(trace_t *trace, const char *path)
{
    map_file(trace, path);
    read_header(trace);
    const size_t events_most = trace->size - trace->first;
    trace->blocks = trace_memory((events_most / 3 + 1) * sizeof *trace->blocks);
    cursor_t cursor = {.trace = trace,
                       .at = trace->first,
                       .released = trace_memory((events_most / 2 + 1) * sizeof(uint32_t)),
                       .ended = trace_memory(events_most + 1)};
    event_t event;
    uint64_t live = 0;
    uint32_t running = 0;
    int more;
    while ((more = trace_next(&cursor, &event)) > 0) {
        trace->events++;
        if (trace_gives(event.kind) || event.kind == TRACE_REALLOC || event.kind == TRACE_FREE)
            count(trace, &event, &live);
        else if (event.kind == TRACE_BEGIN || event.kind == TRACE_END)
            count_thread(trace, &event, &running);
    }
    if (more < 0)
        bench_usage_error("%s is damaged: what stands at byte %zu is no event", path, cursor.at);
    trace->threads = cursor.threads;
    trace->blocks_at_once = cursor.fresh;
    trace->sites = cursor.sites;
    trace->objects = cursor.objects;
}
