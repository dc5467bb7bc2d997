/* SPDX-License-Identifier: MIT */
/* stats.c: the statistics page, generated from the option and counter tables. */
#include "api/stats.h"

#include "api/site_page.h"
#include "base/message.h"
#include "base/options.h"
#include "mem/bin.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/heap.h"
#include "mem/learner.h"
#include "mem/sample.h"
#include "os/os.h"

/* A page under construction: lines go out one by one. */
typedef struct page {
    int fd;
    bool json;
    bool first; /* no member of the object yet */
} page_t;

static void write_line(page_t *page, const char *name, uint64_t value, const char *unit, const char *sentence)
{
    hak_text_t text = {.length = 0};
    if (page->json)
        hak_text_format(&text, "%s\"%s\": %u", page->first ? "{" : ", ", name, value);
    else
        hak_text_format(&text, "%s = %u%s%s  (%s)\n", name, value, *unit != 0 ? " " : "", unit, sentence);
    page->first = false;
    hak_text_write(&text, page->fd);
}

/* As the environment would have it; in JSON a choice is the number of its word, and a text 1. */
static void write_option(page_t *page, size_t index)
{
    hak_option_view_t view = hak_options_view(index);
    hak_text_t word = {.length = 0}, text = {.length = 0};
    const char *words = page->json ? NULL : hak_options_words(index, &word);
    if (words == NULL) {
        write_line(page, view.name, view.value, view.unit, hak_origin_names[view.origin]);
        return;
    }
    hak_text_line(&text, "%s = %s  (%s)", view.name, words, hak_origin_names[view.origin]);
    hak_text_write(&text, page->fd);
}

static void write_options(page_t *page)
{
    for (size_t i = 0; HAK_OPTIONS && i < hak_options_count(); i++)
        if (hak_options_view(i).compiled_in)
            write_option(page, i);
}

static void write_memory(page_t *page)
{
    hak_chunk_view_t pool = hak_chunk_view();
    hak_extent_view_t huge = hak_extent_view();
    write_line(page, "reserved", pool.reserved, "bytes", "address space of the pool");
    write_line(page, "used", pool.used, "bytes", "in slabs and large blocks");
    write_line(page, "dirty", pool.dirty, "bytes", "free, not yet given back");
    write_line(page, "purged", pool.purged, "bytes", "given back so far");
    write_line(page, "purges", pool.purges, "", "system calls that did it");
    if (HAK_STATS)
        write_line(page, "system_calls", hak_os_memory_calls(), "", "all of them that were about memory");
    write_line(page, "big_live", huge.live, "bytes", "in blocks above 512 KiB");
    write_line(page, "big_cached", huge.dirty, "bytes", "freed ones kept for reuse");
    write_line(page, "big_unbacked", huge.clean, "bytes", "their address space without pages");
    write_line(page, "big_taken", huge.taken, "", "blocks above 512 KiB so far");
    write_line(page, "big_from_cache", huge.from_cache, "", "of these, from the cache");
}

static void write_counters(page_t *page)
{
    uint32_t heaps = hak_heap_count();
    write_line(page, "heaps", heaps, "", "threads at the same time, at most");
    for (unsigned counter = 0; HAK_STATS && counter < HAK_COUNTERS; counter++) {
        uint64_t sum = 0;
        for (uint32_t owner = 1; owner <= heaps; owner++)
            sum += atomic_load_explicit(&hak_heap_by_owner(owner)->counters.count[counter],
                                        memory_order_relaxed);
        write_line(page, hak_counter_names[counter], sum, "", hak_counter_sentences[counter]);
    }
}

static void write_learner(page_t *page)
{
#if HAK_LEARNER
    for (unsigned i = 0; i < HAK_LEARNED; i++)
        write_line(page, hak_learned[i].name, hak_learner_value(i), hak_learned[i].unit,
                   hak_learned[i].sentence);
#else
    (void)page;
#endif
}

static void write_histogram(page_t *page)
{
    for (unsigned bits = 0; HAK_HISTOGRAM && bits < HAK_HISTOGRAM_BINS; bits++) {
        uint64_t n = atomic_load_explicit(&hak_histogram[bits], memory_order_relaxed);
        if (n == 0)
            continue;
        hak_text_t name = {.length = 0};
        hak_text_format(&name, "requests_upto_%u", bits < HAK_HISTOGRAM_BINS - 1 ? (uint64_t)1 << bits : 0);
        name.bytes[name.length] = 0;
        write_line(page, name.bytes, n, "", "requests of this size in bytes, more than half of it");
    }
}

/* What was timed: the average, and how often. */
static void write_times(page_t *page)
{
    for (unsigned of = 0; HAK_SAMPLING && hak_times_on && of < HAK_TIMES; of++) {
        hak_text_t name = {.length = 0};
        hak_text_format(&name, "%s_timed", hak_time_names[of]);
        name.bytes[name.length] = 0;
        write_line(page, hak_time_names[of], hak_time_average(of), "ns", hak_time_sentences[of]);
        write_line(page, name.bytes, hak_time_count(of), "", "so often");
    }
}

static void write_front(page_t *page)
{
    if (!HAK_SAMPLING || !hak_options()->front_stats)
        return;
    uint64_t met, missed;
    hak_bins_book();
    hak_sample_front(&met, &missed);
    uint64_t calls = met + missed;
    write_line(page, "front_met", met, "", "calls up to 256 KiB that a bin met");
    write_line(page, "front_missed", missed, "", "those that found it empty");
    write_line(page, "front_rate", calls != 0 ? met * 1000 / calls : 0, "thousandths",
               "of them that a bin met");
}

void hak_stats_write_sampled(int fd)
{
    page_t page = {.fd = fd};
    write_times(&page);
    write_front(&page);
}

static void write_title(int fd)
{
    hak_text_t title = {.length = 0};
    hak_text_format(&title, "hakmem %s, mode %s\n", HAK_VARIANT, hak_options_mode());
    hak_text_write(&title, fd);
}

void hak_stats_write_options(int fd)
{
    page_t page = {.fd = fd};
    write_title(fd);
    write_options(&page);
}

void hak_stats_write(int fd, bool json)
{
    page_t page = {.fd = fd, .json = json, .first = true};
    if (!json)
        write_title(fd);
    write_options(&page);
    write_memory(&page);
    write_counters(&page);
    write_histogram(&page);
    write_learner(&page);
    write_times(&page);
    write_front(&page);
    if (HAK_CALL_SITES)
        hak_site_page_write(fd, json);
    if (json) {
        hak_text_t end = {.length = 0};
        hak_text_string(&end, "}\n");
        hak_text_write(&end, fd);
    }
}
