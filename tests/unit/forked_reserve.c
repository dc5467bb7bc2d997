/* SPDX-License-Identifier: MIT */
/* The address space that the pool has in reserve, in a child that was forked while another thread was giving it back: unmapped, and
 * not yet forgotten. */
#include <stdatomic.h>

#include "threads.h"
#include "hakmem.h"
#include "mem/chunk.h"

enum {
    IDLE,
    ARMED,
    UNMAPPED, /* the other thread waits behind its first call of the system */
    FORKED,
    BLOCKS = 200,
    SIZE = 200000
};

static atomic_int state;

bool __real_hak_os_unmap(void *address, size_t size);
bool __wrap_hak_os_unmap(void *address, size_t size);

bool __wrap_hak_os_unmap(void *address, size_t size)
{
    const bool done = __real_hak_os_unmap(address, size);
    int armed = ARMED;
    if (atomic_compare_exchange_strong(&state, &armed, UNMAPPED))
        while (atomic_load(&state) == UNMAPPED)
            hak_pause();
    return done;
}

static void *gives_back(void *unused)
{
    (void)unused;
    atomic_store(&state, ARMED);
    CHECK(hak_chunk_unmap_free() != 0, "nothing was in reserve");
    return NULL;
}

static int goes_on(void)
{
    alarm(20);
    CHECK(hak_chunk_holds(hakmem_alloc(16)), "no block");
    CHECK(hak_chunk_view().used >= SIZE, "%zu bytes are in use, and a block of %d", hak_chunk_view().used,
          SIZE);
    CHECK(hak_chunk_view().reserved == HAK_CHUNK, "%zu bytes are counted as reserved: what is gone, too",
          hak_chunk_view().reserved);
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned char *block = hakmem_alloc(SIZE);
        CHECK(block != NULL, "no block");
        fill(block, SIZE, i);
    }
    return 0;
}

int main(void)
{
    pthread_t thread;
    CHECK(hakmem_alloc(SIZE) != NULL, "no block");
    CHECK(pthread_create(&thread, NULL, gives_back, NULL) == 0, "no thread");
    while (atomic_load(&state) != UNMAPPED)
        hak_pause();
    const pid_t child = fork();
    if (child == 0)
        _exit(goes_on());
    expect_child_succeeds(child, "a child without what was in reserve");
    atomic_store(&state, FORKED);
    pthread_join(thread, NULL);
    use_every_size();
    return 0;
}
