/* SPDX-License-Identifier: MIT */
/* options.c: environment -> switches and policy. Precedence: default < mode < policy file < single option. Single thread, before
 * the first allocation; read-only afterwards. */
#include "base/options.h"

#include "base/message.h"
#include "base/policy_file.h"

#include <string.h>

hak_options_t hak_options_live = {
#define OPTION(field, name, low, high, value, unit, needs, sentence) .field = (value),
#define CHOICE(field, name, words, value, needs, sentence)           .field = (value),
#define TEXT(field, name, needs, sentence)                           .field = NULL,
#include "base/options.def"
#undef OPTION
#undef CHOICE
#undef TEXT
};

/* What an option can need, and which variants have it. */
typedef struct need {
    bool compiled_in;
    const char *variants;
} need_t;

static const need_t need_ANY = {true, "all"};
static const need_t need_PURGE = {HAK_PURGE, "all but minimal"};
static const need_t need_BIGCACHE = {HAK_BIGCACHE, "all but minimal"};
static const need_t need_REMOTE_BATCH = {HAK_REMOTE_BATCH, "all but minimal"};
static const need_t need_STATS = {HAK_STATS, "all but minimal, bench_minimal and plugin"};
static const need_t need_HISTOGRAM = {HAK_HISTOGRAM, "learning and research"};
static const need_t need_TRACE = {HAK_TRACE, "research and debug"};
static const need_t need_RECORD = {HAK_RECORD, "learning and research"};
static const need_t need_CALL_SITES = {HAK_CALL_SITES, "learning and research"};
static const need_t need_SAMPLING = {HAK_SAMPLING, "learning and research"};
static const need_t need_LEARNER = {HAK_LEARNER, "learning"};

static const need_t *const policy_needs[HAK_POLICIES] = {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence) &need_##needs,
#include "base/policy.def"
#undef POLICY
};

/* A row of either table. */
typedef struct option {
    char name[HAK_OPTION_NAME];
    const char *words; /* of a choice, joined by '|'; NULL for a number */
    const char *unit;  /* NULL: a text */
    const char *sentence;
    const need_t *needs;
    size_t field; /* offset in hak_options_t */
    uint32_t low, high;
    bool run; /* can be set here */
} option_t;

static const option_t switches[] = {
#define OPTION(field, name, low, high, value, unit, needs, sentence)                                         \
    {name, NULL, unit, sentence, &need_##needs, offsetof(hak_options_t, field), low, high, true},
#define CHOICE(field, name, words, value, needs, sentence)                                                   \
    {name, words, "", sentence, &need_##needs, offsetof(hak_options_t, field), 0, 0, true},
#define TEXT(field, name, needs, sentence)                                                                   \
    {name, NULL, NULL, sentence, &need_##needs, offsetof(hak_options_t, field), 0, 0, true},
#include "base/options.def"
#undef OPTION
#undef CHOICE
#undef TEXT
};
#define SWITCHES (sizeof switches / sizeof switches[0])
#define OPTIONS  (HAK_POLICIES + SWITCHES) /* the rows of the policy come first */

/* What the policy is going to be, and why. */
static hak_policy_t starting_policy;
static hak_origin_t option_origins[OPTIONS];

/* The environment's name of a row of the policy: its own in capitals. */
static option_t policy_option(size_t index)
{
    const hak_policy_row_t *row = &hak_policy_rows[index];
    option_t option = {.name = "HAKMEM_",
                       .words = strchr(row->unit, '|') != NULL ? row->unit : NULL,
                       .unit = row->unit,
                       .sentence = row->sentence,
                       .needs = policy_needs[index],
                       .low = row->low,
                       .high = row->high,
                       .run = row->start};
    size_t at = strlen(option.name);
    for (const char *from = row->name; *from != 0 && at < sizeof option.name - 1; from++)
        option.name[at++] = (char)(*from >= 'a' && *from <= 'z' ? *from - 'a' + 'A' : *from);
    return option;
}

static option_t option_at(size_t index)
{
    return index < HAK_POLICIES ? policy_option(index) : switches[index - HAK_POLICIES];
}

/* A row of modes.def. */
typedef struct policy_mode {
    const char *name;
    bool compiled_in;
    const char *variant;
    bool giving_back, big_cache, counting, tracing, sizing, learning;
} policy_mode_t;

static const policy_mode_t modes[] = {
#define MODE(...) {__VA_ARGS__},
#include "base/modes.def"
#undef MODE
};
#define MODES (sizeof modes / sizeof modes[0])

/* Their names, each behind a comma. */
static const char all_modes[] =
#define MODE(name, ...) ", " name
#include "base/modes.def"
#undef MODE
    ;

static const char *mode_name = HAK_DEFAULT_MODE;

static uint32_t *value_of(size_t index)
{
    return index < HAK_POLICIES
               ? hak_policy_value(&starting_policy, index)
               : (uint32_t *)(void *)((char *)&hak_options_live + switches[index - HAK_POLICIES].field);
}

static const char **text_of(size_t index)
{
    return (const char **)(void *)((char *)&hak_options_live + switches[index - HAK_POLICIES].field);
}

static void set_by_mode(const char *name, uint32_t value)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strcmp(option_at(i).name, name) != 0)
            continue;
        *value_of(i) = value;
        option_origins[i] = HAK_FROM_MODE;
    }
}

