/* SPDX-License-Identifier: MIT */
/* Where the system goes on above the libraries, with the loader the lowest of them, as under setarch -L: a pointer that leads there
 * reads as not ours, and what few programs need of that is given up when there is little room. */
#include "check.h"

#include "map/map.h"
#include "os/os.h"

static const uintptr_t border = (uintptr_t)0x2aab << 32;
static const uintptr_t away = (uintptr_t)60 << 30; /* bytes */
static size_t limit = SIZE_MAX;

const void *__wrap_hak_os_libraries(void);
const void *__wrap_hak_os_libraries_end(void);
size_t __wrap_hak_os_space_limit(void);

const void *__wrap_hak_os_libraries(void)
{
    return (const void *)(border + 2000000);
}

const void *__wrap_hak_os_libraries_end(void)
{
    return (const void *)(border - 100000);
}

size_t __wrap_hak_os_space_limit(void)
{
    return limit;
}

int main(void)
{
    CHECK(hak_map_init(), "no room for the map");
    CHECK(hak_map_get((const void *)(border - 50000)) == 0, "an entry at the loader");
    CHECK(hak_map_get((const void *)(border + 1000000)) == 0, "an entry at the libraries");
    CHECK(hak_map_get((const void *)(border + away)) == 0, "an entry above the libraries");
    limit = (size_t)512 << 20;
    CHECK(hak_map_give_up() == (size_t)16 << 20, "not all windows were given up");
    CHECK(hak_map_get((const void *)(border + 1000000)) == 0, "the libraries' own window was given up");
    return 0;
}
