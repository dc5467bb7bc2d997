/* SPDX-License-Identifier: MIT */
/* A child that was forked while another thread made the first chunk, of which most is closed: what the child gets lies in chunks
 * that it knows. */
#include <stdatomic.h>

#include "threads.h"
#include "hakmem.h"
#include "mem/chunk.h"

enum {
    IDLE,
    CLOSING, /* the other thread waits behind the call that closes */
    FORKED,
    BLOCKS = 40,
    SIZE = 100000 /* a run by itself */
};

static atomic_int state;

bool __real_hak_os_forbid(void *address, size_t size);
bool __wrap_hak_os_forbid(void *address, size_t size);

bool __wrap_hak_os_forbid(void *address, size_t size)
{
    bool forbidden = __real_hak_os_forbid(address, size);
    int idle = IDLE;
    if (atomic_compare_exchange_strong(&state, &idle, CLOSING))
        while (atomic_load(&state) == CLOSING)
            hak_pause();
    return forbidden;
}

static void *begins(void *unused)
{
    CHECK(hakmem_alloc(SIZE) != NULL, "no block");
    return unused;
}

static int goes_on(void)
{
    alarm(20);
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned char *block = hakmem_alloc(SIZE);
        CHECK(block != NULL && hak_chunk_holds(block), "block %zu is in no chunk that is known", i);
        fill(block, SIZE, i);
    }
    return 0;
}

int main(void)
{
    pthread_t thread;
    CHECK(hak_chunk_view().reserved == 0, "the first chunk is there");
    CHECK(pthread_create(&thread, NULL, begins, NULL) == 0, "no thread");
    while (atomic_load(&state) != CLOSING)
        hak_pause();
    const pid_t child = fork();
    if (child == 0)
        _exit(goes_on());
    expect_child_succeeds(child, "a child without the first chunk");
    atomic_store(&state, FORKED);
    pthread_join(thread, NULL);
    use_every_size();
    return 0;
}
