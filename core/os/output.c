/* SPDX-License-Identifier: MIT */
/* output.c: see output.h. */
#include "os/output.h"

#include "base/call.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
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

#define NAMES_TRIED 16u

/* A new file beside the path. O_EXCL: what somebody has put there, to have another file written over by way of a link, is left
 * alone. Negative if there is none to be. */
static int create_beside(hak_text_t *name, const char *path, unsigned mode)
{
    long flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    long file = -EEXIST;
    for (unsigned i = 0; i < NAMES_TRIED && file == -EEXIST; i++) {
        name->length = 0;
        hak_text_format(name, "%s.%u.%u", path, (uint64_t)hak_os_process(),
                        (uint64_t)atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed));
        name->bytes[name->length] = 0;
        file = hak_call(SYS_openat, AT_FDCWD, (long)name->bytes, flags, mode, 0, 0);
    }
    return (int)file;
}

/* True of what is there and no file: a device, a pipe. /dev/null by another name would be gone for everybody. */
static bool is_no_file(const char *path)
{
    struct stat now;
    return hak_call(SYS_newfstatat, AT_FDCWD, (long)path, (long)&now, 0, 0, 0) == 0 && !S_ISREG(now.st_mode);
}

bool hak_os_output_replace(const char *path, unsigned mode, void (*put)(hak_os_output_t *out))
{
    hak_text_t beside;
    hak_os_output_t out = {.good = true};
    if (is_no_file(path))
        return false;
    out.file = create_beside(&beside, path, mode);
    if (out.file < 0)
        return false;
    put(&out);
    hak_os_file_close(out.file);
    if (out.good &&
        !hak_call_failed(hak_call(SYS_renameat, AT_FDCWD, (long)beside.bytes, AT_FDCWD, (long)path, 0, 0)))
        return true;
    hak_call(SYS_unlinkat, AT_FDCWD, (long)beside.bytes, 0, 0, 0, 0);
    return false;
}
