/* SPDX-License-Identifier: MIT */
/* The options parser against a second, slower one. An input is a list of lines NAME=VALUE, in which a first byte below 32
 * stands for the name of an option. A valid value is taken without a word; a bad one changes nothing and costs one line
 * of at most 480 bytes that names it. */
#define _GNU_SOURCE

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/options.h"
#include "promise.h"

typedef struct row {
    char name[HAK_OPTION_NAME];
    const char *words; /* of a choice, or NULL; "" of a text, which is left alone here: any will do */
    uint32_t low, high;
    bool fixed; /* the build has decided */
    const char *unit, *needs;
} row_t;

enum {
    SCOPE_run,
    SCOPE_start, /* only what learns takes those */
    SCOPE_build
};

static row_t rows[] = {
    {"HAKMEM_MODE", "minimal|fast|balanced", 0, 0, false, "", "ANY"},
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence)                                  \
    {"HAKMEM_" #field, unit, low, high, SCOPE_##scope != SCOPE_run, unit, #needs},
#include "base/policy.def"
#undef POLICY
#define OPTION(field, name, low, high, value, unit, needs, sentence)                                         \
    {name, NULL, low, high, false, unit, #needs},
#define CHOICE(field, name, words, value, needs, sentence) {name, words, 0, 0, false, "", #needs},
#define TEXT(field, name, needs, sentence)                 {name, "", 0, 0, false, "", #needs},
#include "base/options.def"
#undef OPTION
#undef CHOICE
#undef TEXT
};

enum {
    ROWS = sizeof rows / sizeof *rows,
};

static char *values[ROWS]; /* NULL: not set */
static char said[1 << 16];
static size_t said_bytes;
static bool listening;
static uint32_t by_mode[ROWS]; /* what each option is where the mode alone is set */

long __real_hak_call(long number, long a, long b, long c, long d, long e, long f);
long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f);

long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != SYS_write || !listening)
        return __real_hak_call(number, a, b, c, d, e, f);
    PROMISE(a == STDERR_FILENO && c <= 480, "%ld bytes to descriptor %ld", c, a);
    PROMISE(said_bytes + (size_t)c < sizeof said, "too many words");
    memcpy(said + said_bytes, (const void *)b, (size_t)c); /* NOLINT(performance-no-int-to-ptr) */
    said_bytes += (size_t)c;
    return c;
}

static bool is_text(const row_t *row)
{
    return row->words != NULL && *row->words == 0;
}

/* Asked for row by row: the next one first, since comparing each name with all others would be most of a run. */
static const char *lookup(const char *name)
{
    static size_t next;
    for (size_t i = 0; i < ROWS; i++) {
        const row_t *row = &rows[(next + i) % ROWS];
        if (strcmp(row->name, name) == 0) {
            next = (size_t)(row - rows) + 1;
            return is_text(row) ? NULL : values[row - rows];
        }
    }
    PROMISE(false, "an option without a row: %s", name);
    return NULL;
}

/* 0 or 1, or that with a point and up to three digits: in thousandths; or -1. */
static int64_t thousandths(const char *value)
{
    const size_t point = value[0] != 0 && value[1] == '.';
    const size_t digits = point ? strspn(value + 2, "0123456789") : 0;
    if ((value[0] != '0' && value[0] != '1') || value[1 + point + digits] != 0 || digits > 3)
        return -1;
    const int64_t number = (int64_t)(strtod(value, NULL) * 1000 + 0.5);
    return number <= 1000 ? number : -1;
}

static const char *lookup_mode(const char *name)
{
    return strcmp(name, rows[0].name) == 0 ? values[0] : NULL;
}

static void read_options(const char *(*from)(const char *name))
{
    hak_options_live = hak_options_default;
    hak_policy_start(&hak_policy_default, (const hak_origin_t[HAK_POLICIES]){0});
    said_bytes = 0;
    listening = true;
    hak_options_read(from);
    listening = false;
    said[said_bytes] = 0;
}

