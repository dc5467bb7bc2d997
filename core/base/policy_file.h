/* SPDX-License-Identifier: MIT */
/* policy_file.h: policies in files. What the library reads of one are `format = 1` and the section [values], a line
 * `name = number` a row of policy.def; other sections are for people and tools. No stdio, no allocation. */
#ifndef HAK_BASE_POLICY_FILE_H
#define HAK_BASE_POLICY_FILE_H

#include "base/policy.h"

/* Takes the values of a file over into *policy, each with its origin. Of one that is bad in any line none is: a warning names the line
 * and what is wrong with it. */
void hak_policy_file_read(const char *path, hak_policy_t *policy, hak_origin_t *origins);

/* From now on hak_policy_file_write writes there. A path that is too long is warned of and forgotten. Before there are threads. */
void hak_policy_file_set_output(const char *path);
/* Writes the policy in force: to a file beside, which then takes the name, so that nobody sees half of it. Without an output it
 * does nothing. Any thread, and a signal handler. */
void hak_policy_file_write(void);

#endif
