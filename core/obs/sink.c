/* SPDX-License-Identifier: MIT */
/* sink.c: see sink.h. No state.
 *
 * A file is in use while the process that its header names lives, as the program that began it. Whoever begins a file holds its
 * lock (flock) from the look at the header until its own is written; nobody holds it after that. */
#include "obs/sink.h"

#include "base/message.h"
#include "hakmem.h"
#include "os/fork.h"
#include "os/os.h"

#include <elf.h>
#include <string.h>

#define MAGIC      "HAKTRACE"
#define VERSION    1u
#define FIRST_PART ((uint64_t)16) /* bytes that are gathered at first */
#define NAMES_MOST 10             /* files of one process */

/* The fixed part of the header; strings follow, each with its length in two bytes. */
typedef struct header {
    char magic[8];
    uint32_t version;
    uint32_t length; /* of the whole header */
    uint32_t flags;
    uint32_t end;    /* hak_sink_end_t */
    uint64_t bytes;  /* of the file that count, once it has ended */
    uint64_t events; /* once it has ended */
    uint64_t lost;   /* calls that were not recorded, once it has ended */
    uint32_t process, parent;
    uint64_t started; /* the process, in ticks */
} header_t;

static_assert(sizeof(header_t) == 64, "as docs/trace.md has it");

/* --- the header --------------------------------------------------------------------------------------------------- */

static void add_string(unsigned char *to, size_t *length, const void *bytes, size_t n)
{
    to[*length] = (unsigned char)(n & 255);
    to[*length + 1] = (unsigned char)(n >> 8);
    if (n != 0)
        memmove(to + *length + 2, bytes, n);
    *length += 2 + n;
}

/* The build id among the notes of an object whose ELF header is in memory. Returns its length, 0 if it has none. */
static size_t build_id(const Elf64_Phdr *part, size_t count, uintptr_t base, const unsigned char **id)
{
    for (size_t i = 0; i < count; i++) {
        if (part[i].p_type != PT_NOTE)
            continue;
        const char *note = (const char *)(base + part[i].p_vaddr); /* NOLINT(performance-no-int-to-ptr) */
        const char *end = note + part[i].p_memsz;
        while (note + sizeof(Elf64_Nhdr) <= end) {
            const Elf64_Nhdr *head = (const Elf64_Nhdr *)(const void *)note;
            const char *name = note + sizeof *head;
            const char *text = name + hak_round_up(head->n_namesz, 4);
            if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                *id = (const unsigned char *)text;
                return hak_min(head->n_descsz, 64);
            }
            note = text + hak_round_up(head->n_descsz, 4);
        }
    }
    return 0;
}

static void add_program_id(unsigned char *to, size_t *length)
{
    const unsigned char *id = NULL;
    size_t n = build_id(hak_os_program(), hak_os_program_parts(), hak_os_program_base(), &id);
    add_string(to, length, id, n);
}

extern const char __ehdr_start[] HAK_HIDDEN; /* of this library, by the linker */

static void add_library_id(unsigned char *to, size_t *length)
{
    const unsigned char *id = NULL;
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)__ehdr_start;
    const Elf64_Phdr *part = (const Elf64_Phdr *)(const void *)(__ehdr_start + head->e_phoff);
    size_t n = build_id(part, head->e_phnum, (uintptr_t)__ehdr_start, &id);
    add_string(to, length, id, n);
}

/* Into the buffer. */
static void make_header(hak_sink_t *sink)
{
    static const char version[] = HAKMEM_VERSION_STRING " " HAK_VARIANT;
    unsigned char *to = sink->bytes;
    size_t length = sizeof(header_t);
    char *program = (char *)to + length + 2;
    add_string(to, &length, program, hak_os_path_program(program, HAK_OS_PATH));
    add_program_id(to, &length);
    add_string(to, &length, version, sizeof version - 1);
    add_library_id(to, &length);
    header_t header = {.version = VERSION,
                       .length = (uint32_t)length,
                       .flags = sink->flags,
                       .process = hak_os_process(),
                       .parent = hak_os_process_parent(),
                       .started = hak_os_process_started(hak_os_process())};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    memcpy(to, &header, sizeof header);
    sink->used = length;
}

