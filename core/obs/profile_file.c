/* SPDX-License-Identifier: MIT */
/* profile_file.c: see profile_file.h. What is static is set before there are threads. */
#include "obs/profile_file.h"

#include "os/file.h"
#include "os/output.h"

static char profile_path[HAK_OS_OUTPUT_PATH]; /* empty: none */
static uint64_t mean_interval;                /* bytes */
static uint32_t home;                         /* the process whose name it is */

bool hak_profile_file_set(const char *path, uint64_t interval)
{
    if (!hak_os_output_path(profile_path, path)) {
        hak_warn("HAKMEM_HEAP_PROFILE: the name is too long; nothing is sampled: %s", path);
        return false;
    }
    mean_interval = interval;
    home = hak_os_process();
    return true;
}

/* Blocks and bytes that live, and all. */
static void figures_of(const hak_profile_stack_t *stack, uint64_t n[4])
{
    n[0] = atomic_load_explicit(&stack->live, memory_order_relaxed);
    n[2] = atomic_load_explicit(&stack->total, memory_order_relaxed);
    n[1] = n[0] * stack->size;
    n[3] = n[2] * stack->size;
}

static void put_stack(hak_os_output_t *out, const hak_profile_stack_t *stack)
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
            hak_os_output_text(out, &text);
    }
    hak_text_string(&text, "\n");
    hak_os_output_text(out, &text);
}

static void put_stacks(hak_os_output_t *out)
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
    hak_os_output_text(out, &text);
    for (uint32_t i = 0; i < count; i++)
        put_stack(out, hak_profile_stack(i));
}

/* Without /proc a reader has no names, but the figures. */
static void put_maps(hak_os_output_t *out)
{
    char bytes[512];
    hak_text_t title = {.length = 0};
    hak_text_string(&title, "\nMAPPED_LIBRARIES:\n");
    hak_os_output_text(out, &title);
    int maps = hak_os_file_open_to_read("/proc/self/maps");
    if (maps < 0)
        return;
    uint64_t at = 0;
    for (long n = 1; n > 0 && out->good; at += (uint64_t)n) {
        n = hak_os_file_read(maps, bytes, sizeof bytes, at);
        if (n > 0)
            hak_os_output_bytes(out, bytes, (size_t)n);
    }
    hak_os_file_close(maps);
}

static void put_profile(hak_os_output_t *out)
{
    put_stacks(out);
    put_maps(out);
}

void hak_profile_file_write(void)
{
    if (profile_path[0] == 0)
        return;
    hak_text_t name = {.length = 0};
    uint32_t process = hak_os_process();
    hak_text_string(&name, profile_path);
    if (process != home)
        hak_text_format(&name, ".%u", (uint64_t)process);
    name.bytes[name.length] = 0;
    if (!hak_os_output_replace(name.bytes, 0600, put_profile))
        hak_warn("HAKMEM_HEAP_PROFILE=%s: it cannot be written", name.bytes);
}