/* The number of the value, or -1 if it is none that the row allows. */
static int64_t meaning(const row_t *row, const char *value)
{
    if (row->words != NULL) {
        char list[256], *rest = list, *word;
        snprintf(list, sizeof list, "%s", row->words);
        for (int64_t i = 0; (word = strsep(&rest, "|")) != NULL; i++)
            if (strcmp(word, value) == 0)
                return i;
        return -1;
    }
    if (row->fixed)
        return -1;
    if (strcmp(row->unit, "thousandths") == 0)
        return thousandths(value);
    const size_t digits = strspn(value, "0123456789");
    const size_t zeros = strspn(value, "0");
    if (digits == 0 || value[digits] != 0 || digits - zeros > 10)
        return -1;
    const long long number = strtoll(value, NULL, 10);
    return number >= row->low && number <= row->high ? number : -1;
}

/* Whether the variant of the fuzz target lacks what the option turns on. */
static bool asks_in_vain(const row_t *row, int64_t meant)
{
    static const char *const lacks[] = {"HISTOGRAM", "TRACE", "RECORD", "CALL_SITES", "SAMPLING", "LEARNER"};
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++)
        if (strcmp(row->needs, lacks[i]) == 0)
            return meant > 0;
    return false;
}

/* Lines that begin as the warning about a row does. */
static int warnings_of(const row_t *row)
{
    char begin[128];
    int found = 0;
    snprintf(begin, sizeof begin, "hakmem: warning: %s=", row->name);
    for (const char *at = said; (at = strstr(at, begin)) != NULL; at++)
        found += at == said || at[-1] == '\n';
    return found;
}

/* A row of the policy has its environment name in capitals, and words only where its unit is several. */
static void finish_rows(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        for (char *at = rows[i].name; *at != 0; at++)
            *at = (char)toupper(*at);
        if (rows[i].words != NULL && !is_text(&rows[i]) && strchr(rows[i].words, '|') == NULL)
            rows[i].words = NULL;
    }
}

static void read_lines(char *text)
{
    memset(values, 0, sizeof values);
    for (char *line; (line = strsep(&text, "\n")) != NULL;) {
        if (line[0] > 0 && line[0] < 32) {
            values[line[0] % ROWS] = line + 1;
            continue;
        }
        char *equals = strchr(line, '=');
        for (size_t i = 0; equals != NULL && i < ROWS; i++)
            if (strlen(rows[i].name) == (size_t)(equals - line) &&
                strncmp(rows[i].name, line, (size_t)(equals - line)) == 0)
                values[i] = equals + 1;
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    finish_rows();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[4097];
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = 0;
    read_lines(text);

    read_options(lookup_mode);
    for (size_t i = 1; i < ROWS; i++)
        by_mode[i] = hak_options_view(i - 1).value;
    read_options(lookup);
    PROMISE(said_bytes == 0 || said[said_bytes - 1] == '\n', "an unfinished line: %s", said);
    for (size_t i = 0; i < ROWS; i++) {
        const int64_t meant = values[i] != NULL ? meaning(&rows[i], values[i]) : -1;
        const int expected =
            values[i] != NULL && !is_text(&rows[i]) && (meant < 0 || asks_in_vain(&rows[i], meant));
        PROMISE(warnings_of(&rows[i]) == expected, "%s=%s: %s", rows[i].name, values[i], said);
        if (i == 0 || is_text(&rows[i]))
            continue;
        const hak_option_view_t view = hak_options_view(i - 1);
        PROMISE(strcmp(view.name, rows[i].name) == 0, "%s is not %s", view.name, rows[i].name);
        PROMISE(view.value == (meant < 0 ? by_mode[i] : meant), "%s=%s gives %u", view.name, values[i],
                view.value);
        PROMISE(rows[i].words != NULL || (view.value >= rows[i].low && view.value <= rows[i].high),
                "%s is %u", view.name, view.value);
    }
    return 0;
}
