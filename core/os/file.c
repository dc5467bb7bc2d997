/* SPDX-License-Identifier: MIT */
/* file.c: see file.h. No state. */
#define _GNU_SOURCE
#include "os/file.h"

#include "base/call.h"
#include "base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int hak_os_file_open(const char *path, bool create)
{
    /* O_NONBLOCK: a pipe by this name must not make the program wait */
    long flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (create ? O_CREAT : 0);
    return (int)hak_call(SYS_openat, AT_FDCWD, (long)path, flags, 0600, 0, 0);
}

int hak_os_file_open_to_read(const char *path)
{
    return (int)hak_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
}

void hak_os_file_close(int file)
{
    hak_call(SYS_close, file, 0, 0, 0, 0, 0);
}

bool hak_os_file_look(int file, hak_os_file_t *out)
{
    struct stat now;
    if (hak_call(SYS_fstat, file, (long)&now, 0, 0, 0, 0) != 0)
        return false;
    *out = (hak_os_file_t){now.st_dev, now.st_ino, (uint64_t)now.st_size, S_ISREG(now.st_mode)};
    return true;
}

bool hak_os_file_lock(int file)
{
    return hak_call(SYS_flock, file, LOCK_EX | LOCK_NB, 0, 0, 0, 0) == 0;
}

bool hak_os_file_empty(int file)
{
    return hak_call(SYS_ftruncate, file, 0, 0, 0, 0, 0) == 0;
}

long hak_os_file_read(int file, void *into, size_t size, uint64_t at)
{
    return hak_call(SYS_pread64, file, (long)into, (long)size, (long)at, 0, 0);
}

/* True if the process may have a file of so many bytes (RLIMIT_FSIZE): a write beyond that raises SIGXFSZ, which ends it. */
static bool may_be_so_large(uint64_t size)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    return hak_call_failed(hak_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0)) ||
           limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

bool hak_os_file_write(int file, const void *from, size_t size, uint64_t at)
{
    if (!may_be_so_large(at + size))
        return false;
    const char *bytes = from;
    for (size_t done = 0; done < size;) { /* each round writes at least a byte */
        long n =
            hak_call(SYS_pwrite64, file, (long)(bytes + done), (long)(size - done), (long)(at + done), 0, 0);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

bool hak_os_path_absolute(char *out, const char *path)
{
    size_t length = strlen(path), before = 0;
    if (path[0] != '/') {
        long n = hak_call(SYS_getcwd, (long)out, (long)HAK_OS_PATH, 0, 0, 0, 0);
        if (hak_call_failed(n) || n < 2 || out[0] != '/')
            return false;
        before = (size_t)n; /* with the end, where the slash goes */
        out[before - 1] = '/';
    }
    if (length == 0 || before + length + 1 > HAK_OS_PATH)
        return false;
    memcpy(out + before, path, length + 1);
    return true;
}

size_t hak_os_path_program(char *out, size_t capacity)
{
    long n = hak_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)out, (long)capacity, 0, 0);
    return hak_call_failed(n) ? 0 : (size_t)n;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

uint32_t hak_os_process(void)
{
    return (uint32_t)hak_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

uint32_t hak_os_process_parent(void)
{
    return (uint32_t)hak_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
}

bool hak_os_process_exists(uint32_t process)
{
    return hak_call(SYS_tgkill, process, process, 0, 0, 0, 0) != -ESRCH;
}

#define FIELD_PARENT  2 /* spaces behind the name until it; proc(5) counts from 3 */
#define FIELD_STARTED 20
#define ANCESTORS     64 /* that are looked at */

/* A number of /proc/PID/stat; 0 if the process is none, or has ended and waits for its parent. */
static uint64_t stat_field(uint32_t process, int wanted)
{
    hak_text_t path = {.length = 0};
    hak_text_format(&path, "/proc/%u/stat", (uint64_t)process);
    path.bytes[path.length] = 0;
    char line[512];
    int file = hak_os_file_open_to_read(path.bytes);
    if (file < 0)
        return 0;
    long n = hak_os_file_read(file, line, sizeof line - 1, 0);
    hak_os_file_close(file);
    if (n <= 0)
        return 0;
    line[n] = 0;
    const char *at = strrchr(line, ')'); /* a name may have spaces */
    if (at == NULL || strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0)
        return 0;
    for (int field = 0; at != NULL && field < wanted; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    at++;
    return hak_text_take_number(&at);
}

uint64_t hak_os_process_started(uint32_t process)
{
    return stat_field(process, FIELD_STARTED);
}

bool hak_os_process_stems_from(uint32_t process, uint32_t ancestor)
{
    for (unsigned i = 0; i < ANCESTORS && process != 0; i++) {
        if (process == ancestor)
            return true;
        process = (uint32_t)stat_field(process, FIELD_PARENT);
    }
    return false;
}

/* --- what is mapped ----------------------------------------------------------------------------------------------- */

static uintptr_t hex_at(const char **text)
{
    uintptr_t value = 0;
    for (;; (*text)++) {
        char c = **text;
        if (c >= '0' && c <= '9')
            value = value * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uintptr_t)(c - 'a' + 10);
        else
            return value;
    }
}

/* A line of /proc/PID/maps: "start-end rights offset device inode   path". */
static bool is_object(const char *line, uintptr_t address, hak_os_object_t *out)
{
    out->start = hex_at(&line);
    if (*line != '-')
        return false;
    line++;
    out->end = hex_at(&line);
    const char *path = strchr(line, '/');
    if (address < out->start || address >= out->end || path == NULL || strlen(line) < 6)
        return false;
    line += 6; /* " r-xp " */
    out->offset = hex_at(&line);
    size_t length = hak_min(strlen(path), sizeof out->path - 1);
    memcpy(out->path, path, length);
    out->path[length] = 0;
    return true;
}

/* Looks at the whole lines among `n` bytes; returns how many bytes these are, and tells of a line that fits. */
static size_t look_at_lines(char *text, size_t n, uintptr_t address, hak_os_object_t *out, bool *found)
{
    size_t at = 0;
    for (char *end; !*found && (end = memchr(text + at, '\n', n - at)) != NULL;
         at = (size_t)(end - text) + 1) {
        *end = 0;
        *found = is_object(text + at, address, out);
    }
    return at;
}

bool hak_os_object_at(uintptr_t address, hak_os_object_t *out)
{
    char text[1024]; /* a longer line is passed over */
    size_t kept = 0;
    bool found = false;
    int file = hak_os_file_open_to_read("/proc/self/maps");
    for (uint64_t at = 0; file >= 0 && !found;) {
        long n = hak_os_file_read(file, text + kept, sizeof text - kept, at);
        if (n <= 0)
            break;
        at += (uint64_t)n;
        kept += (size_t)n;
        size_t used = look_at_lines(text, kept, address, out, &found);
        kept = used == 0 && kept == sizeof text ? 0 : kept - used;
        memmove(text, text + used, kept);
    }
    if (file >= 0)
        hak_os_file_close(file);
    return found;
}
