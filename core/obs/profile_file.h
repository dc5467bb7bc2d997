/* SPDX-License-Identifier: MIT */
/* profile_file.h: the profile as a file in the text format that pprof reads (heap_v2): a line a stack and size, then what was
 * mapped. No stdio, no allocation, no lock: the tables only grow. Any thread, and a signal handler. */
#ifndef HAK_OBS_PROFILE_FILE_H
#define HAK_OBS_PROFILE_FILE_H

#include "obs/profile.h"

/* From now on hak_profile_file_write writes there. False, after a warning, if the path is too long. Before there are threads. */
bool hak_profile_file_set(const char *path, uint64_t interval);
/* Writes what was sampled so far. In a forked child the name is FILE.PID. Does nothing unless a path was set. */
void hak_profile_file_write(void);

#endif
