/* SPDX-License-Identifier: MIT */
/* trace.c: the ring of events. */
#include "obs/trace.h"

#include "base/message.h"

typedef struct event {
    const char *name; /* NULL: never written */
    const void *address;
    uint64_t number;
} event_t;

static event_t ring[HAK_TRACE ? HAK_TRACE_EVENTS : 1];
/* relaxed: each gets a place of its own; who prints may find one half written. */
static _Atomic uint32_t next;

void hak_trace_add(const char *name, const void *address, uint64_t number)
{
    uint32_t slot = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
    ring[slot % HAK_TRACE_EVENTS] = (event_t){name, address, number};
}

void hak_trace_write(int fd)
{
    uint32_t end = atomic_load_explicit(&next, memory_order_relaxed);
    for (uint32_t i = 0; HAK_TRACE && i < HAK_TRACE_EVENTS; i++) {
        const event_t *event = &ring[(end + i) % HAK_TRACE_EVENTS];
        if (event->name == NULL)
            continue;
        hak_text_t line = {.length = 0};
        hak_text_format(&line, "hakmem: trace: %s %x %u\n", event->name, (uint64_t)(uintptr_t)event->address,
                        event->number);
        hak_text_write(&line, fd);
    }
}
