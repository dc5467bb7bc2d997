/* SPDX-License-Identifier: MIT */
/* names.c: what became of names that nobody reads. No state. */
#include "base/names.h"

#include "base/message.h"
#include "base/options.h"

#include <string.h>

#define PREFIX    "HAKMEM_"
#define SENTENCES 4u /* names that are answered with a line of their own */

typedef struct name {
    const char *pattern;
    const char *sentence;
} name_t;

static const name_t names[] = {
#define NAME(pattern, sentence) {pattern, sentence},
#include "base/names.def"
#undef NAME
};

/* Whether `name`, which is not terminated, is the pattern or begins as one that ends in '*'. */
static bool fits(const char *name, size_t length, const char *pattern)
{
    size_t fixed = strlen(pattern);
    if (pattern[fixed - 1] == '*')
        return length >= fixed - 1 && strncmp(name, pattern, fixed - 1) == 0;
    return length == fixed && strncmp(name, pattern, fixed) == 0;
}

static const char *sentence_of(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (fits(name, length, names[i].pattern))
            return names[i].sentence;
    return "no option has this name; docs/options.md lists them all";
}

static bool is_option(const char *name, size_t length)
{
    if (fits(name, length, "HAKMEM_MODE"))
        return true;
    for (size_t i = 0; i < hak_options_count(); i++)
        if (fits(name, length, hak_options_view(i).name))
            return true;
    return false;
}

/* Length of the name of a variable that this library should know and does not; 0 for all others. */
static size_t unknown_length(const char *variable)
{
    const char *end = strchr(variable, '=');
    if (end == NULL || strncmp(variable, PREFIX, sizeof PREFIX - 1) != 0)
        return 0;
    size_t length = (size_t)(end - variable);
    return is_option(variable, length) ? 0 : length;
}

static void append_name(hak_text_t *text, const char *name, size_t length)
{
    length = hak_min(length, sizeof text->bytes - 1 - text->length);
    memcpy(text->bytes + text->length, name, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

static void answer_one(const char *name, size_t length)
{
    hak_text_t shown = {.length = 0};
    append_name(&shown, name, hak_min(length, 200));
    hak_warn("%s changes nothing: %s", shown.bytes, sentence_of(name, length));
}

/* Collects a name for a common line; a full line goes out. `name` NULL: what is left. */
static void answer_together(hak_text_t *line, const char *name, size_t length)
{
    length = hak_min(length, 200);
    if (line->length != 0 && (name == NULL || line->length + length + 2 > 400)) {
        hak_warn("nor do these names change anything: %s", line->bytes);
        line->length = 0;
    }
    if (name == NULL)
        return;
    if (line->length != 0)
        append_name(line, ", ", 2);
    append_name(line, name, length);
}

void hak_names_answer(char *const *environment)
{
    hak_text_t line = {.length = 0};
    unsigned answered = 0;
    for (char *const *at = environment; at != NULL && *at != NULL; at++) {
        size_t length = unknown_length(*at);
        if (length == 0)
            continue;
        if (answered++ < SENTENCES)
            answer_one(*at, length);
        else
            answer_together(&line, *at, length);
    }
    answer_together(&line, NULL, 0);
}
