/* SPDX-License-Identifier: MIT */
/* site_cache.h: huge blocks that call sites keep (obs/site_table.h): a site that asks for large blocks now and then finds the
 * one that it gave back last, whatever other sizes its thread has asked for since, and another thread's as well. Compiled in by
 * HAK_CALL_SITES. Any thread, no lock.
 *
 * What is kept looks to everybody as what a heap keeps (oversize.h): its map entry says that it is not in use. A request of
 * another size sends all back that the site has; so does a window in which the site took and gave nothing; malloc_trim and
 * memory that is out send all back. All sites together keep no more than HAKMEM_BIGCACHE_MB. */
#ifndef HAK_MEM_SITE_CACHE_H
#define HAK_MEM_SITE_CACHE_H

#include "base/types.h"

#define HAK_SITE_KEPT 4u /* blocks that a site keeps, at most */

/* A block of exactly so many slices that the site kept; NULL if there is none. */
void *hak_site_cache_take(unsigned slot, size_t slices);
/* Keeps a block that the site gave; false: it is the caller's to free. */
bool hak_site_cache_keep(unsigned slot, void *p);
/* All go back. No lock may be held. */
void hak_site_cache_flush(void);
/* Those go back of sites that have been idle for a window. No lock may be held. */
void hak_site_cache_release_due(uint32_t now_ms);
/* What is kept just now: blocks and their bytes. */
size_t hak_site_cache_blocks(void);
size_t hak_site_cache_bytes(void);

#endif