/* --- which file --------------------------------------------------------------------------------------------------- */

typedef enum state {
    BEGUN,    /* it is ours, with our header */
    IN_USE,   /* a process writes it: *by */
    NO_TRACE, /* it is not empty, and no trace */
    NO_FILE   /* it cannot be opened or written, or is no file */
} state_t;

static bool is_alive(const header_t *header)
{
    if (header->started == 0 || hak_os_process_started(hak_os_process()) == 0)
        return hak_os_process_exists(header->process);
    return hak_os_process_started(header->process) == header->started;
}

static bool read_header(int file, header_t *header)
{
    return hak_os_file_read(file, header, sizeof *header, 0) == sizeof *header &&
           memcmp(header->magic, MAGIC, sizeof header->magic) == 0;
}

/* An open file whose lock is ours. */
static state_t take_file(hak_sink_t *sink, int file, uint32_t *by)
{
    hak_os_file_t now;
    header_t before;
    if (!hak_os_file_look(file, &now) || !now.regular)
        return NO_FILE;
    if (now.size != 0) {
        if (!read_header(file, &before))
            return NO_TRACE;
        *by = before.process;
        if (is_alive(&before))
            return IN_USE;
        if (!hak_os_file_empty(file))
            return NO_FILE;
    }
    make_header(sink);
    sink->device = now.device;
    sink->inode = now.inode;
    if (sink->used > sink->limit || !hak_os_file_write(file, sink->bytes, sink->used, 0))
        return NO_FILE;
    sink->at = sink->used;
    sink->used = 0;
    return BEGUN;
}

static state_t try_file(hak_sink_t *sink, uint32_t *by)
{
    *by = 0;
    int file = hak_os_file_open(sink->path, true);
    if (file < 0)
        return NO_FILE;
    header_t header;
    state_t state = IN_USE;
    if (hak_os_file_lock(file))
        state = take_file(sink, file, by);
    else if (read_header(file, &header)) /* somebody else looks at it just now */
        *by = header.process;
    hak_os_file_close(file);
    return state;
}

/* FILE.PID, and for a further program in the same process FILE.PID.1 and so on. */
static bool name_own(hak_sink_t *sink, unsigned number)
{
    hak_text_t ending = {.length = 0};
    hak_text_format(&ending, ".%u", (uint64_t)hak_os_process());
    if (number != 0)
        hak_text_format(&ending, ".%u", (uint64_t)number);
    size_t length = strlen(sink->base);
    if (length + ending.length >= HAK_OS_PATH)
        return false;
    memcpy(sink->path, sink->base, length);
    memcpy(sink->path + length, ending.bytes, ending.length);
    sink->path[length + ending.length] = 0;
    return true;
}

static bool begin_own(hak_sink_t *sink)
{
    uint32_t by;
    for (unsigned number = 0; number < NAMES_MOST && name_own(sink, number); number++) {
        state_t state = try_file(sink, &by);
        if (state != IN_USE && state != NO_TRACE)
            return sink->open = state == BEGUN;
    }
    return false;
}

static bool get_buffer(hak_sink_t *sink)
{
    if (sink->bytes == NULL)
        sink->bytes = hak_os_map(HAK_SINK_BUFFER + HAK_OS_PATH * 2, HAK_OS_PAGE);
    return sink->bytes != NULL;
}

