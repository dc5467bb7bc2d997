/* SPDX-License-Identifier: MIT */
/* A program whose requests for memory are known: 2,000 in the first process and 5,000 in a child that ends in the way the
 * argument says. tests/test_own.py trains and measures it. */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask(int times)
{
    for (int i = 0; i < times; i++)
        free(malloc(50));
}

static void require(int done)
{
    if (!done) {
        perror("gauge");
        abort();
    }
}

/* What the child does before its requests. */
static void prepare(const char *how)
{
    if (strcmp(how, "chdir") == 0) {
        require(chdir("/") == 0);
    } else if (strcmp(how, "user") == 0) {
        require(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    } else if (strcmp(how, "raw user") == 0) { /* past the C library */
        require(syscall(SYS_setuid, 65534) == 0);
    } else if (strcmp(how, "chroot") == 0) {
        require(chroot("/proc/self/fdinfo") == 0 && chdir("/") == 0);
    } else if (strcmp(how, "daemon") == 0) {
        require(setsid() != -1);
        for (int i = 0; i < 256; i++)
            close(i);
        clearenv();
    }
}

/* How it ends after them. */
static void leave(const char *how, char **words)
{
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    else if (strcmp(how, "SIGTERM") == 0)
        raise(SIGTERM);
    else if (strcmp(how, "SIGKILL") == 0)
        raise(SIGKILL);
    else if (strcmp(how, "exec") == 0)
        execl("/proc/self/exe", words[0], "again", NULL);
    exit(0);
}

int main(int count, char **words)
{
    const char *how = count > 1 ? words[1] : "exit";
    if (strcmp(how, "again") == 0)
        return 0;
    if (strcmp(how, "becomes") == 0) /* the first process itself */
        prepare("user");
    else if (strcmp(how, "becomes raw") == 0)
        prepare("raw user");
    ask(2000);
    pid_t child = strcmp(how, "vfork") == 0 ? vfork() : fork();
    require(child != -1);
    if (child == 0) {
        prepare(how);
        ask(5000);
        if (strcmp(how, "vfork") == 0)
            _exit(0);
        leave(how, words);
    }
    require(waitpid(child, NULL, 0) == child);
    return 0;
}
