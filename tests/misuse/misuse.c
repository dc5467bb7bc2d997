// One deliberate misuse of the allocator, named by the argument. tests/test_misuse.py holds what must come of each.
// Ends with 0 when nobody noticed.
#include <sys/mman.h>
#include "threads.h"

static int in_image[16];

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

static void use_up(void)
{
    for (int i = 0; i < 100; i++) {
        use_every_size();
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    char *block = malloc(24);
    char *other = malloc(24);
    CHECK(block != NULL && other != NULL, "no memory");
    memset(block, 1, 24);
    if (strcmp(kind, "double-free") == 0) {
        free(block);
        free(escape(block));
    } else if (strcmp(kind, "double-free-later") == 0) {
        free(block);
        free(other);
        free(escape(block));
    } else if (strcmp(kind, "double-free-by-thread") == 0) {
        pthread_t thread;
        free(block);
        pthread_create(&thread, NULL, free_it, escape(block));
        pthread_join(thread, NULL);
    } else if (strcmp(kind, "double-free-by-realloc") == 0) {
        free(block);
        free(realloc(escape(block), 100));
    } else if (strcmp(kind, "double-free-large") == 0) {
        char *large = malloc(700000);
        free(large);
        free(escape(large));
    } else if (strcmp(kind, "double-free-big") == 0) {
        char *big = malloc(50000000);
        free(big);
        free(escape(big));
    } else if (strcmp(kind, "interior") == 0) {
        free(escape(block + 16));
    } else if (strcmp(kind, "interior-large") == 0) {
        free(escape((char *)malloc(700000) + 4096));
    } else if (strcmp(kind, "interior-big") == 0) {
        free(escape((char *)malloc(50000000) + 65536));
    } else if (strcmp(kind, "stack") == 0) {
        int on_stack[16];
        free(escape(on_stack + 4));
    } else if (strcmp(kind, "static") == 0) {
        free(escape(in_image + 4));
    } else if (strcmp(kind, "libc") == 0) {
        free(escape((void *)(uintptr_t)stdout));
    } else if (strcmp(kind, "foreign") == 0) {
        char *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        free(escape(mapped + 4096));
    } else if (strcmp(kind, "unmapped") == 0) {
        char *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(mapped, 1 << 20);
        free(escape(mapped + 4096));
    } else if (strcmp(kind, "small-number") == 0) {
        free(escape((void *)(uintptr_t)24));
    } else if (strcmp(kind, "overrun-by-one") == 0) {
        block[24] = 9;
        free(escape(block));
    } else if (strcmp(kind, "overrun-by-many") == 0) {
        memset(escape(block), 9, 100);
        free(escape(block));
    } else if (strcmp(kind, "none") == 0) {
        free(block);
        free(other);
    } else {
        dprintf(2, "unknown misuse '%s'\n", kind);
        return 2;
    }
    use_up();
    return 0;
}
