// SPDX-License-Identifier: MIT
// One deliberate misuse of the allocator, named by the first argument, with blocks of as many bytes as the second says; `list`
// prints all of them with what they do. Afterwards everything that such a bug is exploited for is looked for: a block
// handed out twice, or outside of the heap, or changed.
//
//   0    nobody noticed, and no harm was found
//   3    harm was found; one line says which
//   4    the program's own access to memory that is not its own was stopped: it is inaccessible
//   other ends are the allocator's doing (tests/misuse/table.py reads them)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "threads.h"

#define HARM         3
#define STOPPED      4
#define HELD         3000 // blocks of each size that are allocated afterwards
#define COMPARED     400  // of them, each with all others
#define MID          ((size_t)5000)
#define FAR          ((size_t)1 << 20) // bytes that are run over
#define SECRET       0x5ec2e75ec2e75ec2ull
#define PAGE_OF_MINE ((size_t)65536)

typedef uint64_t word_t __attribute__((may_alias, aligned(1)));

static size_t size; // of the blocks that are misused
static int in_image[16];
static char target[256] __attribute__((aligned(64))); // what a forged link leads to
static char *in_use;                                  // a block that nobody frees, or NULL
static size_t in_use_size;
static volatile sig_atomic_t touching; // the program is where it must not be, and may be stopped there

static void harmed(const char *what)
{
    dprintf(2, "harm: %s\n", what);
    _exit(HARM);
}

static void on_fault(int number)
{
    if (touching) {
        _exit(STOPPED);
    }
    signal(number, SIG_DFL);
}

static char *get_of(size_t bytes)
{
    char *block = (char *)escape(malloc(bytes));
    CHECK(block != NULL, "no memory");
    memset(block, 1, bytes);
    return block;
}

static char *get(void)
{
    return get_of(size);
}

// Blocks of a size at a time, so that there is one in the middle of others.
static size_t many(void)
{
    return size <= MID ? 64 : 4;
}

// A block of which the neighbours stay in use, so that its memory stays what it is.
static char *get_among_others(void)
{
    char *block = NULL;
    for (size_t i = 0; i < many(); i++) {
        block = i == many() / 2 ? get() : block;
        get();
    }
    return block;
}

// A block of 24 bytes that stays in use.
static char *keep(void)
{
    in_use_size = 24;
    in_use = get_of(in_use_size);
    fill(in_use, in_use_size, 7);
    return in_use;
}

// The block that was freed, handed out again to somebody else, while others come and go.
static char *reuse(const char *freed)
{
    for (int i = 0; i < 3000; i++) {
        char *block = get();
        if (block == freed) {
            return block;
        }
        if (i % 2 == 0 || size > MID) {
            free(block);
        }
    }
    exit(TEST_SKIPPED);
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

static void *new_by(const char *name)
{
    void *(*new)(size_t);
    *(void **)&new = operator_of(name);
    return escape(new (size));
}

static void *new_aligned(size_t align)
{
    void *(*new)(size_t, size_t);
    *(void **)&new = operator_of("_ZnwmSt11align_val_t");
    return escape(new (size, align));
}

static void delete_by(const char *name, void *block)
{
    void (*delete)(void *);
    *(void **)&delete = operator_of(name);
    delete (block);
}

// By one of those that take a number as well.
static void delete_with(const char *name, void *block, size_t number)
{
    void (*delete)(void *, size_t);
    *(void **)&delete = operator_of(name);
    delete (block, number);
}

static void put(char *at, uint64_t value)
{
    touching = 1;
    *(word_t *)escape(at) = value;
    touching = 0;
}

static void write_freed(size_t at, uint64_t value)
{
    char *block = get_among_others();
    free(block);
    put((char *)escape(block) + at, value);
    for (int i = 0; i < 8; i++) { // it waits for others
        free(get());
    }
}

// Something else of the class is free as well, so that the block's link is not the end of its list.
static void write_link(uint64_t value)
{
    char *first = get();
    char *block = get();
    free(first);
    free(block);
    put((char *)escape(block), value);
}

static void look_for_secret(const char *block, const char *where)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        if (*(const word_t *)((const char *)escape((void *)block) + at) == SECRET) {
            harmed(where);
        }
    }
}

static char *get_with_secret(void)
{
    char *block = get();
    for (size_t at = 0; at + 8 <= size; at += 8) {
        *(word_t *)(block + at) = SECRET;
    }
    return block;
}

