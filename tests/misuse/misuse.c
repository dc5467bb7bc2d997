/* SPDX-License-Identifier: MIT */
/* One deliberate misuse of the allocator, named by the first argument, with blocks of as many bytes as the second says; `list`
 * prints all of them with what they do. Afterwards everything that such a bug is exploited for is looked for: a block
 * handed out twice, or outside of the heap, or changed.
 *
 * 0    nobody noticed, and no harm was found
 * 3    harm was found; one line says which
 * 4    the program's own access to memory that is not its own was stopped: it is inaccessible
 * other ends are the allocator's doing (tests/misuse/table.py reads them) */
#include "misuse.h"

size_t size; /* of the blocks that are misused */
int in_image[16];
char target[256] __attribute__((aligned(64))); /* what a forged link leads to */
char *in_use;                                  /* a block that nobody frees, or NULL */
size_t in_use_size;
volatile sig_atomic_t touching; /* the program is where it must not be, and may be stopped there */

void harmed(const char *what)
{
    dprintf(2, "harm: %s\n", what);
    _exit(HARM);
}

static void on_fault(int number)
{
    if (touching)
        _exit(STOPPED);
    signal(number, SIG_DFL);
}

char *get_of(size_t bytes)
{
    char *block = (char *)escape(malloc(bytes));
    CHECK(block != NULL, "no memory");
    memset(block, 1, bytes);
    return block;
}

char *get(void)
{
    return get_of(size);
}

size_t many(void)
{
    return size <= MID ? 64 : 4;
}

char *get_among_others(void)
{
    char *block = NULL;
    for (size_t i = 0; i < many(); i++) {
        block = i == many() / 2 ? get() : block;
        get();
    }
    return block;
}

char *keep(void)
{
    in_use_size = 24;
    in_use = get_of(in_use_size);
    fill(in_use, in_use_size, 7);
    return in_use;
}

char *reuse(const char *freed)
{
    for (int i = 0; i < 3000; i++) {
        char *block = get();
        if (block == freed)
            return block;
        if (i % 2 == 0 || size > MID)
            free(block);
    }
    exit(TEST_SKIPPED);
}

char *mapped(void)
{
    char *at = (char *)mmap(NULL, PAGE_OF_MINE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED, "mmap");
    return at;
}

void *free_it(void *block)
{
    free(block);
    return NULL;
}

void free_by_thread(void *block)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_it, block) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

void *operator_of(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    if (found == NULL)
        exit(TEST_SKIPPED);
    return found;
}

void *new_by(const char *name)
{
    void *(*new)(size_t);
    *(void **)&new = operator_of(name);
    return escape(new (size));
}

void *new_aligned(size_t align)
{
    void *(*new)(size_t, size_t);
    *(void **)&new = operator_of("_ZnwmSt11align_val_t");
    return escape(new (size, align));
}

void delete_by(const char *name, void *block)
{
    void (*delete)(void *);
    *(void **)&delete = operator_of(name);
    delete (block);
}

void delete_with(const char *name, void *block, size_t number)
{
    void (*delete)(void *, size_t);
    *(void **)&delete = operator_of(name);
    delete (block, number);
}

typedef struct misuse {
    const char *name;
    const char *sentence;
    void (*commit)(void);
    bool sized; /* it is tried with blocks of several sizes */
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
    {"none-aligned", "write of one that is aligned to 64 bytes", none_aligned, false},
};

static bool is_in(const char *block, const void *object, size_t size)
{
    return block >= (const char *)object && block < (const char *)object + size;
}

/* Allocates much of every size, as a program does that goes on, and looks at all of it. */
static void look_for_harm(void)
{
    const size_t sizes[] = {24, 32, 8, 200, 900, MID, size};
    static char *held[HELD];
    const size_t kinds = sizeof sizes / sizeof *sizes;
    for (size_t kind = 0; kind < 2 * kinds; kind++) { /* twice: what is freed waits a while */
        const size_t bytes = sizes[kind % kinds];
        const size_t count = bytes > FAR ? 3 : bytes > MID ? 30 : bytes > 1000 ? 200 : HELD;
        for (size_t i = 0; i < count; i++) {
            held[i] = (char *)malloc(bytes);
            CHECK(held[i] != NULL, "no memory");
            if (is_in(held[i], target, sizeof target) || is_in(held[i], in_image, sizeof in_image) ||
                is_in(held[i], __builtin_frame_address(0), 4096))
                harmed("malloc gave what is not memory of its own");
            for (size_t j = i < COMPARED ? 0 : i; j < i; j++) /* before a write, which may spoil a link */
                if (held[j] == held[i])
                    harmed("malloc gave a block twice");
        }
        for (size_t i = 0; i < count; i++)
            fill(held[i], bytes, i);
        for (size_t i = 0; i < count; i++)
            if (!is_filled(held[i], bytes, i))
                harmed("a block changed: it was handed out twice, or lies across another one");
        if (in_use != NULL && !is_filled(in_use, in_use_size, 7))
            harmed("a block that was in use was handed out again");
        for (size_t i = 0; i < count; i++)
            free(held[i]);
    }
    for (int i = 0; i < 20; i++)
        use_every_size();
}

int main(int argc, char **argv)
{
    const size_t count = sizeof misuses / sizeof *misuses;
    setrlimit(RLIMIT_CPU, &(struct rlimit){5, 5}); /* a list that has become a circle */
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
