// One deliberate misuse of the allocator, named by the argument; `list` prints all of them with what they do. Afterwards
// everything that such a bug is exploited for is looked for: a block handed out twice, or outside of the heap, or
// changed.
//
//   0    nobody noticed, and no harm was found
//   3    harm was found; one line says which
//   other ends are the allocator's doing (tests/misuse/table.py reads them)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "threads.h"

#define HARM         3
#define HELD         3000 // blocks of each size that are allocated afterwards
#define COMPARED     400  // of them, each with all others
#define BIG          ((size_t)50000000)
#define LARGE        ((size_t)700000)
#define MID          ((size_t)5000)
#define SECRET       0x5ec2e75ec2e75ec2ull
#define PAGE_OF_MINE ((size_t)65536)

typedef uint64_t word_t __attribute__((may_alias, aligned(1)));

static int in_image[16];
static char target[256] __attribute__((aligned(64))); // what a forged link leads to

static char *in_use; // a block that nobody frees, or NULL

static void harmed(const char *what)
{
    dprintf(2, "harm: %s\n", what);
    _exit(HARM);
}

static char *get(size_t size)
{
    char *block = (char *)escape(malloc(size));
    CHECK(block != NULL, "no memory");
    memset(block, 1, size);
    return block;
}

// A block of 24 bytes that is in use to the end.
static char *keep(void)
{
    in_use = get(24);
    fill(in_use, 24, 7);
    return in_use;
}

// The block that was freed, handed out again to somebody else.
static char *reuse(const char *freed, size_t size)
{
    for (int i = 0; i < 100000; i++) {
        char *block = get(size);
        if (block == freed) {
            return block;
        }
    }
    exit(TEST_SKIPPED);
}

// A block of which the address is no multiple of 64.
static char *odd(size_t size)
{
    char *block = get(size);
    while ((uintptr_t)block % 64 == 0) {
        block = get(size);
    }
    return block;
}

static char *mapped(void)
{
    char *at = (char *)mmap(NULL, PAGE_OF_MINE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED, "mmap");
    return at;
}

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

static void free_by_thread(void *block)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_it, block) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

// A function of the C++ runtime's, which the allocator replaces.
static void *operator_of(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    if (found == NULL) {
        exit(TEST_SKIPPED);
    }
    return found;
}

static void delete_sized(void *block, size_t size)
{
    void (*delete)(void *, size_t);
    *(void **)&delete = operator_of("_ZdlPvm");
    delete (block, size);
}

static void delete_aligned(void *block, size_t align)
{
    void (*delete)(void *, size_t);
    *(void **)&delete = operator_of("_ZdlPvSt11align_val_t");
    delete (block, align);
}

static void write_into(char *freed, size_t at, uint64_t value)
{
    free(freed);
    *(word_t *)((char *)escape(freed) + at) = value;
}

// Others of the class stay in use, so that the block's memory stays of the class.
static void write_freed(size_t size, size_t at, uint64_t value)
{
    char *block = NULL;
    for (int i = 0; i < 64; i++) {
        block = i == 32 ? get(size) : block;
        get(size);
    }
    write_into(block, at, value);
}

// Something else of the class is free as well, so that the block's link is not the end of its list.
static void write_link(uint64_t value)
{
    char *first = get(24);
    char *block = get(24);
    free(first);
    write_into(block, 0, value);
}

static void read_freed(size_t size)
{
    char *block = get(size);
    for (size_t at = 0; at + 8 <= size; at += 8) {
        *(word_t *)(block + at) = SECRET;
    }
    free(block);
    for (size_t at = 0; at + 8 <= size; at += 8) {
        if (*(word_t *)((char *)escape(block) + at) == SECRET) {
            harmed("a free block shows what was in it");
        }
    }
}