static void read_after_free(void)
{
    char *block = get_with_secret();
    free(block);
    touching = 1;
    look_for_secret(block, "a free block shows what was in it");
    touching = 0;
}

static void read_before_write(void)
{
    for (int i = 0; i < (size > FAR ? 8 : 100); i++) {
        free(get_with_secret());
        char *block = (char *)escape(malloc(size));
        look_for_secret(block, "a new block shows what another one had");
        if (i % 2 == 0) {
            free(block);
        }
    }
}

// One of many blocks, of which the others must stay as they are. The first byte behind it changes for certain: a canary is
// random, and one that is the byte by chance is not overrun.
static void overrun(size_t by, int byte)
{
    static char *blocks[64];
    for (size_t i = 0; i < many(); i++) {
        blocks[i] = get();
        fill(blocks[i], size, i);
    }
    char *block = blocks[many() / 2];
    char *end = (char *)escape(block) + size;
    touching = 1;
    const char before = *end;
    memset(end, byte, by);
    if (*end == before && byte != 0) {
        *end = (char)(before + 1);
    }
    touching = 0;
    for (size_t i = 0; i < many(); i++) {
        if (!is_filled(blocks[i], size, i)) {
            free(block);
            harmed("another block changed");
        }
    }
    free(block);
}

static void no_misuse(void)
{
    free(get());
}

static void null_pointer(void)
{
    free(escape(NULL));
}

static void double_free(void)
{
    char *block = get();
    free(block);
    free(escape(block));
}

static void double_free_later(void)
{
    char *block = get();
    char *other = get();
    free(block);
    free(get());
    free(other);
    free(escape(block));
}

static void double_free_reused(void)
{
    char *block = get();
    free(block);
    char *next = reuse(block);
    free(escape(block));
    free(next);
}

static void double_free_by_thread(void)
{
    char *block = get();
    free(block);
    free_by_thread(escape(block));
}

static void double_free_by_threads(void)
{
    char *block = get();
    free_by_thread(block);
    free_by_thread(escape(block));
}

static void double_free_by_realloc(void)
{
    char *block = get();
    free(block);
    free(realloc(escape(block), size * 4));
}

static void double_free_after_realloc(void)
{
    char *block = get();
    get(); // or it would grow where it is
    char *moved = (char *)escape(realloc(block, size * 8));
    if (moved == block) {
        exit(TEST_SKIPPED);
    }
    free(moved);
    free(escape(block));
}

static void realloc_freed_in_place(void)
{
    char *block = get();
    free(block);
    char *same = (char *)escape(realloc(escape(block), size - size / 8));
    memset(same, 2, size - size / 8);
}

// A block with a middle, which stays in use.
static char *get_long(void)
{
    if (size < 32) {
        return keep();
    }
    in_use = get_among_others();
    in_use_size = size;
    fill(in_use, size, 7);
    return in_use;
}

static void interior(void)
{
    free(escape(get_long() + (size < 32 ? 16 : size / 2)));
}

static void interior_by_thread(void)
{
    free_by_thread(escape(get_long() + (size < 32 ? 16 : size / 2)));
}

static void interior_by_a_line(void)
{
    free(escape(get_long() + 16));
}

static void unaligned(void)
{
    free(escape(get_among_others() + 1));
}

static void interior_realloc(void)
{
    free(realloc(escape(get_long() + 16), 100));
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
    write_freed(8, SECRET);
}

static void write_after_free_middle(void)
{
    write_freed(size / 2 & ~(size_t)7, SECRET);
}

static void write_after_free_end(void)
{
    write_freed(size - 8, SECRET);
}

static void overrun_by_one(void)
{
    overrun(1, 9);
}

static void overrun_by_zero(void)
{
    overrun(1, 0);
}

static void overrun_by_eight(void)
{
    overrun(8, 9);
}

static void overrun_by_many(void)
{
    overrun(76, 9);
}

static void run_forward(void)
{
    const volatile char *block = get_among_others();
    touching = 1;
    for (size_t at = 0; at < FAR; at += 64) {
        (void)block[size + at];
    }
    harmed("a megabyte behind a block was read");
}

static void run_forward_writing(void)
{
    char *block = get_among_others();
    touching = 1;
    memset((char *)escape(block) + size, 1, FAR);
    touching = 0;
    free(block);
}

