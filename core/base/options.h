/* SPDX-License-Identifier: MIT */
/* options.h: the run-time policy. Written once, before the first block is handed out; read by any thread after that.
 *
 * Without HAK_OPTIONS the policy is a constant and every use of it folds. */
#ifndef HAK_BASE_OPTIONS_H
#define HAK_BASE_OPTIONS_H

#include "base/types.h"

typedef struct hak_policy {
#define OPTION(field, name, low, high, value, unit, sentence) uint32_t field;
#define CHOICE(field, name, words, value, sentence)           uint32_t field;
#include "base/options.def"
#undef OPTION
#undef CHOICE
} hak_policy_t;

enum {
    HAK_THP_OFF,
    HAK_THP_AUTO,
    HAK_THP_ON
};

static const hak_policy_t hak_policy_default = {
#define OPTION(field, name, low, high, value, unit, sentence) .field = (value),
#define CHOICE(field, name, words, value, sentence)           .field = (value),
#include "base/options.def"
#undef OPTION
#undef CHOICE
};

extern hak_policy_t hak_policy_live HAK_HIDDEN;

HAK_INLINE const hak_policy_t *hak_policy(void)
{
    return HAK_OPTIONS ? &hak_policy_live : &hak_policy_default;
}

/* How an option got its value; printed beside it. */
typedef enum hak_origin {
    HAK_FROM_DEFAULT,
    HAK_FROM_MODE,
    HAK_FROM_ENVIRONMENT
} hak_origin_t;

/* One option as the statistics page shows it. */
typedef struct hak_option_view {
    const char *name;
    const char *words; /* NULL for a number */
    const char *unit;
    const char *sentence;
    uint32_t value;
    bool compiled_in; /* false: the variant lacks the feature, whatever the value */
    hak_origin_t origin;
} hak_option_view_t;

/* Sets hak_policy_live from HAKMEM_MODE and the options; `lookup` returns the value of an environment variable or
 * NULL. A bad value warns once on stderr, naming the value used, and is ignored. Single thread. */
void hak_options_read(const char *(*lookup)(const char *name));
/* The name of the mode in force. */
const char *hak_options_mode(void);
size_t hak_options_count(void);
hak_option_view_t hak_options_view(size_t index);

#endif
