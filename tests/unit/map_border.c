/* SPDX-License-Identifier: MIT */
/* The system puts libraries where it likes: here the first ones lie below a border of the map's windows, and the loader above it. A
 * pointer that leads there reads as not ours, as any other. */
#include "check.h"

#include "map/map.h"

static const uintptr_t border = (uintptr_t)0x5000 << 32;

const void *__wrap_hak_os_libraries(void);
const void *__wrap_hak_os_libraries_end(void);

const void *__wrap_hak_os_libraries(void)
{
    return (const void *)(border - 100000);
}

const void *__wrap_hak_os_libraries_end(void)
{
    return (const void *)(border + 2000000);
}

int main(void)
{
    CHECK(hak_map_init(), "no room for the map");
    CHECK(hak_map_get((const void *)(border - 50000)) == 0, "an entry below the border");
    CHECK(hak_map_get((const void *)(border + 1000000)) == 0, "an entry above the border");
    return 0;
}
