/* SPDX-License-Identifier: MIT */
/* names.h: the answer to HAKMEM_ names in the environment that are no option. Called once, before the first block. */
#ifndef HAK_BASE_NAMES_H
#define HAK_BASE_NAMES_H

#include "base/types.h"

/* Names each variable that begins with HAKMEM_ and is no option, once, on stderr: the first ones with a sentence of their
 * own, all others together, so that a program that is started with fifty of them is not drowned. `environment` is as
 * libc's `environ`, or NULL. Single thread. */
void hak_names_answer(char *const *environment);

#endif
