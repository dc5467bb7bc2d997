/* SPDX-License-Identifier: MIT */
/* What the misuses share: blocks to misuse, ways to free them, and the list of all. */
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "threads.h"

#define HARM         3
#define STOPPED      4
#define HELD         3000 /* blocks of each size that are allocated afterwards */
#define COMPARED     400  /* of them, each with all others */
#define MID          ((size_t)5000)
#define FAR          ((size_t)1 << 20) /* bytes that are run over */
#define SECRET       0x5ec2e75ec2e75ec2ull
#define PAGE_OF_MINE ((size_t)65536)

typedef uint64_t word_t __attribute__((may_alias, aligned(1)));

extern size_t size; /* of the blocks that are misused */
extern int in_image[16];
extern char target[256]; /* what a forged link leads to */
extern char *in_use;     /* a block that nobody frees, or NULL */
extern size_t in_use_size;
extern volatile sig_atomic_t touching; /* the program is where it must not be, and may be stopped there */

void harmed(const char *what);
char *get_of(size_t bytes);
char *get(void);
/* Blocks of a size at a time, so that there is one in the middle of others. */
size_t many(void);
/* A block of which the neighbours stay in use, so that its memory stays what it is. */
char *get_among_others(void);
/* A block of 24 bytes that stays in use. */
char *keep(void);
/* The block that was freed, handed out again to somebody else, while others come and go. */
char *reuse(const char *freed);
char *mapped(void);
void *free_it(void *block);
void free_by_thread(void *block);
/* A function of the C++ runtime's, which the allocator replaces. */
void *operator_of(const char *name);
void *new_by(const char *name);
void *new_aligned(size_t align);
void delete_by(const char *name, void *block);
/* By one of those that take a number as well. */
void delete_with(const char *name, void *block, size_t number);

/* freeing.c */
void no_misuse(void);
void null_pointer(void);
void double_free(void);
void double_free_later(void);
void double_free_reused(void);
void double_free_by_thread(void);
void double_free_by_threads(void);
void double_free_by_realloc(void);
void double_free_after_realloc(void);
void realloc_freed_in_place(void);
void interior(void);
void interior_by_thread(void);
void interior_by_a_line(void);
void unaligned(void);
void interior_realloc(void);
void on_stack(void);
void static_object(void);
void libc_object(void);
void foreign(void);
void realloc_foreign(void);
void unmapped(void);
void nowhere(void);
void not_canonical(void);
void small_number(void);
void wrong_size(void);
void wrong_size_by_little(void);
void wrong_align(void);
void array_as_one(void);
void one_as_array(void);
void aligned_as_plain(void);
void plain_as_aligned(void);
void one_freed(void);
void one_resized(void);
void malloc_deleted(void);

/* touching.c */
void read_after_free(void);
void read_before_write(void);
void write_after_free(void);
void forged_link(void);
void forged_link_own(void);
void write_after_free_second(void);
void write_after_free_middle(void);
void write_after_free_end(void);
void overrun_by_one(void);
void overrun_by_zero(void);
void overrun_by_eight(void);
void overrun_by_many(void);
void run_forward(void);
void run_forward_writing(void);
void run_backward(void);
void overrun_into_free(void);
void underrun_by_one(void);
void underrun_by_many(void);
void none_read(void);
void none_written(void);
void none_aligned(void);

#endif
