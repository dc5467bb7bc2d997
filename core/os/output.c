/* SPDX-License-Identifier: MIT */
/* output.c: see output.h. */
#include "os/output.h"

#include "base/call.h"
#include "os/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

/* relaxed: makes the names of two writers differ, a handler and whom it interrupts */
static _Atomic uint32_t writes;

bool hak_os_output_path(char out[HAK_OS_OUTPUT_PATH], const char *path)
{
    char absolute[HAK_OS_PATH];
    if (!hak_os_path_absolute(absolute, path) || strlen(absolute) >= HAK_OS_OUTPUT_PATH)
        return false;
    memcpy(out, absolute, strlen(absolute) + 1);
    return true;
}

void hak_os_output_bytes(hak_os_output_t *out, const char *bytes, size_t n)
{
    out->good = out->good && hak_os_file_write(out->file, bytes, n, out->at);
    out->at += n;
}

void hak_os_output_text(hak_os_output_t *out, hak_text_t *text)
{
    hak_os_output_bytes(out, text->bytes, text->length);
    text->length = 0;
}

/* Into a file of this name, which is nobody else's. */
static bool write_as(const char *name, unsigned mode, void (*put)(hak_os_output_t *out))
{
    /* O_NONBLOCK: a pipe by this name must not make the program wait */
    long flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    hak_os_output_t out = {.good = true};
    out.file = (int)hak_call(SYS_openat, AT_FDCWD, (long)name, flags, mode, 0, 0);
    if (out.file < 0)
        return false;
    put(&out);
    hak_os_file_close(out.file);
    return out.good;
}

bool hak_os_output_replace(const char *path, unsigned mode, void (*put)(hak_os_output_t *out))
{
    hak_text_t beside = {.length = 0};
    hak_text_format(&beside, "%s.%u.%u", path, (uint64_t)hak_os_process(),
                    (uint64_t)atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed));
    beside.bytes[beside.length] = 0;
    if (write_as(beside.bytes, mode, put) &&
        !hak_call_failed(hak_call(SYS_renameat, AT_FDCWD, (long)beside.bytes, AT_FDCWD, (long)path, 0, 0)))
        return true;
    hak_call(SYS_unlinkat, AT_FDCWD, (long)beside.bytes, 0, 0, 0, 0);
    return false;
}
