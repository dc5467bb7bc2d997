/* SPDX-License-Identifier: MIT */
/* sites.c: see sites.h. No state. */
#include "obs/sites.h"

#include "os/os.h"

static size_t table_bytes(void)
{
    const hak_sites_t *sites = NULL;
    return hak_round_up(HAK_SITES_PLACES * sizeof *sites->places, HAK_OS_PAGE);
}

/* The number of the object that holds the address; 0 if none that is known does. */
static uint32_t known_object(const hak_sites_t *sites, uintptr_t address)
{
    for (uint32_t i = 0; i < sites->object_count; i++)
        if (address >= sites->objects[i].start && address < sites->objects[i].end)
            return i + 1;
    return 0;
}

/* Looks among what is mapped; the loader's own list is not asked, since its lock may be held by a thread that waits for ours. */
static uint32_t find_object(hak_sites_t *sites, uintptr_t address, hak_sites_news_t *news)
{
    if (sites->object_count == HAK_OBJECTS_MOST || !hak_os_object_at(address, &news->mapping))
        return 0;
    news->named = true;
    sites->objects[sites->object_count++] =
        (hak_sites_object_t){news->mapping.start, news->mapping.end, news->mapping.offset};
    return sites->object_count;
}

static void describe(hak_sites_t *sites, uintptr_t address, hak_sites_news_t *news)
{
    news->site = true;
    news->named = false;
    news->object = known_object(sites, address);
    if (news->object == 0)
        news->object = find_object(sites, address, news);
    news->offset = address;
    if (news->object != 0) {
        const hak_sites_object_t *object = &sites->objects[news->object - 1];
        news->offset = address - object->start + object->offset;
    }
}

uint32_t hak_sites_number(hak_sites_t *sites, const void *address, hak_sites_news_t *news)
{
    news->site = false;
    if (sites->places == NULL)
        sites->places = hak_os_map(table_bytes(), HAK_OS_PAGE);
    if (sites->places == NULL || address == NULL)
        return 0;
    size_t at = (size_t)((uintptr_t)address * 0x9e3779b97f4a7c15ull >> 40) & (HAK_SITES_PLACES - 1);
    while (sites->places[at].address != 0 && sites->places[at].address != (uintptr_t)address)
        at = (at + 1) & (HAK_SITES_PLACES - 1); /* ends: a quarter of the places is empty */
    if (sites->places[at].address != 0)
        return sites->places[at].number;
    if (sites->count == HAK_SITES_MOST)
        return 0;
    sites->places[at].address = (uintptr_t)address;
    sites->places[at].number = ++sites->count;
    describe(sites, (uintptr_t)address, news);
    return sites->count;
}

void hak_sites_clear(hak_sites_t *sites)
{
    if (sites->places != NULL)
        hak_os_unmap(sites->places, table_bytes());
    sites->places = NULL;
    sites->count = sites->object_count = 0;
}
