/* SPDX-License-Identifier: MIT */
/* site_page.c: see site_page.h. No state. A place is shown as file + offset; report/sites.py finds its name there. */
#include "api/site_page.h"

#if HAK_CALL_SITES

#include "base/message.h"
#include "obs/site_table.h"
#include "os/file.h"

#include <string.h>

#define PATH_MOST 200u /* bytes that are shown of a path, the last ones */

/* What a place lies in: the one looked at last, since places of one file come in a row. */
typedef struct look {
    hak_os_object_t object;
    bool known;
} look_t;

static bool find_file(look_t *look, uintptr_t site)
{
    if (!look->known || site < look->object.start || site >= look->object.end)
        look->known = hak_os_object_at(site, &look->object);
    return look->known;
}

/* A path as a string of JSON; what would need more than a backslash there is a question mark. */
static void put_path(hak_text_t *text, const char *path)
{
    size_t length = strlen(path);
    for (path += length > PATH_MOST ? length - PATH_MOST : 0; *path != 0; path++) {
        char bytes[3] = {*path, 0, 0};
        if (*path == '"' || *path == '\\')
            bytes[0] = '\\', bytes[1] = *path;
        else if ((unsigned char)*path < 0x20 || (unsigned char)*path > 0x7e)
            bytes[0] = '?';
        hak_text_string(text, bytes);
    }
}

static uint64_t average(const hak_site_view_t *view)
{
    return view->count != 0 ? view->total / view->count : 0;
}

static void write_as_json(hak_text_t *text, const hak_site_view_t *view)
{
    hak_text_format(text, "\"calls\": %u, \"bytes\": %u, \"average\": %u, \"most\": %u, ", view->count,
                    view->total, average(view), view->max);
    hak_text_format(text,
                    "\"ended\": %u, \"lifetime\": %u, \"kept\": %u, \"sampled\": %u, \"policy\": \"%s\"}",
                    view->ended, view->lifetime, view->kept, (uint64_t)view->sampled,
                    hak_site_policy_names[view->policy]);
}

static void write_as_line(hak_text_t *text, const hak_site_view_t *view)
{
    hak_text_format(text, " = %u calls  (%s%s, %u bytes on average, %u at most; ", view->count,
                    hak_site_policy_names[view->policy], view->sampled ? ", an estimate" : "", average(view),
                    view->max);
    hak_text_format(text, "%u ends seen, after %u calls on average; %u served by what it kept)\n",
                    view->ended, view->lifetime, view->kept);
}

static void write_site(int fd, bool json, const hak_site_view_t *view, look_t *look, bool first)
{
    hak_text_t text = {.length = 0};
    bool known = find_file(look, view->site);
    hak_text_string(&text, !json ? "site " : first ? "{\"object\": \"" : ", {\"object\": \"");
    put_path(&text, known ? look->object.path : "");
    hak_text_format(&text, json ? "\", \"offset\": %u, " : "+%x",
                    known ? view->site - look->object.start + look->object.offset : view->site);
    if (json)
        write_as_json(&text, view);
    else
        write_as_line(&text, view);
    hak_text_write(&text, fd);
}

static void write_totals(int fd, bool json)
{
    hak_site_totals_t totals = hak_site_totals();
    hak_text_t text = {.length = 0};
    hak_text_format(&text,
                    json ? ", \"site_calls\": %u, \"site_ticks\": %u, \"site_elsewhere\": %u, \"sites\": ["
                         : "site_calls = %u  (of call sites)\nsite_ticks = %u  (times that all were judged)\n"
                           "site_elsewhere = %u  (calls of sites that found no place in the table)\n",
                    totals.calls, totals.ticks, totals.elsewhere);
    hak_text_write(&text, fd);
}

void hak_site_page_write(int fd, bool json)
{
    look_t look = {.known = false};
    bool first = true;
    if (hak_site_totals().calls == 0)
        return;
    write_totals(fd, json);
    for (unsigned slot = 0; slot < HAK_SITE_SLOTS; slot++) {
        hak_site_view_t view;
        if (!hak_site_view(slot, &view))
            continue;
        write_site(fd, json, &view, &look, first);
        first = false;
    }
    if (json) {
        hak_text_t end = {.length = 0};
        hak_text_string(&end, "]");
        hak_text_write(&end, fd);
    }
}

#endif