static void apply_mode(const policy_mode_t *mode)
{
    mode_name = mode->name;
    if (!mode->giving_back) {
        set_by_mode("HAKMEM_PURGE_DELAY_MS", 3600000);
        set_by_mode("HAKMEM_RETAIN_MB", 1048576);
    }
    if (!mode->big_cache)
        set_by_mode("HAKMEM_DISABLE_BIGCACHE", 1);
    set_by_mode("HAKMEM_STATS", mode->counting);
    set_by_mode("HAKMEM_MEM_TRACE", mode->tracing);
    set_by_mode("HAKMEM_SIZE_HIST", mode->sizing);
    set_by_mode("HAKMEM_SITE_RULES", mode->sizing);
    set_by_mode("HAKMEM_LEARN", mode->learning);
}

static void read_mode(const char *wanted)
{
    if (wanted == NULL)
        return;
    for (size_t i = 0; i < MODES; i++) {
        if (strcmp(modes[i].name, wanted) != 0)
            continue;
        if (modes[i].compiled_in)
            apply_mode(&modes[i]);
        else
            hak_warn(
                "HAKMEM_MODE=%s: this library is the variant %s, which has no such mode; the variant %s has it; "
                "using %s",
                wanted, HAK_VARIANT, modes[i].variant, mode_name);
        return;
    }
    hak_warn("HAKMEM_MODE=%s: not one of %s; using %s", wanted, all_modes + strlen(", "), mode_name);
}

/* A decimal number, all of `text`; false otherwise or above UINT32_MAX. */
static bool parse_number(const char *text, uint32_t *number)
{
    const char *end = text;
    uint64_t value = hak_text_take_number(&end);
    *number = (uint32_t)value;
    return end != text && *end == 0 && value <= UINT32_MAX;
}

/* 0 or 1, and behind a point up to three digits, as thousandths; so nothing is rounded. */
static bool parse_thousandths(const char *text, uint32_t *number)
{
    uint32_t whole = 0, unit = 1000;
    if (*text < '0' || *text > '1')
        return false;
    whole = (uint32_t)(*text++ - '0') * unit;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && unit > 1; text++)
            whole += (uint32_t)(*text - '0') * (unit /= 10);
    *number = whole;
    return *text == 0 && whole <= 1000;
}

static bool is_part(const option_t *option)
{
    return strcmp(option->unit, "thousandths") == 0;
}

static bool parse_value(const option_t *option, const char *text, uint32_t *value)
{
    if (is_part(option))
        return parse_thousandths(text, value);
    return parse_number(text, value) && *value >= option->low && *value <= option->high;
}

/* The index of `text` among `words`; false when it is none of them. */
static bool parse_choice(const char *text, const char *words, uint32_t *choice)
{
    size_t length = strlen(text);
    uint32_t index = 0;
    for (const char *word = words; word != NULL; index++) {
        const char *end = strchr(word, '|');
        size_t n = end != NULL ? (size_t)(end - word) : strlen(word);
        if (n == length && strncmp(word, text, n) == 0) {
            *choice = index;
            return true;
        }
        word = end != NULL ? end + 1 : NULL;
    }
    return false;
}

/* The word that a choice is, and a zero byte. */
static void append_word(hak_text_t *text, const char *words, uint32_t choice)
{
    for (; choice != 0; choice--)
        words += strcspn(words, "|") + 1;
    hak_text_string(text, words);
    text->length = strcspn(words, "|");
    text->bytes[text->length] = 0;
}

/* Answers an option whose feature this variant lacks; says nothing of others. */
static void warn_of_need(const option_t *option, const char *text)
{
    if (!option->needs->compiled_in)
        hak_warn("%s=%s changes nothing: this library is the variant %s; the variants that can do it: %s",
                 option->name, text, HAK_VARIANT, option->needs->variants);
}

