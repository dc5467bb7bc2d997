/* SPDX-License-Identifier: MIT */
/* RLIMIT_AS ("as") or RLIMIT_DATA ("data") set while the program runs, at what it has: NULL and ENOMEM from then on, all works
 * again once lifted. */
#include <errno.h>
#include <sys/resource.h>
#include "threads.h"

int main(int argc, char **argv)
{
    const int resource = argc > 1 && strcmp(argv[1], "data") == 0 ? RLIMIT_DATA : RLIMIT_AS;
    use_every_size();
    unsigned char *kept = malloc(10000);
    CHECK(kept != NULL, "no memory at start");
    fill(kept, 10000, 1);
    struct rlimit before;
    CHECK(getrlimit(resource, &before) == 0, "getrlimit");
    const struct rlimit none = {4096, before.rlim_max};
    CHECK(setrlimit(resource, &none) == 0, "setrlimit");
    static void *blocks[10000];
    size_t count = 0;
    /* What was mapped before may still be used; a request that needs new address space must be refused cleanly. */
    for (size_t size = 1; size <= 256u << 20; size *= 2) {
        for (int i = 0; i < 300; i++) {
            errno = 0;
            void *block = malloc(size);
            if (block == NULL) {
                CHECK(errno == ENOMEM, "malloc(%zu): errno %d", size, errno);
                break;
            }
            memset(block, 1, size < 4096 ? size : 4096);
            blocks[count++] = block;
        }
    }
    CHECK(is_filled(kept, 10000, 1), "a block changed at the limit");
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    CHECK(setrlimit(resource, &before) == 0, "setrlimit back");
    for (int i = 0; i < 10; i++)
        use_every_size();
    CHECK(is_filled(kept, 10000, 1), "a block changed after the limit");
    free(kept);
    return 0;
}
