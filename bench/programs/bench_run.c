/* SPDX-License-Identifier: MIT */
/* Runs a program and writes what it used: `bench_run OUT [NAME=VALUE...] PROGRAM [ARGUMENT...]` adds the variables to
 * the program's environment alone, waits, and writes one line `seconds=S user=S system=S peak_rss_kib=K faults=N` to
 * OUT; exits as the program did. A launcher of its own, since the kernel's peak memory of a child starts at the size
 * of the process that forked it: under an interpreter every small program would look as large as the interpreter.
 *
 * Each processor counts pages by itself, and adds them to the process's sum once they are 32: what wait4 says of a
 * program is up to 124 KiB too little for each kind of page and processor, a tenth of a small one. While the program
 * is there, its status has all of them. So it is traced for one event, that it ends, and its status is read then.
 * Where that is refused, or the kernel has no exact sum, what wait4 says stands.
 */
#define _GNU_SOURCE /* pipe2 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double as_seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static bool is_variable(const char *word)
{
    return strchr(word, '=') != NULL && strchr(word, '/') != word && word[0] != '.';
}

/* Becomes the program at argv[program], once nobody holds the other end of `held` any more. */
static _Noreturn void become(char **argv, int program, const int held[2])
{
    char none;
    close(held[1]);
    while (read(held[0], &none, 1) > 0) {
    }
    for (int i = 2; i < program; i++)
        putenv(argv[i]);
    execvp(argv[program], argv + program);
    fprintf(stderr, "bench_run: cannot run %s\n", argv[program]);
    _exit(127);
}

/* The process that is to be the program; traced, if that may be, for its end alone. */
static pid_t start(char **argv, int program)
{
    int held[2];
    pid_t child = pipe2(held, O_CLOEXEC) == 0 ? fork() : -1;
    if (child < 0)
        bench_fail("cannot fork");
    if (child == 0)
        become(argv, program, held);
    ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEEXIT);
    close(held[0]);
    close(held[1]);
    return child;
}

/* The most that the process had resident, in KiB, by its status; 0 if that does not say. */
static long peak_by_status(pid_t process)
{
    char line[256];
    long kib = 0;
    snprintf(line, sizeof line, "/proc/%d/status", (int)process);
    FILE *status = fopen(line, "re");
    while (status != NULL && kib == 0 && fgets(line, sizeof line, status) != NULL)
        kib = strncmp(line, "VmHWM:", 6) == 0 ? strtol(line + 6, NULL, 10) : 0;
    if (status != NULL)
        fclose(status);
    return kib;
}

/* Lets a traced process that stopped go on: with the signal that it was about to get, or in the stop that a signal
 * has brought it to. */
static void go_on(pid_t process, int status)
{
    bool of_a_group = status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP;
    long signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
    ptrace(of_a_group ? PTRACE_LISTEN : PTRACE_CONT, process, 0, signal);
}

/* Waits for the end. Returns the status; *peak_kib is the most that was resident. */
static int wait_for(pid_t child, struct rusage *usage, long *peak_kib)
{
    int status = 0;
    *peak_kib = 0;
    while (wait4(child, &status, __WALL, usage) == child) {
        if (!WIFSTOPPED(status)) {
            *peak_kib = usage->ru_maxrss > *peak_kib ? usage->ru_maxrss : *peak_kib;
            return status;
        }
        if (status >> 16 == PTRACE_EVENT_EXIT)
            *peak_kib = peak_by_status(child);
        go_on(child, status);
    }
    bench_fail("cannot wait for the program");
}

int main(int argc, char **argv)
{
    int program = 2;
    while (program < argc && is_variable(argv[program]))
        program++;
    if (program >= argc)
        bench_usage_error("usage: bench_run OUT [NAME=VALUE...] PROGRAM [ARGUMENT...]");
    double began = bench_now();
    struct rusage usage;
    long peak_kib;
    int status = wait_for(start(argv, program), &usage, &peak_kib);
    double seconds = bench_now() - began;
    FILE *out = fopen(argv[1], "we");
    if (out == NULL)
        bench_fail("cannot write %s", argv[1]);
    fprintf(out, "seconds=%.6f user=%.6f system=%.6f peak_rss_kib=%ld faults=%ld\n", seconds,
            as_seconds(usage.ru_utime), as_seconds(usage.ru_stime), peak_kib,
            usage.ru_minflt + usage.ru_majflt);
    if (fclose(out) != 0)
        bench_fail("cannot write %s", argv[1]);
    if (WIFSIGNALED(status)) { /* end as the program did, without a second core dump */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
