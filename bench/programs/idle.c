/* SPDX-License-Identifier: MIT */
/* idle.c: preloaded before the library. When the program exits, its work is done and it has freed what it frees: what is
 * resident then, and so much later, when nothing has happened any more? IDLE_FILE.<process> gets KiB now, after IDLE_MS, how
 * many of the latter are files, how many calls of the system to read and write the process has made, and how many settings of
 * the library it has in its environment. It calls neither malloc nor stdio: either would be work. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIGITS  21
#define SETTING "HAKMEM_"

static char *put_number(char *to, unsigned long value)
{
    char digits[DIGITS];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

/* KiB that are resident, and how many of them are files. */
static void read_resident(unsigned long *resident, unsigned long *files)
{
    char text[128] = "", *at = text;
    const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
    *resident = *files = 0;
    const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm < 0 || read(statm, text, sizeof text - 1) <= 0 || strchr(text, ' ') == NULL)
        return;
    close(statm);
    *resident = strtoul(strchr(text, ' '), &at, 10) * page;
    *files = strtoul(at, NULL, 10) * page;
}

/* The number behind a word; 0 without it. */
static unsigned long number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at == NULL ? 0 : strtoul(at + strlen(word), NULL, 10);
}

/* Calls to read and write, which the kernel counts; 0 where it does not. */
static unsigned long count_calls(void)
{
    char text[512] = "";
    const int io = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    if (io < 0)
        return 0;
    const ssize_t length = read(io, text, sizeof text - 1);
    close(io);
    return length <= 0 ? 0 : number_behind(text, "syscr: ") + number_behind(text, "syscw: ");
}

static unsigned long count_settings(void)
{
    unsigned long found = 0;
    for (char *const *entry = environ; entry != NULL && *entry != NULL; entry++)
        found += strncmp(*entry, SETTING, sizeof SETTING - 1) == 0;
    return found;
}

__attribute__((destructor)) static void look(void)
{
    const char *file = getenv("IDLE_FILE"), *ms = getenv("IDLE_MS");
    char name[4096], line[5 * DIGITS + 5], *end = line;
    unsigned long resident, files;
    const unsigned long calls = count_calls();
    if (file == NULL || ms == NULL || strlen(file) > sizeof name - DIGITS - 2)
        return;
    strcpy(name, file);
    strcat(name, ".");
    *put_number(name + strlen(name), (unsigned long)getpid()) = 0;
    const long wait = strtol(ms, NULL, 10);
    struct timespec left = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};
    read_resident(&resident, &files);
    end = put_number(end, resident);
    *end++ = ' ';
    while (nanosleep(&left, &left) != 0) {
    }
    read_resident(&resident, &files);
    end = put_number(end, resident);
    *end++ = ' ';
    end = put_number(end, files);
    *end++ = ' ';
    end = put_number(end, calls);
    *end++ = ' ';
    end = put_number(end, count_settings());
    *end++ = '\n';
    signal(SIGXFSZ, SIG_IGN); /* the program may have set a limit for its files */
    const int out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out >= 0) {
        const ssize_t written = write(out, line, (size_t)(end - line));
        (void)written;
        close(out);
    }
}
