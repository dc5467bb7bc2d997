/* SPDX-License-Identifier: MIT */
/* vdso.h: the clock that the kernel maps into each process. Found by hand: libc's clock_gettime is a name that tools put
 * themselves in front of, and what they do there may allocate. */
#ifndef HAK_OS_VDSO_H
#define HAK_OS_VDSO_H

#include "base/types.h"

#include <time.h>

typedef int (*hak_clock_t)(clockid_t id, struct timespec *now);

/* The kernel's clock_gettime; NULL where it maps none. `base` is the address of its image, as the kernel gives it
 * (AT_SYSINFO_EHDR), or NULL. */
hak_clock_t hak_vdso_clock(const void *base);

#endif