/* A text is taken as it is; none is as if it were not there. */
static void read_text(size_t index, const option_t *option, const char *text)
{
    if (*text == 0)
        return;
    warn_of_need(option, text);
    *text_of(index) = text;
    option_origins[index] = HAK_FROM_ENVIRONMENT;
}

static void read_option(size_t index, const option_t *option, const char *text)
{
    uint32_t value = 0;
    if (text == NULL)
        return;
    if (option->unit == NULL) {
        read_text(index, option, text);
    } else if (!option->run) {
        hak_warn("%s=%s: compiled in, configure.py --policy=FILE sets it; using %u", option->name, text,
                 (uint64_t)*value_of(index));
    } else if (option->words != NULL && !parse_choice(text, option->words, &value)) {
        hak_text_t used = {.length = 0};
        append_word(&used, option->words, *value_of(index));
        hak_warn("%s=%s: not one of %s; using %s", option->name, text, option->words, used.bytes);
    } else if (option->words == NULL && !parse_value(option, text, &value)) {
        hak_warn("%s=%s: not a number from %u to %u%s; using %u%s", option->name, text, (uint64_t)option->low,
                 (uint64_t)option->high / (is_part(option) ? 1000 : 1),
                 is_part(option) ? " with up to three decimals" : "", (uint64_t)*value_of(index),
                 is_part(option) ? " thousandths" : "");
    } else {
        if (value != 0)
            warn_of_need(option, text);
        *value_of(index) = value;
        option_origins[index] = HAK_FROM_ENVIRONMENT;
    }
}

/* A policy file; it says nothing of the switches. */
static void read_file(const char *path)
{
    if (path != NULL && *path != 0)
        hak_policy_file_read(path, &starting_policy, option_origins);
}

/* Sizes that can be no classes: those of the build. */
static void check_sizes(void)
{
    const hak_policy_t *built = hak_policy();
    if (hak_policy_has_good_sizes(&starting_policy))
        return;
    hak_warn(
        "HAKMEM_MID_DYN1=%u, HAKMEM_MID_DYN2=%u: each is 0, or a multiple of 16 above %u and below %u, and "
        "not the other; using %u and %u",
        (uint64_t)starting_policy.mid_dyn1, (uint64_t)starting_policy.mid_dyn2, (uint64_t)HAK_BUILT_tiny_max,
        (uint64_t)HAK_BUILT_mid_max_kb << 10, (uint64_t)built->mid_dyn1, (uint64_t)built->mid_dyn2);
    starting_policy.mid_dyn1 = built->mid_dyn1;
    starting_policy.mid_dyn2 = built->mid_dyn2;
    option_origins[HAK_POLICY_mid_dyn1] = option_origins[HAK_POLICY_mid_dyn2] = HAK_FROM_DEFAULT;
}

void hak_options_read(const char *(*lookup)(const char *name))
{
    starting_policy = *hak_policy();
    for (size_t i = 0; i < HAK_POLICIES; i++)
        option_origins[i] = hak_policy_origin(i);
    read_mode(lookup("HAKMEM_MODE"));
    read_file(lookup("HAKMEM_POLICY"));
    for (size_t i = 0; i < OPTIONS; i++) {
        const option_t option = option_at(i);
        read_option(i, &option, lookup(option.name));
    }
    check_sizes();
    hak_policy_start(&starting_policy, option_origins);
}

const char *hak_options_words(size_t index, hak_text_t *text)
{
    const option_t option = option_at(index);
    if (option.unit == NULL)
        return *text_of(index) != NULL ? *text_of(index) : "none";
    if (option.words == NULL)
        return NULL;
    append_word(text, option.words, (uint32_t)hak_options_view(index).value);
    return text->bytes;
}

const char *hak_options_mode(void)
{
    return mode_name;
}

size_t hak_options_count(void)
{
    return OPTIONS;
}

hak_option_view_t hak_options_view(size_t index)
{
    const option_t option = option_at(index);
    hak_policy_t policy = *hak_policy();
    bool tuned = index < HAK_POLICIES, is_text = option.unit == NULL;
    hak_option_view_t view = {.unit = is_text ? "" : option.unit,
                              .sentence = option.sentence,
                              .value = tuned     ? *hak_policy_value(&policy, index)
                                       : is_text ? *text_of(index) != NULL
                                                 : *value_of(index),
                              .compiled_in = option.needs->compiled_in,
                              .origin = tuned ? hak_policy_origin(index) : option_origins[index]};
    memcpy(view.name, option.name, sizeof view.name);
    return view;
}
