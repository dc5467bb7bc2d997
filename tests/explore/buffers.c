/* SPDX-License-Identifier: MIT */
/* Stores that others see later than the thread that made them goes on. In a scenario with `buffers`, an atomic store or
 * read-modify-write that is not seq_cst goes into its thread's buffer, from which a step of its own writes it to memory;
 * the thread's own loads find it there, and its seq_cst writes and fences wait until the buffer is empty. A word that a
 * read-modify-write is about to change is written by nobody else until then, so that it stays one operation.
 *
 * That is what a store followed by a load of another word can do on x86, and what a releasing exchange can do on
 * arm64: the handshakes of remote.c rest on the seq_cst operations that forbid it. Loads that are satisfied early are
 * the same thing seen from the other side; stores that overtake stores are not explored here, races.c sees where
 * that matters. */
#include "explore.h"

enum {
    STORES = 64
};

typedef struct store {
    uintptr_t address;
    uint64_t value;
    uint32_t size;
    bool reserves;
} store_t;

typedef struct buffer {
    store_t store[STORES];
    unsigned first, end; /* [first, end) wait */
} buffer_t;

static buffer_t buffers[THREADS_MOST];

bool buffer_empty(unsigned thread)
{
    return buffers[thread].first == buffers[thread].end;
}

void buffer_put(unsigned thread, uintptr_t address, uint32_t size, uint64_t value, bool reserves)
{
    buffer_t *buffer = &buffers[thread];
    CHECK(buffer->end - buffer->first < STORES, "too many stores wait");
    buffer->store[buffer->end++ % STORES] =
        (store_t){.address = address, .value = value, .size = size, .reserves = reserves};
}

step_t buffer_next(unsigned thread)
{
    const store_t *next = &buffers[thread].store[buffers[thread].first % STORES];
    return (step_t){.address = next->address, .size = next->size, .kind = STEP_FLUSH, .writes = true};
}

void buffer_flush(unsigned thread)
{
    const store_t *next = &buffers[thread].store[buffers[thread].first++ % STORES];
    memcpy((void *)next->address, &next->value, next->size);
}

/* The youngest store of the thread to this word that still waits. */
bool buffer_find(unsigned thread, uintptr_t address, uint64_t *value)
{
    const buffer_t *buffer = &buffers[thread];
    for (unsigned i = buffer->end; i-- != buffer->first;) {
        if (buffer->store[i % STORES].address == address) {
            *value = buffer->store[i % STORES].value;
            return true;
        }
    }
    return false;
}

bool buffer_reserves(unsigned thread, uintptr_t address)
{
    const buffer_t *buffer = &buffers[thread];
    for (unsigned i = buffer->first; i != buffer->end; i++)
        if (buffer->store[i % STORES].address == address && buffer->store[i % STORES].reserves)
            return true;
    return false;
}
