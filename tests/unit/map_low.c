/* SPDX-License-Identifier: MIT */
/* With a sanitizer's runtime in the process the map lies where ThreadSanitizer and MemorySanitizer leave room to programs. */
#include "check.h"

#include "map/map.h"

void __msan_init(void);

void __msan_init(void) {}

int main(void)
{
    CHECK(hak_map_init(), "no room for the map");
    const uintptr_t end = (uintptr_t)hak_map + ((uintptr_t)32 << 30);
    CHECK(end <= (uintptr_t)0x80 << 32, "the map ends at 0x%lx", (unsigned long)end);
    return 0;
}
