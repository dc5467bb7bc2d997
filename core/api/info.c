/* SPDX-License-Identifier: MIT */
/* info.c: what glibc lets a program ask of its malloc, and tell it. The numbers are collected first, and printed with no lock
 * held; nothing is allocated but by the stream that is written to. */
#include "api/family.h"

#if HAK_OVERRIDE

#include "mem/view.h"
#include "obs/trace.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>

HAK_EXPORT struct mallinfo2 mallinfo2(void);
HAK_EXPORT struct mallinfo mallinfo(void);
HAK_EXPORT struct mallinfo __libc_mallinfo(void);
HAK_EXPORT void malloc_stats(void);
HAK_EXPORT int malloc_info(int options, FILE *stream);
HAK_EXPORT int mallopt(int parameter, int value);
HAK_EXPORT int __libc_mallopt(int parameter, int value);

/* The most that any of these calls has seen. */
typedef struct most {
    _Atomic size_t mapped, huge_blocks, huge_bytes; /* relaxed: figures */
} most_t;

static most_t most;

static void raise_highest(_Atomic size_t *highest, size_t value)
{
    size_t before = atomic_load_explicit(highest, memory_order_relaxed);
    while (before < value && !atomic_compare_exchange_weak_explicit(
                                 highest, &before, value, memory_order_relaxed, memory_order_relaxed)) {
    } /* ends: each round that fails has found a higher value */
}

static hak_memory_view_t take_view(void)
{
    hak_memory_view_t view;
    hak_memory_view(&view);
    raise_highest(&most.mapped, view.mapped);
    raise_highest(&most.huge_blocks, view.huge_blocks);
    raise_highest(&most.huge_bytes, view.huge_bytes);
    return view;
}

static size_t free_blocks(const hak_memory_view_t *view)
{
    size_t n = 0;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        n += view->free[c];
    return n;
}

/* --- mallinfo ----------------------------------------------------------------------------------------------------- */

struct mallinfo2 mallinfo2(void)
{
    hak_memory_view_t view = take_view();
    return (struct mallinfo2){.arena = view.mapped,
                              .ordblks = free_blocks(&view),
                              .hblks = view.huge_blocks,
                              .hblkhd = view.huge_bytes,
                              .uordblks = view.used,
                              .fordblks = view.mapped - view.used,
                              .keepcost = view.trimmable};
}

/* glibc's wraps around; the largest number that an int holds is nearer to the truth. */
static int narrow(size_t value)
{
    return value < INT_MAX ? (int)value : INT_MAX;
}

static struct mallinfo narrow_mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    return (struct mallinfo){.arena = narrow(wide.arena),
                             .ordblks = narrow(wide.ordblks),
                             .hblks = narrow(wide.hblks),
                             .hblkhd = narrow(wide.hblkhd),
                             .uordblks = narrow(wide.uordblks),
                             .fordblks = narrow(wide.fordblks),
                             .keepcost = narrow(wide.keepcost)};
}

struct mallinfo mallinfo(void)
{
    return narrow_mallinfo();
}

struct mallinfo __libc_mallinfo(void)
{
    return narrow_mallinfo();
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void print_use(size_t mapped, size_t used)
{
    fprintf(stderr, "system bytes     = %10zu\nin use bytes     = %10zu\n", mapped, used);
}

void malloc_stats(void)
{
    hak_memory_view_t view = take_view();
    fputs("Arena 0:\n", stderr);
    print_use(view.mapped, view.used);
    fputs("Total (incl. mmap):\n", stderr);
    print_use(view.mapped + view.huge_bytes, view.used + view.huge_bytes);
    fprintf(stderr, "max mmap regions = %10zu\nmax mmap bytes   = %10zu\n",
            atomic_load_explicit(&most.huge_blocks, memory_order_relaxed),
            atomic_load_explicit(&most.huge_bytes, memory_order_relaxed));
}

static void print_sizes(FILE *stream, const hak_memory_view_t *view)
{
    fputs("<sizes>\n", stream);
    for (unsigned c = 1; c < HAK_CLASSES; c++) {
        size_t size = hak_class_size(c);
        size_t smaller = c > 1 ? hak_class_size(c - 1) : 0;
        if (view->free[c] != 0)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", smaller + 1,
                    size, view->free[c] * size, view->free[c]);
    }
    fputs("</sizes>\n", stream);
}

static void print_free(FILE *stream, const hak_memory_view_t *view)
{
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            free_blocks(view), view->mapped - view->used);
}

static void print_system(FILE *stream, const hak_memory_view_t *view)
{
    fprintf(stream,
            "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            view->mapped, atomic_load_explicit(&most.mapped, memory_order_relaxed), view->mapped,
            view->mapped);
}

int malloc_info(int options, FILE *stream)
{
    if (options != 0)
        return EINVAL;
    hak_memory_view_t view = take_view();
    fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", stream);
    print_sizes(stream, &view);
    print_free(stream, &view);
    print_system(stream, &view);
    fputs("</heap>\n", stream);
    print_free(stream, &view);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", view.huge_blocks, view.huge_bytes);
    print_system(stream, &view);
    fputs("</malloc>\n", stream);
    return 0;
}

/* --- mallopt ------------------------------------------------------------------------------------------------------ */

#define MXFAST_MOST 160 /* bytes; glibc refuses more */

/* Free memory that a program lets its malloc keep. A negative number is a very large one, as in glibc. */
static void set_retained(int bytes)
{
    uint32_t most_mb = 1u << 20;
    uint32_t mb = bytes < 0 ? most_mb : ((uint32_t)bytes + (1u << 20) - 1) >> 20;
    hak_policy_t next = *hak_policy();
    next.retain_mb = mb;
    hak_policy_publish_from(&next, HAK_FROM_PROGRAM);
    hak_trace_policy();
}

int mallopt(int parameter, int value)
{
    switch (parameter) {
    case M_TRIM_THRESHOLD: set_retained(value); return 1;
    case M_MXFAST: return value >= 0 && value <= MXFAST_MOST;
    case M_PERTURB: return value == 0 || HAK_CHECKS;
    default: /* hints about arenas and mappings that glibc's malloc has and ours has not: nothing to do is no failure */
        return 1;
    }
}

int __libc_mallopt(int parameter, int value)
{
    return mallopt(parameter, value);
}

#endif
