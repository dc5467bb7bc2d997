/* SPDX-License-Identifier: MIT */
/* idle.c: preloaded before the library. When the program exits, its work is done and it has freed what it frees: what is resident
 * then, and so much later, when nothing has happened any more? IDLE_FILE.<process> gets KiB now, after IDLE_MS, and how many of the
 * latter are files. It calls neither malloc nor stdio: either would be work. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIGITS 21

static char *put_number(char *to, unsigned long value)
{
    char digits[DIGITS];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) {
        *to++ = digits[--count];
    }
    return to;
}

// KiB that are resident, and how many of them are files.
static void read_resident(unsigned long *resident, unsigned long *files)
{
    char text[128] = "", *at = text;
    const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
    *resident = *files = 0;
    const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm < 0 || read(statm, text, sizeof text - 1) <= 0 || strchr(text, ' ') == NULL) {
        return;
    }
    close(statm);
    *resident = strtoul(strchr(text, ' '), &at, 10) * page;
    *files = strtoul(at, NULL, 10) * page;
}

__attribute__((destructor)) static void look(void)
{
    const char *file = getenv("IDLE_FILE"), *ms = getenv("IDLE_MS");
    char name[4096], line[3 * DIGITS + 3], *end = line;
    unsigned long resident, files;
    if (file == NULL || ms == NULL || strlen(file) > sizeof name - DIGITS - 2) {
        return;
    }
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
    *end++ = '\n';
    const int out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out >= 0) {
        const ssize_t written = write(out, line, (size_t)(end - line));
        (void)written;
        close(out);
    }
}
