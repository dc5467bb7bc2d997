/* SPDX-License-Identifier: MIT */
/* options.h: what the environment says: the switches of options.def, and the policy at the start. Written once, before the first
 * block is handed out; read by any thread after that.
 *
 * Without HAK_OPTIONS the switches are constants and every use of them folds. */
#ifndef HAK_BASE_OPTIONS_H
#define HAK_BASE_OPTIONS_H

#include "base/message.h"
#include "base/policy.h"

typedef struct hak_options {
#define OPTION(field, name, low, high, value, unit, needs, sentence) uint32_t field;
#define CHOICE(field, name, words, value, needs, sentence)           uint32_t field;
#define TEXT(field, name, needs, sentence)                           const char *field;
#include "base/options.def"
#undef OPTION
#undef CHOICE
#undef TEXT
} hak_options_t;

/* The words of the choices, by number: of HAKMEM_STATS, HAKMEM_SITE_RULES, HAKMEM_EVO_POLICY. */
enum {
    HAK_STATS_OFF,
    HAK_STATS_COUNTERS,
    HAK_STATS_OPTIONS
};

enum {
    HAK_SITES_OFF,
    HAK_SITES_SERVED,
    HAK_SITES_COUNTED
};

enum {
    HAK_EVO_LEARN,
    HAK_EVO_FROZEN
};

static const hak_options_t hak_options_default = {
#define OPTION(field, name, low, high, value, unit, needs, sentence) .field = (value),
#define CHOICE(field, name, words, value, needs, sentence)           .field = (value),
#define TEXT(field, name, needs, sentence)                           .field = NULL,
#include "base/options.def"
#undef OPTION
#undef CHOICE
#undef TEXT
};

extern hak_options_t hak_options_live HAK_HIDDEN;

HAK_INLINE const hak_options_t *hak_options(void)
{
    return HAK_OPTIONS ? &hak_options_live : &hak_options_default;
}

#define HAK_OPTION_NAME 40u /* bytes, more than any name of an option */

/* One option as the statistics page shows it. */
typedef struct hak_option_view {
    char name[HAK_OPTION_NAME];
    const char *unit;
    const char *sentence;
    uint32_t value;   /* of a text: whether it is set */
    bool compiled_in; /* false: the variant lacks the feature, whatever the value */
    hak_origin_t origin;
} hak_option_view_t;

/* Sets the switches and the policy from HAKMEM_MODE and the options; `lookup` returns the value of an environment variable or
 * NULL. A bad value warns once on stderr, naming the value used, and is ignored. Single thread. */
void hak_options_read(const char *(*lookup)(const char *name));
/* The name of the mode in force. */
const char *hak_options_mode(void);
size_t hak_options_count(void);
hak_option_view_t hak_options_view(size_t index);
/* The word or the text that an option is; NULL when it is a number. It lies in `text` or is the environment's
 * own. */
const char *hak_options_words(size_t index, hak_text_t *text);

#endif