static void run_backward(void)
{
    const volatile char *block = get_among_others();
    touching = 1;
    for (size_t at = 64; at < FAR; at += 64) {
        (void)*(block - at);
    }
    harmed("a megabyte before a block was read");
}

// The blocks of a class and what is behind each; the one in front of a free one is overrun.
static void overrun_into_free(void)
{
    static char *blocks[64];
    for (size_t i = 0; i < many(); i++) {
        blocks[i] = get();
    }
    for (size_t i = 1; i < many(); i += 2) {
        free(blocks[i]);
    }
    touching = 1;
    for (size_t i = size > MID ? 2 : 0; i < many();
         i += 2) { // the first large ones may have nobody behind them
        memset((char *)escape(blocks[i]) + size, 9, 48);
    }
    touching = 0;
}

// Of small blocks one that begins no page: what lies in front of that may be accessible or not.
static void underrun(size_t by)
{
    char *block = get_among_others();
    while (size < 4096 && (uintptr_t)block % 4096 == 0) {
        block = get_among_others();
    }
    touching = 1;
    memset((char *)escape(block) - by, 9, by);
    touching = 0;
    free(block);
}

static void underrun_by_one(void)
{
    underrun(1);
}

static void underrun_by_many(void)
{
    underrun(16);
}

static void wrong_size(void)
{
    delete_with("_ZdlPvm", new_by("_Znwm"), size + 76);
}

static void wrong_size_by_little(void)
{
    delete_with("_ZdlPvm", new_by("_Znwm"), size - 1);
}

// Aligned to no more than a chunk is.
static void wrong_align(void)
{
    void *block = new_by("_Znwm");
    while ((uintptr_t)block % (4 << 20) == 0) {
        block = new_by("_Znwm");
    }
    delete_with("_ZdlPvSt11align_val_t", block, 4 << 20);
}

static void array_as_one(void)
{
    delete_by("_ZdlPv", new_by("_Znam"));
}

static void one_as_array(void)
{
    delete_by("_ZdaPv", new_by("_Znwm"));
}

static void aligned_as_plain(void)
{
    delete_by("_ZdlPv", new_aligned(64));
}

static void plain_as_aligned(void)
{
    delete_with("_ZdlPvSt11align_val_t", new_by("_Znwm"), 16);
}

static void one_freed(void)
{
    free(new_by("_Znwm"));
}

static void one_resized(void)
{
    free(realloc(new_by("_Znwm"), size * 2));
}

static void malloc_deleted(void)
{
    delete_by("_ZdlPv", get());
}

static void none_read(void)
{
    const volatile char *block = escape(malloc(opaque(0)));
    touching = 1;
    (void)*block;
    harmed("a block of no bytes was read");
}

static void none_written(void)
{
    volatile char *block = escape(malloc(opaque(0)));
    touching = 1;
    *block = 1;
    harmed("a block of no bytes was written");
}

typedef struct misuse {
    const char *name;
    const char *sentence;
    void (*commit)(void);
    bool sized; // it is tried with blocks of several sizes
} misuse_t;

