/* SPDX-License-Identifier: MIT */
/* What the small test programs share: one check macro, a pattern to recognise contents by, a generator, resident memory.
 *
 * A program returns 0 when its promise holds, 1 with one line on stderr when it does not, and 77 when this
 * machine or allocator cannot show it (the runner counts that as skipped). Nothing here allocates. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

/* These programs do what callers must not: the compiler is to believe nothing of hakmem.h's functions. */
#define HAKMEM_NO_ATTRIBUTES

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#define TEST_SKIPPED 77

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                       \
        }                                                                                                    \
    } while (0)

/* Writes by dprintf, not stdio: a failure inside malloc or in a forked child must still be seen. 2 may be closed. */
__attribute__((noreturn, format(printf, 4, 5))) static inline void
check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dprintf(2, "%s:%d: not so: %s: %s\n", file, line, condition, text);
    _exit(1);
}

/* Reads to the end, or as much as there is room for; terminated. What is read is what a child says into a pipe. */
static inline void read_to_end(int fd, char *text, size_t room)
{
    size_t length = 0;
    for (ssize_t n; length < room - 1 && (n = read(fd, text + length, room - 1 - length)) > 0;)
        length += (size_t)n;
    text[length] = 0;
}

/* The generator of the tests: xorshift64*, seeded by the caller, so that each failure repeats. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ull;
}

/* A size as programs ask for it: mostly small, some mid, few large; at most `limit` bytes. */
static inline size_t random_size(uint64_t *state, size_t limit)
{
    const uint64_t value = next_random(state);
    const unsigned bits = 4 + (unsigned)(value % 13) * (value & 0x100000 ? 1 : 2) / 2;
    const size_t size = (size_t)((value >> 24) & ((1ull << bits) - 1));
    return size <= limit ? size : size % (limit + 1);
}

/* Fills a block with bytes that depend on `seed` and the position, so that a shifted or foreign copy is seen. Byte i is
 * seed + 131 i + 7 (i / 256): eight of them at a time, since these three functions are most of what many tests compute. */
static inline unsigned char pattern_byte(size_t i, uint64_t seed)
{
    return (unsigned char)(seed + i * 131 + (i >> 8) * 7);
}

/* The eight bytes from i on, which is a multiple of eight: the first one's value in each, and 131 k added to the k-th. */
static inline uint64_t pattern_word(size_t i, uint64_t seed)
{
    const uint64_t same = pattern_byte(i, seed) * 0x0101010101010101ull;
    const uint64_t added = 0x95128f0c89068300ull, high = 0x8080808080808080ull;
    return ((same & ~high) + (added & ~high)) ^ ((same ^ added) & high);
}

static inline void fill(void *block, size_t size, uint64_t seed)
{
    unsigned char *bytes = (unsigned char *)block;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const uint64_t word = pattern_word(i, seed);
        __builtin_memcpy(bytes + i, &word, 8);
    }
    for (; i < size; i++)
        bytes[i] = pattern_byte(i, seed);
}

/* The first position at which the block differs from what fill() wrote, or `size` when it is intact. */
static inline size_t first_difference(const void *block, size_t size, uint64_t seed)
{
    const unsigned char *bytes = (const unsigned char *)block;
    size_t i = 0;
    for (uint64_t word; i + 8 <= size; i += 8) {
        __builtin_memcpy(&word, bytes + i, 8);
        if (word != pattern_word(i, seed))
            break;
    }
    while (i < size && bytes[i] == pattern_byte(i, seed))
        i++;
    return i;
}

static inline int is_filled(const void *block, size_t size, uint64_t seed)
{
    return first_difference(block, size, seed) == size;
}

static inline int is_zero(const void *block, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)block;
    size_t i = 0;
    for (uint64_t word; i + 8 <= size; i += 8) {
        __builtin_memcpy(&word, bytes + i, 8);
        if (word != 0)
            return 0;
    }
    for (; i < size; i++)
        if (bytes[i] != 0)
            return 0;
    return 1;
}

/* The number right behind the first `mark` in the first 4 KiB of a file; 0 without a mark. Skips the test if there is no
 * file. Without stdio, so that reading allocates nothing. */
static inline long number_behind(const char *path, const char *mark)
{
    char text[4096];
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        exit(TEST_SKIPPED);
    text[length] = 0;
    const char *found = strstr(text, mark);
    return found == NULL ? 0 : strtol(found + strlen(mark), NULL, 10);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RESIDENT_IS_KNOWN                                                                                    \
    0 /* a sanitizer's shadow memory is in the figure: memory is judged in the plain builds */
#else
#define RESIDENT_IS_KNOWN 1
#endif

/* Resident memory in KiB; under a sanitizer always 0. */
static inline long resident_kib(void)
{
    return RESIDENT_IS_KNOWN ? number_behind("/proc/self/statm", " ") * (sysconf(_SC_PAGESIZE) / 1024) : 0;
}

/* The most resident memory that the program ever had, in KiB; under a sanitizer always 0. */
static inline long peak_resident_kib(void)
{
    return RESIDENT_IS_KNOWN ? number_behind("/proc/self/status", "VmHWM:") : 0;
}

/* Of hakmem.h, if that is the malloc: "0.1.0 balanced". */
extern const char *hakmem_version(void) __attribute__((weak));

/* The malloc is hakmem in this variant. */
static inline int is_variant(const char *name)
{
    return hakmem_version != NULL && strstr(hakmem_version(), name) != NULL;
}

/* Rounds of what takes several times as long under `debug`, with its assertions and copies, and shows no more there. The
 * variants that are fast go through all of them. */
static inline int fewer_in_debug(int rounds)
{
    return is_variant("debug") ? rounds / 4 : rounds;
}

/* Hides a value from the compiler: sizes it would warn about, blocks whose use it would drop. */
static inline size_t opaque(size_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

static inline void *escape(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

#endif
