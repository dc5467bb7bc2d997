/* SPDX-License-Identifier: MIT */
/* profile_file.c: see profile_file.h. */
#include "obs/profile_file.h"

#include "base/call.h"
#include "base/message.h"
#include "os/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBERS 40u /* bytes of what is put behind a name: three numbers and their points */

static char output[sizeof((hak_text_t *)NULL)->bytes - NUMBERS]; /* an absolute name; empty: none */
static uint64_t mean_interval;                                   /* bytes */
static uint32_t home;                                            /* the process whose name it is */
static _Atomic uint32_t
    writes; /* relaxed: makes the names of two writers differ, a handler and whom it interrupts */

bool hak_profile_file_set(const char *path, uint64_t interval)
{
    char absolute[HAK_OS_PATH];
    bool fits = hak_os_path_absolute(absolute, path) && strlen(absolute) < sizeof output;
    if (!fits) {
        hak_warn("HAKMEM_HEAP_PROFILE: the name is too long; nothing is sampled: %s", path);
        return false;
    }
    memcpy(output, absolute, strlen(absolute) + 1);
    mean_interval = interval;
    home = hak_os_process();
    return true;
}

/* A file that is being written. `good` until something did not fit. */
typedef struct out {
    int file;
    uint64_t at;
    bool good;
} out_t;

static void put_bytes(out_t *out, const char *bytes, size_t n)
{
    out->good = out->good && hak_os_file_write(out->file, bytes, n, out->at);
    out->at += n;
}

/* The text goes out, and begins anew. */
static void put_text(out_t *out, hak_text_t *text)
{
    put_bytes(out, text->bytes, text->length);
    text->length = 0;
}

/* Blocks and bytes that live, and all. */
static void figures_of(const hak_profile_stack_t *stack, uint64_t n[4])
{
    n[0] = atomic_load_explicit(&stack->live, memory_order_relaxed);
    n[2] = atomic_load_explicit(&stack->total, memory_order_relaxed);
    n[1] = n[0] * stack->size;
    n[3] = n[2] * stack->size;
}

static void put_stack(out_t *out, const hak_profile_stack_t *stack)
{
    uint64_t n[4];
    hak_text_t text = {.length = 0};
    figures_of(stack, n);
    if (n[2] == 0)
        return;
    hak_text_format(&text, "%u: %u [%u: %u] @", n[0], n[1], n[2], n[3]);
    for (uint32_t i = 0; i < stack->depth; i++) {
        hak_text_format(&text, " %x", (uint64_t)stack->at[i]);
        if (text.length > sizeof text.bytes / 2)
            put_text(out, &text);
    }
    hak_text_string(&text, "\n");
    put_text(out, &text);
}

static void put_stacks(out_t *out)
{
    uint64_t sum[4] = {0}, n[4];
    uint32_t count = hak_profile_count();
    for (uint32_t i = 0; i < count; i++) {
        figures_of(hak_profile_stack(i), n);
        for (unsigned k = 0; k < 4; k++)
            sum[k] += n[k];
    }
    hak_text_t text = {.length = 0};
    hak_text_format(&text, "heap profile: %u: %u [%u: %u] @ heap_v2/%u\n", sum[0], sum[1], sum[2], sum[3],
                    mean_interval);
    put_text(out, &text);
    for (uint32_t i = 0; i < count; i++)
        put_stack(out, hak_profile_stack(i));
}

/* Without /proc a reader has no names, but the figures. */
static void put_maps(out_t *out)
{
    char bytes[512];
    hak_text_t title = {.length = 0};
    hak_text_string(&title, "\nMAPPED_LIBRARIES:\n");
    put_text(out, &title);
    long maps = hak_call(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (hak_call_failed(maps))
        return;
    uint64_t at = 0;
    for (long n = 1; n > 0 && out->good; at += (uint64_t)n) {
        n = hak_os_file_read((int)maps, bytes, sizeof bytes, at);
        if (n > 0)
            put_bytes(out, bytes, (size_t)n);
    }
    hak_os_file_close((int)maps);
}

/* Into a file of this name, which is nobody else's. */
static bool write_as(const char *name)
{
    out_t out = {.file = hak_os_file_open(name, true), .good = true};
    if (out.file < 0)
        return false;
    hak_os_file_empty(out.file);
    put_stacks(&out);
    put_maps(&out);
    hak_os_file_close(out.file);
    return out.good;
}

void hak_profile_file_write(void)
{
    if (output[0] == 0)
        return;
    hak_text_t name = {.length = 0}, beside = {.length = 0};
    uint32_t process = hak_os_process();
    hak_text_string(&name, output);
    if (process != home)
        hak_text_format(&name, ".%u", (uint64_t)process);
    name.bytes[name.length] = 0;
    hak_text_format(&beside, "%s.%u.%u", output, (uint64_t)process,
                    (uint64_t)atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed));
    beside.bytes[beside.length] = 0;
    if (write_as(beside.bytes) && !hak_call_failed(hak_call(SYS_renameat, AT_FDCWD, (long)beside.bytes,
                                                            AT_FDCWD, (long)name.bytes, 0, 0)))
        return;
    hak_call(SYS_unlinkat, AT_FDCWD, (long)beside.bytes, 0, 0, 0, 0);
    hak_warn("HAKMEM_HEAP_PROFILE=%s: it cannot be written", name.bytes);
}
