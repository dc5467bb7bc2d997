/* SPDX-License-Identifier: MIT */
/* What code compiled with -fsanitize=thread calls: here the steps of the explorer instead of the sanitizer's runtime.
 * gcc's and clang's names are the same. */
#include "explore.h"

#include <stdatomic.h>

extern const char __executable_start[]; /* addr2line wants to know where in the program it is */
#define CALLER  ((uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start)
#define ADDRESS ((uintptr_t)address)

void __tsan_init(void);
void __tsan_init(void) {}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void) {}

/* --- plain accesses ----------------------------------------------------------------------------------------------- */

static void plain_access(uintptr_t address, size_t size, bool writes, uintptr_t caller)
{
    if (writes && acting_finely())
        take_step((step_t){.kind = STEP_PLAIN, .caller = caller});
    race_access(address, size, writes, caller);
}

#define PLAIN(name, size, writes)                                                                            \
    void __tsan_##name(void *address);                                                                       \
    void __tsan_##name(void *address)                                                                        \
    {                                                                                                        \
        plain_access(ADDRESS, size, writes, CALLER);                                                         \
    }

#define PLAINS(size)                                                                                         \
    PLAIN(read##size, size, false)                                                                           \
    PLAIN(write##size, size, true)                                                                           \
    PLAIN(unaligned_read##size, size, false)                                                                 \
    PLAIN(unaligned_write##size, size, true)                                                                 \
    PLAIN(volatile_read##size, size, false)                                                                  \
    PLAIN(volatile_write##size, size, true)

PLAINS(1)
PLAINS(2)
PLAINS(4)
PLAINS(8)
PLAINS(16)

void __tsan_read_range(void *address, size_t size);
void __tsan_read_range(void *address, size_t size)
{
    plain_access(ADDRESS, size, false, CALLER);
}

void __tsan_write_range(void *address, size_t size);
void __tsan_write_range(void *address, size_t size)
{
    plain_access(ADDRESS, size, true, CALLER);
}

void __tsan_vptr_update(void **address, void *value);
void __tsan_vptr_update(void **address, void *value)
{
    (void)value;
    plain_access(ADDRESS, sizeof *address, true, CALLER);
}

/* --- atomic ones -------------------------------------------------------------------------------------------------- */

static void atomic_step(uintptr_t address, uint32_t size, step_kind_t kind, uint64_t expected,
                        uintptr_t caller)
{
    if (acting() >= 0) {
        take_step((step_t){.address = address,
                           .size = size,
                           .kind = (uint8_t)kind,
                           .writes = kind != STEP_READ,
                           .expected = expected,
                           .caller = caller});
    }
}

/* A seq_cst write is seen before the thread goes on, and all before it: so is, for the sake of simplicity, one to a word
 * that the thread's buffer holds. */
static void wait_for_own_stores(uintptr_t address, int order)
{
    uint64_t unused;
    if (buffering() && (order == memory_order_seq_cst || buffer_find((unsigned)acting(), address, &unused)) &&
        !buffer_empty((unsigned)acting()))
        take_step((step_t){.kind = STEP_FENCE});
}

/* A write was made just now: if it may be seen later, it is taken back into the buffer. */
static void delay_write(uintptr_t address, uint32_t size, uint64_t before, uint64_t value, int order,
                        bool reserves)
{
    if (buffering() && order != memory_order_seq_cst) {
        memcpy((void *)address, &before, size);
        buffer_put((unsigned)acting(), address, size, value, reserves);
    }
}

static uint64_t value_seen(uintptr_t address, uint64_t in_memory)
{
    uint64_t value;
    return buffering() && buffer_find((unsigned)acting(), address, &value) ? value : in_memory;
}

#define ATOMIC_FETCH(bits, name, operation)                                                                  \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address, uint##bits##_t value,      \
                                                int order);                                                  \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address, uint##bits##_t value,      \
                                                int order)                                                   \
    {                                                                                                        \
        wait_for_own_stores(ADDRESS, order);                                                                 \
        atomic_step(ADDRESS, sizeof value, STEP_WRITE, 0, CALLER);                                           \
        race_read(ADDRESS, order);                                                                           \
        race_write(ADDRESS, order, true);                                                                    \
        const uint##bits##_t before = operation(address, value, __ATOMIC_SEQ_CST);                           \
        delay_write(ADDRESS, sizeof value, before, *address, order, true);                                   \
        return before;                                                                                       \
    }

#define ATOMIC_COMPARE(bits, strength)                                                                       \
    int __tsan_atomic##bits##_compare_exchange_##strength(volatile uint##bits##_t *address,                  \
                                                          uint##bits##_t *expected, uint##bits##_t value,    \
                                                          int order, int failed);                            \
    int __tsan_atomic##bits##_compare_exchange_##strength(volatile uint##bits##_t *address,                  \
                                                          uint##bits##_t *expected, uint##bits##_t value,    \
                                                          int order, int failed)                             \
    {                                                                                                        \
        wait_for_own_stores(ADDRESS, order);                                                                 \
        atomic_step(ADDRESS, sizeof value, STEP_COMPARE, *expected, CALLER);                                 \
        const bool done = __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST,     \
                                                      __ATOMIC_SEQ_CST);                                     \
        race_read(ADDRESS, done ? order : failed);                                                           \
        if (done) {                                                                                          \
            race_write(ADDRESS, order, true);                                                                \
            delay_write(ADDRESS, sizeof value, *expected, value, order, true);                               \
        }                                                                                                    \
        return done;                                                                                         \
    }

#define ATOMICS(bits)                                                                                        \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order);            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order)             \
    {                                                                                                        \
        if (!repeats(ADDRESS)) {                                                                             \
            atomic_step(ADDRESS, sizeof *address, STEP_READ, 0, CALLER);                                     \
            note_seen(ADDRESS);                                                                              \
        }                                                                                                    \
        race_read(ADDRESS, order);                                                                           \
        return (uint##bits##_t)value_seen(ADDRESS, *address);                                                \
    }                                                                                                        \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value, int order);     \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value, int order)      \
    {                                                                                                        \
        wait_for_own_stores(ADDRESS, order);                                                                 \
        atomic_step(ADDRESS, sizeof value, STEP_WRITE, 0, CALLER);                                           \
        race_write(ADDRESS, order, false);                                                                   \
        const uint##bits##_t before = *address;                                                              \
        *address = value;                                                                                    \
        delay_write(ADDRESS, sizeof value, before, value, order, false);                                     \
    }                                                                                                        \
    ATOMIC_FETCH(bits, exchange, __atomic_exchange_n)                                                        \
    ATOMIC_FETCH(bits, fetch_add, __atomic_fetch_add)                                                        \
    ATOMIC_FETCH(bits, fetch_sub, __atomic_fetch_sub)                                                        \
    ATOMIC_FETCH(bits, fetch_and, __atomic_fetch_and)                                                        \
    ATOMIC_FETCH(bits, fetch_or, __atomic_fetch_or)                                                          \
    ATOMIC_FETCH(bits, fetch_xor, __atomic_fetch_xor)                                                        \
    ATOMIC_COMPARE(bits, strong)                                                                             \
    ATOMIC_COMPARE(bits, weak)

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    if (buffering() && order == memory_order_seq_cst && !buffer_empty((unsigned)acting()))
        take_step((step_t){.kind = STEP_FENCE});
    race_fence(order);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}
