/* SPDX-License-Identifier: MIT */
/* sites.h: the places that call malloc: return address -> number, and the files that they lie in. A table in a mapping of its
 * own, touched by the holder of the recording's lock. */
#ifndef HAK_OBS_SITES_H
#define HAK_OBS_SITES_H

#include "os/file.h"

#define HAK_SITES_MOST   24576u /* further ones have the number 0 */
#define HAK_SITES_PLACES 32768u /* a power of two */
#define HAK_OBJECTS_MOST 256u

/* A file that is mapped. */
typedef struct hak_sites_object {
    uintptr_t start, end;
    uint64_t offset; /* of `start` in the file */
} hak_sites_object_t;

/* All zero: empty. */
typedef struct hak_sites {
    struct {
        uintptr_t address; /* 0: an empty place */
        uint32_t number;
    } * places;
    uint32_t count; /* sites so far, from 1 */
    uint32_t object_count;
    hak_sites_object_t objects[HAK_OBJECTS_MOST];
} hak_sites_t;

/* What became known by a look at a site. */
typedef struct hak_sites_news {
    bool site;               /* it is new */
    uint32_t object;         /* that it lies in, from 1; 0: in no file */
    uint64_t offset;         /* in that file; in no file: the address */
    bool named;              /* the object is new */
    hak_os_object_t mapping; /* of a new one: where it is, and its path */
} hak_sites_news_t;

/* The number of a site; 0 when there are too many. news->site says whether the rest of *news was written. */
uint32_t hak_sites_number(hak_sites_t *sites, const void *address, hak_sites_news_t *news);
void hak_sites_clear(hak_sites_t *sites);

#endif
