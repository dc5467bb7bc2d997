/* SPDX-License-Identifier: MIT */
/* watch.c: the words of watch.h. */
#include "obs/watch.h"

uint32_t hak_watch;
uint32_t hak_watch_calls;
uint32_t hak_watch_frees;