// One of many blocks, of which the others must stay as they are. The first byte behind it changes for certain: a canary is
// random, and one that is the byte by chance is not overrun.
static void overrun(size_t size, size_t by, int byte)
{
    enum {
        MANY = 64
    };
    static char *blocks[MANY];
    const size_t count = size <= MID ? MANY : 2;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = get(size);
        fill(blocks[i], size, i);
    }
    char *end = (char *)escape(blocks[count / 2]) + size;
    const char before = *end;
    memset(end, byte, by);
    if (*end == before && byte != 0) {
        *end = (char)(before + 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_filled(blocks[i], size, i)) {
            free(blocks[count / 2]);
            harmed("another block changed");
        }
    }
    free(blocks[count / 2]);
}

// The blocks of a class and what is behind each; the one in front of a free one is overrun.
static void overrun_into_free(void)
{
    char *blocks[64];
    for (size_t i = 0; i < 64; i++) {
        blocks[i] = get(24);
    }
    for (size_t i = 1; i < 64; i += 2) {
        free(blocks[i]);
    }
    for (size_t i = 0; i < 64; i += 2) {
        memset((char *)escape(blocks[i]), 9, 48);
    }
}

static void no_misuse(void)
{
    free(get(24));
}

static void null_pointer(void)
{
    free(escape(NULL));
}

static void free_twice(size_t size)
{
    char *block = get(size);
    free(block);
    free(escape(block));
}

static void double_free(void)
{
    free_twice(24);
}

static void double_free_later(void)
{
    char *block = get(24);
    char *other = get(24);
    free(block);
    free(get(24));
    free(other);
    free(escape(block));
}

static void double_free_reused(void)
{
    char *block = get(24);
    free(block);
    char *next = reuse(block, 24);
    free(escape(block));
    free(next);
}

static void double_free_by_thread(void)
{
    char *block = get(24);
    free(block);
    free_by_thread(escape(block));
}

static void double_free_by_threads(void)
{
    char *block = get(24);
    free_by_thread(block);
    free_by_thread(escape(block));
}

static void double_free_by_realloc(void)
{
    char *block = get(24);
    free(block);
    free(realloc(escape(block), 100));
}

static void double_free_after_realloc(void)
{
    char *block = get(24);
    free(realloc(block, 5000));
    free(escape(block));
}

static void double_free_mid(void)
{
    free_twice(MID);
}

static void double_free_large(void)
{
    free_twice(LARGE);
}

static void double_free_big(void)
{
    free_twice(BIG);
}

static void interior(void)
{
    char *block = get(24);
    free(escape(block + 16));
}

static void unaligned(void)
{
    char *block = get(24);
    free(escape(block + 1));
}

static void interior_mid(void)
{
    free(escape(get(MID) + 2048));
}

static void interior_large(void)
{
    free(escape(get(LARGE) + 4096));
}

static void interior_big(void)
{
    free(escape(get(BIG) + 65536));
}

static void interior_realloc(void)
{
    char *block = get(24);
    free(realloc(escape(block + 16), 100));
}

static void on_stack(void)
{
    int on_stack[16];
    free(escape(on_stack + 4));
}

static void static_object(void)
{
    free(escape(in_image + 4));
}

static void libc_object(void)
{
    free(escape((void *)(uintptr_t)stdout));
}

static void foreign(void)
{
    free(escape(mapped() + 4096));
}

static void realloc_foreign(void)
{
    free(realloc(escape(mapped() + 4096), 100));
}

static void unmapped(void)
{
    char *gone = mapped();
    munmap(gone, PAGE_OF_MINE);
    free(escape(gone + 4096));
}

static void nowhere(void)
{
    free(escape((void *)0x123456789000));
}

static void not_canonical(void)
{
    free(escape((void *)0x4141414141414140));
}

static void small_number(void)
{
    free(escape((void *)(uintptr_t)24));
}

static void write_after_free(void)
{
    write_link(0x4141414141414141);
}

static void forged_link(void)
{
    write_link((uintptr_t)target);
}

static void forged_link_own(void)
{
    write_link((uintptr_t)keep());
}

