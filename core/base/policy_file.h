/* SPDX-License-Identifier: MIT */
/* policy_file.h: policies in files. What the library reads of one are `format = 1` and the section [values], a line
 * `name = number` a row of policy.def; other sections are for people and tools. No stdio, no allocation. */
#ifndef HAK_BASE_POLICY_FILE_H
#define HAK_BASE_POLICY_FILE_H

#include "base/policy.h"

#define HAK_POLICY_FILE_FORMAT 1u

/* Takes the values of a file over into *policy, each with its origin. Of one that is bad in any line none is: a warning names
 * the line and what is wrong with it. */
void hak_policy_file_read(const char *path, hak_policy_t *policy, hak_origin_t *origins);

#endif
