/* SPDX-License-Identifier: MIT */
/* The system's calls, put in front of the real ones by --wrap: they fail when told to, and the clock is ours. */
#ifndef TESTS_FUZZ_SYSTEM_H
#define TESTS_FUZZ_SYSTEM_H

#include "os/os.h"

void *__real_hak_os_map(size_t size, size_t align);
void *__real_hak_os_map_seen(size_t size, size_t align);
void *__real_hak_os_map_at(void *address, size_t size, bool writable);
bool __real_hak_os_make_writable(void *address, size_t size);
bool __real_hak_os_discard(void *address, size_t size);
bool __real_hak_os_resize(void *address, size_t old_size, size_t new_size, bool *no_room);
bool __real_hak_os_move(void *address, size_t old_size, void *target, size_t new_size);

static unsigned to_refuse;  /* calls from now on */
static bool system_refused; /* since the operation began */
static bool refused_ever;   /* in this process */
static uint64_t now_ms = 1000;

static bool refuses(void)
{
    if (to_refuse == 0)
        return false;
    to_refuse--;
    system_refused = refused_ever = true;
    return true;
}

void *__wrap_hak_os_map(size_t size, size_t align)
{
    return refuses() ? NULL : __real_hak_os_map(size, align);
}

void *__wrap_hak_os_map_seen(size_t size, size_t align)
{
    return refuses() ? NULL : __real_hak_os_map_seen(size, align);
}

void *__wrap_hak_os_map_at(void *address, size_t size, bool writable)
{
    return refuses() ? NULL : __real_hak_os_map_at(address, size, writable);
}

bool __wrap_hak_os_make_writable(void *address, size_t size)
{
    return !refuses() && __real_hak_os_make_writable(address, size);
}

bool __wrap_hak_os_discard(void *address, size_t size)
{
    return !refuses() && __real_hak_os_discard(address, size);
}

bool __wrap_hak_os_resize(void *address, size_t old_size, size_t new_size, bool *no_room)
{
    *no_room = true;
    return !refuses() && __real_hak_os_resize(address, old_size, new_size, no_room);
}

bool __wrap_hak_os_move(void *address, size_t old_size, void *target, size_t new_size)
{
    if (refuses()) { /* where it would get longer with the target gone, as most kernels do it */
        if (old_size != new_size)
            hak_os_unmap(target, new_size);
        return false;
    }
    return __real_hak_os_move(address, old_size, target, new_size);
}

uint64_t __wrap_hak_os_now_ms(void)
{
    return now_ms;
}

#endif
