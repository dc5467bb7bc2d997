/* SPDX-License-Identifier: MIT */
/* policy_out.h: the policy in force as a file, which policy_file.h can read again. Each value has its origin beside it. */
#ifndef HAK_OBS_POLICY_OUT_H
#define HAK_OBS_POLICY_OUT_H

#include "base/policy.h"

/* From now on hak_policy_out_write writes there. A path that is too long is warned of and forgotten. Before there are threads. */
void hak_policy_out_set(const char *path);
/* Without an output it does nothing. Any thread, and a signal handler. */
void hak_policy_out_write(void);

#endif
