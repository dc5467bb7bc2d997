/* SPDX-License-Identifier: MIT */
/* Misuses of free, realloc and delete: of what is no block, or not any more, or of another kind. */
#include "misuse.h"

void no_misuse(void)
{
    free(get());
}

void null_pointer(void)
{
    free(escape(NULL));
}

void double_free(void)
{
    char *block = get();
    free(block);
    free(escape(block));
}

void double_free_later(void)
{
    char *block = get();
    char *other = get();
    free(block);
    free(get());
    free(other);
    free(escape(block));
}

void double_free_reused(void)
{
    char *block = get();
    free(block);
    char *next = reuse(block);
    free(escape(block));
    free(next);
}

void double_free_by_thread(void)
{
    char *block = get();
    free(block);
    free_by_thread(escape(block));
}

void double_free_by_threads(void)
{
    char *block = get();
    free_by_thread(block);
    free_by_thread(escape(block));
}

void double_free_by_realloc(void)
{
    char *block = get();
    free(block);
    free(realloc(escape(block), size * 4));
}

void double_free_after_realloc(void)
{
    char *block = get();
    get(); /* or it would grow where it is */
    char *moved = (char *)escape(realloc(block, size * 8));
    if (moved == block)
        exit(TEST_SKIPPED);
    free(moved);
    free(escape(block));
}

void realloc_freed_in_place(void)
{
    char *block = get();
    free(block);
    char *same = (char *)escape(realloc(escape(block), size - size / 8));
    memset(same, 2, size - size / 8);
}

/* A block with a middle, which stays in use. */
static char *get_long(void)
{
    if (size < 32)
        return keep();
    in_use = get_among_others();
    in_use_size = size;
    fill(in_use, size, 7);
    return in_use;
}

void interior(void)
{
    free(escape(get_long() + (size < 32 ? 16 : size / 2)));
}

void interior_by_thread(void)
{
    free_by_thread(escape(get_long() + (size < 32 ? 16 : size / 2)));
}

void interior_by_a_line(void)
{
    free(escape(get_long() + 16));
}

void unaligned(void)
{
    free(escape(get_among_others() + 1));
}

void interior_realloc(void)
{
    free(realloc(escape(get_long() + 16), 100));
}

void on_stack(void)
{
    int on_stack[16];
    free(escape(on_stack + 4));
}

void static_object(void)
{
    free(escape(in_image + 4));
}

void libc_object(void)
{
    free(escape((void *)(uintptr_t)stdout));
}

void foreign(void)
{
    free(escape(mapped() + 4096));
}

void realloc_foreign(void)
{
    free(realloc(escape(mapped() + 4096), 100));
}

void unmapped(void)
{
    char *gone = mapped();
    munmap(gone, PAGE_OF_MINE);
    free(escape(gone + 4096));
}

void nowhere(void)
{
    free(escape((void *)0x123456789000));
}

void not_canonical(void)
{
    free(escape((void *)0x4141414141414140));
}

void small_number(void)
{
    free(escape((void *)(uintptr_t)24));
}

void wrong_size(void)
{
    delete_with("_ZdlPvm", new_by("_Znwm"), size + 76);
}

void wrong_size_by_little(void)
{
    delete_with("_ZdlPvm", new_by("_Znwm"), size - 1);
}

/* Aligned to no more than a chunk is. */
void wrong_align(void)
{
    void *block = new_by("_Znwm");
    while ((uintptr_t)block % (4 << 20) == 0)
        block = new_by("_Znwm");
    delete_with("_ZdlPvSt11align_val_t", block, 4 << 20);
}

void array_as_one(void)
{
    delete_by("_ZdlPv", new_by("_Znam"));
}

void one_as_array(void)
{
    delete_by("_ZdaPv", new_by("_Znwm"));
}

void aligned_as_plain(void)
{
    delete_by("_ZdlPv", new_aligned(64));
}

void plain_as_aligned(void)
{
    delete_with("_ZdlPvSt11align_val_t", new_by("_Znwm"), 16);
}

void one_freed(void)
{
    free(new_by("_Znwm"));
}

void one_resized(void)
{
    free(realloc(new_by("_Znwm"), size * 2));
}

void malloc_deleted(void)
{
    delete_by("_ZdlPv", get());
}
