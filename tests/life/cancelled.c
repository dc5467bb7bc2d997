/* SPDX-License-Identifier: MIT */
/* A cancel request pending in malloc: the family has no cancellation point, so the thread goes on to its own. */
#include "threads.h"

static int came_through;

static void *work(void *index)
{
    (void)index;
    pthread_cancel(pthread_self());
    for (int i = 0; i < 20; i++)
        use_every_size();
    came_through = 1;
    pthread_testcancel();
    came_through = 2;
    return NULL;
}

int main(void)
{
    for (int round = 0; round < 20; round++) {
        came_through = 0;
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0, "pthread_create");
        CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED,
              "the thread was not cancelled");
        CHECK(came_through == 1, "cancelled %s", came_through ? "too late" : "inside the allocator");
    }
    use_every_size();
    return 0;
}