/* Somebody writes the file that was asked for. What this process was before exec, or an ancestor, is no surprise. */
static bool begin_beside(hak_sink_t *sink, uint32_t by)
{
    bool begun = begin_own(sink);
    if (!begun)
        hak_warn(
            "HAKMEM_TRACE=%s: process %u writes this file, and there is none beside it: nothing is recorded",
            sink->base, (uint64_t)by);
    else if (by == 0)
        hak_warn("HAKMEM_TRACE=%s: another process begins this file; this one writes %s", sink->base,
                 sink->path);
    else if (!hak_os_process_stems_from(hak_os_process(), by))
        hak_warn("HAKMEM_TRACE=%s: process %u writes this file; this one writes %s", sink->base, (uint64_t)by,
                 sink->path);
    return begun;
}

bool hak_sink_begin(hak_sink_t *sink, const char *name, uint64_t limit)
{
    static const char *const reasons[] = {
        [NO_TRACE] = "is no trace, and is not written over", [NO_FILE] = "is no file that can be written"};
    uint32_t by;
    sink->limit = limit;
    if (!hak_os_path_absolute(sink->base, name) || !get_buffer(sink)) {
        hak_warn("HAKMEM_TRACE=%s: there is no such file to be: nothing is recorded", name);
        return false;
    }
    memcpy(sink->path, sink->base, sizeof sink->path);
    state_t state = try_file(sink, &by);
    if (state == IN_USE)
        return begin_beside(sink, by);
    sink->open = state == BEGUN;
    if (!sink->open)
        hak_warn("HAKMEM_TRACE=%s: it %s: nothing is recorded", name, reasons[state]);
    return sink->open;
}

bool hak_sink_begin_in_child(hak_sink_t *sink, uint32_t flags)
{
    sink->flags = flags;
    sink->used = 0;
    sink->open = false;
    return begin_own(sink);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* The file, if it is still the one that was begun. */
static int reopen_file(const hak_sink_t *sink)
{
    hak_os_file_t now;
    int file = hak_os_file_open(sink->path, false);
    if (file < 0)
        return file;
    if (hak_os_file_look(file, &now) && now.device == sink->device && now.inode == sink->inode)
        return file;
    hak_os_file_close(file);
    return -1;
}

/* In a child that was forked in the middle of this and has taken no lock since, the file is the parent's: nothing goes there. */
static bool is_of_parent(void)
{
    return atomic_load_explicit(&hak_os_mark.word, memory_order_relaxed) == 0;
}

static bool flush_sink(hak_sink_t *sink)
{
    int file = is_of_parent() ? -1 : reopen_file(sink);
    if (file < 0)
        return false;
    bool done = hak_os_file_write(file, sink->bytes, sink->used, sink->at);
    hak_os_file_close(file);
    if (done)
        sink->at += sink->used;
    sink->used = 0;
    return done;
}

bool hak_sink_make_room(hak_sink_t *sink, uint64_t events, uint64_t lost)
{
    if (!sink->open)
        return false;
    if (sink->at + sink->used + HAK_SINK_ITEM > sink->limit) {
        hak_sink_finish(sink, HAK_SINK_LIMIT, events, lost);
        return false;
    }
    if (sink->used < hak_min(HAK_SINK_BUFFER, FIRST_PART + sink->at / 4) || flush_sink(sink))
        return true;
    hak_sink_finish(sink, HAK_SINK_FULL, events, lost);
    return false;
}

void hak_sink_finish(hak_sink_t *sink, hak_sink_end_t end, uint64_t events, uint64_t lost)
{
    if (!sink->open)
        return;
    sink->open = false;
    if (sink->used != 0 && !flush_sink(sink)) /* what was there before counts */
        end = HAK_SINK_FULL;
    header_t header = {.end = end, .bytes = sink->at, .events = events, .lost = lost};
    int file = is_of_parent() ? -1 : reopen_file(sink);
    if (file < 0)
        return;
    size_t from = offsetof(header_t, end);
    hak_os_file_write(file, (const char *)&header + from, offsetof(header_t, process) - from, from);
    hak_os_file_close(file);
}