static const misuse_t misuses[] = {
    {"none", "no misuse", no_misuse, true},
    {"null", "free of NULL, which is allowed", null_pointer, false},
    {"double-free", "free twice in a row", double_free, true},
    {"double-free-later", "free twice, others between", double_free_later, true},
    {"double-free-reused", "free twice, handed out again between, then its new owner frees it",
     double_free_reused, true},
    {"double-free-by-thread", "the second free by another thread", double_free_by_thread, true},
    {"double-free-by-threads", "both by other threads", double_free_by_threads, true},
    {"double-free-by-realloc", "the second one a realloc", double_free_by_realloc, true},
    {"double-free-in-place", "the second one a realloc that need not move it", realloc_freed_in_place, true},
    {"double-free-after-realloc", "of what a realloc has moved", double_free_after_realloc, true},
    {"interior", "free of the middle of a block", interior, true},
    {"interior-line", "free of 16 bytes into a block", interior_by_a_line, true},
    {"interior-by-thread", "free of the middle of a block by another thread", interior_by_thread, true},
    {"interior-realloc", "realloc of 16 bytes into a block", interior_realloc, true},
    {"unaligned", "free of one byte into a block", unaligned, true},
    {"stack", "free of an address on the stack", on_stack, false},
    {"static", "free of a static object", static_object, false},
    {"libc", "free of an object of libc", libc_object, false},
    {"foreign", "free of a mapping of the program's", foreign, false},
    {"realloc-foreign", "realloc of it", realloc_foreign, false},
    {"unmapped", "free of an address where a mapping was", unmapped, false},
    {"nowhere", "free of an address far from everything", nowhere, false},
    {"not-canonical", "free of what is no address", not_canonical, false},
    {"small-number", "free of 24", small_number, false},
    {"write-after-free", "write of a number into the first word of a free block", write_after_free, true},
    {"forged-link", "write of a pointer to a static object there", forged_link, true},
    {"forged-link-own", "write of a pointer to a block in use there", forged_link_own, true},
    {"write-after-free-second", "write into its second word", write_after_free_second, true},
    {"write-after-free-middle", "write into its middle", write_after_free_middle, true},
    {"write-after-free-end", "write into its last word", write_after_free_end, true},
    {"read-after-free", "read of a free block", read_after_free, true},
    {"read-before-write", "read of a new block", read_before_write, true},
    {"overrun-by-one", "a byte too many", overrun_by_one, true},
    {"overrun-by-zero", "a string's end too many", overrun_by_zero, true},
    {"overrun-by-8", "8 bytes too many", overrun_by_eight, true},
    {"overrun-by-many", "76 bytes too many", overrun_by_many, true},
    {"overrun-into-free", "48 bytes too many, into free blocks", overrun_into_free, true},
    {"run-forward", "read of a megabyte behind a block", run_forward, true},
    {"run-forward-writing", "write of it, then free", run_forward_writing, true},
    {"run-backward", "read of a megabyte before a block", run_backward, true},
    {"underrun-by-one", "a byte before a block", underrun_by_one, true},
    {"underrun", "16 bytes before a block", underrun_by_many, true},
    {"wrong-size", "sized delete of 76 bytes more", wrong_size, true},
    {"wrong-size-by-one", "sized delete of a byte less", wrong_size_by_little, true},
    {"wrong-align", "delete as aligned to 4 MiB", wrong_align, true},
    {"wrong-kind-array", "delete of what new[] gave", array_as_one, true},
    {"wrong-kind-one", "delete[] of what new gave", one_as_array, true},
    {"wrong-kind-aligned", "delete of what an aligned new gave", aligned_as_plain, true},
    {"wrong-kind-plain", "delete as aligned to 16 bytes of what a plain new gave", plain_as_aligned, true},
    {"wrong-kind-free", "free of what new gave", one_freed, true},
    {"wrong-kind-realloc", "realloc of what new gave", one_resized, true},
    {"wrong-kind-malloc", "delete of what malloc gave", malloc_deleted, true},
    {"none-read", "read of a block of no bytes", none_read, false},
    {"none-written", "write of one", none_written, false},
};

static bool is_in(const char *block, const void *object, size_t size)
{
    return block >= (const char *)object && block < (const char *)object + size;
}

// Allocates much of every size, as a program does that goes on, and looks at all of it.
static void look_for_harm(void)
{
    const size_t sizes[] = {24, 32, 8, 200, 900, MID, size};
    static char *held[HELD];
    const size_t kinds = sizeof sizes / sizeof *sizes;
    for (size_t kind = 0; kind < 2 * kinds; kind++) { // twice: what is freed waits a while
        const size_t bytes = sizes[kind % kinds];
        const size_t count = bytes > FAR ? 3 : bytes > MID ? 30 : bytes > 1000 ? 200 : HELD;
        for (size_t i = 0; i < count; i++) {
            held[i] = (char *)malloc(bytes);
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
            fill(held[i], bytes, i);
        }
        for (size_t i = 0; i < count; i++) {
            if (!is_filled(held[i], bytes, i)) {
                harmed("a block changed: it was handed out twice, or lies across another one");
            }
        }
        if (in_use != NULL && !is_filled(in_use, in_use_size, 7)) {
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
    setrlimit(RLIMIT_CPU, &(struct rlimit){5, 5}); // a list that has become a circle
    signal(SIGSEGV, on_fault);
    size = argc > 2 ? strtoul(argv[2], NULL, 10) : 24;
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], "list") == 0) {
            printf("%s\t%s\t%d\n", misuses[i].name, misuses[i].sentence, misuses[i].sized);
        } else if (strcmp(argv[1], misuses[i].name) == 0) {
            misuses[i].commit();
            look_for_harm();
            return 0;
        }
    }
    return argc > 1 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
