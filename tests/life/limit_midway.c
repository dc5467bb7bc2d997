// RLIMIT_AS set while the program runs, at what it has: NULL and ENOMEM from then on, all works again once lifted.
#include <errno.h>
#include <sys/resource.h>
#include "threads.h"

int main(void)
{
    use_every_size();
    unsigned char *kept = malloc(10000);
    CHECK(kept != NULL, "no memory at start");
    fill(kept, 10000, 1);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0, "getrlimit");
    const struct rlimit none = {4096, before.rlim_max};
    CHECK(setrlimit(RLIMIT_AS, &none) == 0, "setrlimit");
    static void *blocks[10000];
    size_t count = 0;
    // What was mapped before may still be used; a request that needs new address space must be refused cleanly.
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
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    CHECK(setrlimit(RLIMIT_AS, &before) == 0, "setrlimit back");
    for (int i = 0; i < 10; i++) {
        use_every_size();
    }
    CHECK(is_filled(kept, 10000, 1), "a block changed after the limit");
    free(kept);
    return 0;
}
