/* SPDX-License-Identifier: MIT */
/* Signals arriving in malloc at a high rate, handlers that touch no allocator; contents stay whole, errno too. */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include "threads.h"

static volatile sig_atomic_t arrived;

static void handler(int number)
{
    (void)number;
    arrived = arrived + 1;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    const struct itimerval often = {{0, 200}, {0, 200}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
    enum {
        SLOTS = 500
    };
    static struct {
        unsigned char *block;
        size_t size;
    } slots[SLOTS];
    uint64_t random = 9;
    for (int step = 0; arrived < 500 || step < 100000; step++) {
        const size_t i = next_random(&random) % SLOTS;
        CHECK(is_filled(slots[i].block, slots[i].size, i), "step %d: a block changed", step);
        errno = 0;
        free(slots[i].block);
        slots[i].size = step % 500 == 0 ? 400000 : random_size(&random, 20000);
        slots[i].block = malloc(slots[i].size);
        CHECK(slots[i].block != NULL && errno == 0, "step %d: errno %d", step, errno);
        fill(slots[i].block, slots[i].size, i);
    }
    const struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    return 0;
}
