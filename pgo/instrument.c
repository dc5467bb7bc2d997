/* SPDX-License-Identifier: MIT */
/* instrument.c: the profile runtimes, kept from writing, and how counters become a profile.
 *
 * Only the instrumented build links this file, with slots.c. Both runtimes write files from exit handlers: what leaves by
 * _exit, exec or a signal loses its counts, and where the files go is up to an environment that the program may have
 * changed, or that libc does not know yet. Here neither writes in a run; the counters lie in a file all the time
 * (slots.c), and hak_profile_write turns their sum into what the compiler reads.
 *
 * HAK_INSTRUMENT_GCC says whose runtime is linked. counters-<toolchain>.ld puts the counters on pages of their own. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern char hak_counters_start[] __attribute__((visibility("hidden")));
extern char hak_counters_end[] __attribute__((visibility("hidden")));

#if HAK_INSTRUMENT_GCC
void __gcov_dump(void);
void __wrap___gcov_exit(void);

/* In place of what each object's destructor calls. */
void __wrap___gcov_exit(void) {}

static int write_profile(const char *out)
{
    (void)out; /* GCOV_PREFIX says it */
    __gcov_dump();
    return 0;
}
#else
uint64_t __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char *buffer);
extern int __llvm_profile_runtime;
int __llvm_profile_runtime; /* defined here, the part of the runtime that writes at exit is not linked */

static int write_profile(const char *out)
{
    size_t size = __llvm_profile_get_size_for_buffer();
    void *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED || __llvm_profile_write_buffer(buffer) != 0)
        return 1;
    int to = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return to < 0 || write(to, buffer, size) != (ssize_t)size;
}
#endif

/* Writes a profile of these counters, and returns 0. Called in a process that has the library loaded and does not use it. */
EXPORT int hak_profile_write(const void *counters, const char *out);

EXPORT int hak_profile_write(const void *counters, const char *out)
{
    memcpy(hak_counters_start, counters, (size_t)(hak_counters_end - hak_counters_start));
    return write_profile(out);
}
