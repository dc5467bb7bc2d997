/* SPDX-License-Identifier: MIT */
/* recorded.h: what takes blocks while a recording is on (obs/record.h). `site`: where the exported function was called. */
#ifndef HAK_API_RECORDED_H
#define HAK_API_RECORDED_H

#include "base/types.h"

HAK_COLD void *hak_recorded_malloc(size_t size, const void *site);
HAK_COLD void *hak_recorded_calloc(size_t size, const void *site);
HAK_COLD void *hak_recorded_aligned(size_t align, size_t size, const void *site);
HAK_COLD void *hak_recorded_realloc(void *p, size_t size, const void *site);

#endif
