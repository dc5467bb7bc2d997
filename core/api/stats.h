/* SPDX-License-Identifier: MIT */
/* stats.h: the statistics page. Any thread; other threads' counters may be a few events behind. */
#ifndef HAK_API_STATS_H
#define HAK_API_STATS_H

#include <stdbool.h>

/* Writes options, memory and counters to a file descriptor, as text or as one JSON object. Allocates nothing. */
void hak_stats_write(int fd, bool json);
/* The options alone, as text. */
void hak_stats_write_options(int fd);
/* What was timed and counted of calls (HAKMEM_PROF, HAKMEM_FRONT_STATS), as text; nothing without these. */
void hak_stats_write_sampled(int fd);

#endif
