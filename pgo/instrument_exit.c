/* instrument_exit.c: makes the instrumented library write its profile where neither runtime does.
 *
 * Only the instrumented build links this file. Both profile runtimes write from exit handlers, so a program that
 * leaves by _exit or _Exit would lose its counts; those two are defined here. A forked child starts from zero,
 * else it would write its parent's counts a second time; a vfork child shares its parent's memory and writes
 * nothing. HAK_INSTRUMENT_GCC says whose runtime is linked. */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#if HAK_INSTRUMENT_GCC
void __gcov_dump(void);
void __gcov_reset(void);
#define WRITE_PROFILE  __gcov_dump
#define RESET_COUNTERS __gcov_reset
#else
int __llvm_profile_write_file(void);
void __llvm_profile_reset_counters(void);
#define WRITE_PROFILE  (void)__llvm_profile_write_file
#define RESET_COUNTERS __llvm_profile_reset_counters
#endif

#define EXPORT __attribute__((visibility("default"), noreturn))

EXPORT void _exit(int status);
EXPORT void _Exit(int status);

static pid_t counting_process; /* set before any thread exists, and in the only thread of a forked child */

static void start_child(void)
{
    counting_process = getpid();
    RESET_COUNTERS();
}

__attribute__((constructor)) static void start(void)
{
    counting_process = getpid();
    pthread_atfork(NULL, NULL, start_child);
}

void _exit(int status)
{
    if (getpid() == counting_process) {
        WRITE_PROFILE();
    }
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

void _Exit(int status)
{
    _exit(status);
}
