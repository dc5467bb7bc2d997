/* SPDX-License-Identifier: MIT */
/* Runs a program and writes what it used: `bench_run OUT [NAME=VALUE...] PROGRAM [ARGUMENT...]` adds the variables to
 * the program's environment alone, waits, and writes one line `seconds=S user=S system=S peak_rss_kib=K faults=N` to
 * OUT; exits as the program did. A launcher of its own, since the kernel's peak memory of a child starts at the size
 * of the process that forked it: under an interpreter every small program would look as large as the interpreter.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
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

int main(int argc, char **argv)
{
    int program = 2;
    while (program < argc && is_variable(argv[program])) {
        program++;
    }
    if (program >= argc) {
        bench_usage_error("usage: bench_run OUT [NAME=VALUE...] PROGRAM [ARGUMENT...]");
    }
    double start = bench_now();
    pid_t child = fork();
    if (child < 0) {
        bench_fail("cannot fork");
    }
    if (child == 0) {
        for (int i = 2; i < program; i++) {
            putenv(argv[i]);
        }
        execvp(argv[program], argv + program);
        fprintf(stderr, "bench_run: cannot run %s\n", argv[program]);
        _exit(127);
    }
    int status = 0;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) != child) {
        bench_fail("cannot wait for %s", argv[program]);
    }
    double seconds = bench_now() - start;
    FILE *out = fopen(argv[1], "we");
    if (out == NULL) {
        bench_fail("cannot write %s", argv[1]);
    }
    fprintf(out, "seconds=%.6f user=%.6f system=%.6f peak_rss_kib=%ld faults=%ld\n", seconds,
            as_seconds(usage.ru_utime), as_seconds(usage.ru_stime), usage.ru_maxrss,
            usage.ru_minflt + usage.ru_majflt);
    if (fclose(out) != 0) {
        bench_fail("cannot write %s", argv[1]);
    }
    if (WIFSIGNALED(status)) { /* end as the program did, without a second core dump */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