static void write_after_free_second(void)
{
    write_freed(24, 8, SECRET);
}

static void write_after_free_behind(void)
{
    write_freed(100, 40, SECRET);
}

static void write_after_free_far(void)
{
    write_freed(900, 600, SECRET);
}

static void write_after_free_mid(void)
{
    write_freed(MID, 0, SECRET);
}

static void write_after_free_mid_far(void)
{
    write_freed(MID, 3000, SECRET);
}

static void read_after_free(void)
{
    read_freed(48);
}

static void read_after_free_far(void)
{
    read_freed(200);
}

static void read_after_free_mid(void)
{
    read_freed(MID);
}

static void read_after_free_large(void)
{
    read_freed(LARGE);
}

static void read_after_free_big(void)
{
    read_freed(BIG);
}

static void overrun_by_one(void)
{
    overrun(32, 1, 9);
}

static void overrun_by_zero(void)
{
    overrun(32, 1, 0);
}

static void overrun_odd(void)
{
    overrun(20, 1, 9);
}

static void overrun_by_many(void)
{
    overrun(24, 76, 9);
}

static void overrun_mid(void)
{
    overrun(MID, 1, 9);
}

static void overrun_large(void)
{
    overrun(LARGE, 1, 9);
}

static void overrun_big(void)
{
    overrun(BIG, 1, 9);
}

// Blocks begin at the start of a page: what lies before the first one may be nobody's.
static void underrun(void)
{
    char *block = get(24);
    while ((uintptr_t)block % 4096 == 0) {
        block = get(24);
    }
    memset(escape(block - 16), 9, 16);
}

static void wrong_size(void)
{
    char *block = get(24);
    delete_sized(block, 100);
}

static void wrong_align(void)
{
    delete_aligned(odd(24), 4096);
}

static const struct misuse {
    const char *name;
    const char *sentence;
    void (*commit)(void);
} misuses[] = {
    {"none", "no misuse", no_misuse},
    {"null", "free of NULL, which is allowed", null_pointer},
    {"double-free", "free twice in a row", double_free},
    {"double-free-later", "free twice, another block between", double_free_later},
    {"double-free-reused", "free twice, handed out again between, then its new owner frees it",
     double_free_reused},
    {"double-free-by-thread", "the second free by another thread", double_free_by_thread},
    {"double-free-by-threads", "both by other threads", double_free_by_threads},
    {"double-free-by-realloc", "the second one a realloc", double_free_by_realloc},
    {"double-free-after-realloc", "of what a realloc has moved", double_free_after_realloc},
    {"double-free-mid", "of 5000 bytes", double_free_mid},
    {"double-free-large", "of 700 KB", double_free_large},
    {"double-free-big", "of 50 MB", double_free_big},
    {"interior", "free of 16 bytes into a block", interior},
    {"unaligned", "free of one byte into a block", unaligned},
    {"interior-mid", "free of the middle of 5000 bytes", interior_mid},
    {"interior-large", "free of 4 KiB into 700 KB", interior_large},
    {"interior-big", "free of 64 KiB into 50 MB", interior_big},
    {"interior-realloc", "realloc of 16 bytes into a block", interior_realloc},
    {"stack", "free of an address on the stack", on_stack},
    {"static", "free of a static object", static_object},
    {"libc", "free of an object of libc", libc_object},
    {"foreign", "free of a mapping of the program's", foreign},
    {"realloc-foreign", "realloc of it", realloc_foreign},
    {"unmapped", "free of an address where a mapping was", unmapped},
    {"nowhere", "free of an address far from everything", nowhere},
    {"not-canonical", "free of what is no address", not_canonical},
    {"small-number", "free of 24", small_number},
    {"write-after-free", "write of a number into the first word of a free block", write_after_free},
    {"forged-link", "write of a pointer to a static object there", forged_link},
    {"forged-link-own", "write of a pointer to a block in use there", forged_link_own},
    {"write-after-free-second", "write into its second word", write_after_free_second},
    {"write-after-free-behind", "write into the middle of a free block of 100 bytes",
     write_after_free_behind},
    {"write-after-free-far", "write 600 bytes into a free block of 900", write_after_free_far},
    {"write-after-free-mid", "write into the start of a free block of 5000", write_after_free_mid},
    {"write-after-free-mid-far", "write 3000 bytes into it", write_after_free_mid_far},
    {"read-after-free", "read of a free block of 48 bytes", read_after_free},
    {"read-after-free-far", "of one of 200 bytes", read_after_free_far},
    {"read-after-free-mid", "of one of 5000", read_after_free_mid},
    {"read-after-free-large", "of one of 700 KB", read_after_free_large},
    {"read-after-free-big", "of one of 50 MB", read_after_free_big},
    {"overrun-by-one", "a byte too many, of 32", overrun_by_one},
    {"overrun-by-zero", "a string's end too many, of 32", overrun_by_zero},
    {"overrun-odd", "a byte too many, of 20", overrun_odd},
    {"overrun-by-many", "76 bytes too many, of 24", overrun_by_many},
    {"overrun-mid", "a byte too many, of 5000", overrun_mid},
    {"overrun-large", "a byte too many, of 700 KB", overrun_large},
    {"overrun-big", "a byte too many, of 50 MB", overrun_big},
    {"overrun-into-free", "24 bytes too many, into free blocks", overrun_into_free},
    {"underrun", "16 bytes before a block, of another one", underrun},
    {"wrong-size", "sized delete of 24 bytes as 100", wrong_size},
    {"wrong-align", "delete of 24 bytes as aligned to 4096", wrong_align},
};

