/* SPDX-License-Identifier: MIT */
/* unknown.h: blocks of libc's own malloc that reach our free, realloc or malloc_usable_size.
 *
 * They come from code that finds libc's malloc past ours: a wrapper that was preloaded behind us and asks for RTLD_NEXT, a
 * pointer that somebody took from libc by dlsym, a plug-in that was loaded with RTLD_DEEPBIND before we could see to it
 * (api/deepbind.c). They go to libc's own functions. Whether a pointer is one is read from what libc keeps in front of each
 * block and is looked at without faulting: what is not beyond doubt is no block of libc's.
 *
 * Any thread, no lock held. errno is left alone. */
#ifndef HAK_MEM_UNKNOWN_H
#define HAK_MEM_UNKNOWN_H

#include "base/types.h"

/* Frees the block of libc's that p, which has no entry in the map, begins. False if it begins none. */
bool hak_unknown_free(void *p);
/* Usable bytes in it; 0 if it begins none. */
size_t hak_unknown_size(void *p);
/* True if p lies on the caller's stack, or in the program or a library, as what is static does: no malloc has blocks there. */
bool hak_unknown_is_static(const void *p);
/* Finds libc's functions, before anything is done to its table of symbols. */
void hak_unknown_find(void);

#endif