static bool is_in(const char *block, const void *object, size_t size)
{
    return block >= (const char *)object && block < (const char *)object + size;
}

// Allocates much of every size, as a program does that goes on, and looks at all of it.
static void look_for_harm(void)
{
    static const size_t sizes[] = {24, 32, 100, 200, 900, MID};
    static char *held[HELD];
    const size_t kinds = sizeof sizes / sizeof *sizes;
    for (size_t kind = 0; kind < 2 * kinds; kind++) { // twice: what is freed waits a while
        const size_t size = sizes[kind % kinds];
        const size_t count = size == MID ? 200 : HELD;
        for (size_t i = 0; i < count; i++) {
            held[i] = (char *)malloc(size);
            CHECK(held[i] != NULL, "no memory");
            if (is_in(held[i], target, sizeof target) || is_in(held[i], in_image, sizeof in_image) ||
                is_in(held[i], __builtin_frame_address(0), 4096)) {
                harmed("malloc gave what is not memory of its own");
            }
            for (size_t j = i < COMPARED ? 0 : i; j < i; j++) { // before a write, which may spoil a link
                if (held[j] == held[i]) {
                    harmed("malloc gave a block twice");
                }
            }
        }
        for (size_t i = 0; i < count; i++) {
            fill(held[i], size, i);
        }
        for (size_t i = 0; i < count; i++) {
            if (!is_filled(held[i], size, i)) {
                harmed("a block changed: it was handed out twice, or lies across another one");
            }
        }
        if (in_use != NULL && !is_filled(in_use, 24, 7)) {
            harmed("a block that was in use was handed out again");
        }
        for (size_t i = 0; i < count; i++) {
            free(held[i]);
        }
    }
    for (int i = 0; i < 20; i++) {
        use_every_size();
    }
}

int main(int argc, char **argv)
{
    const size_t count = sizeof misuses / sizeof *misuses;
    setrlimit(RLIMIT_CPU, &(struct rlimit){2, 2}); // a list that has become a circle
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], "list") == 0) {
            printf("%s\t%s\n", misuses[i].name, misuses[i].sentence);
        } else if (strcmp(argv[1], misuses[i].name) == 0) {
            misuses[i].commit();
            look_for_harm();
            return 0;
        }
    }
    return argc > 1 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
