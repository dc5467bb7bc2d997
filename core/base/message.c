/* SPDX-License-Identifier: MIT */
/* message.c: text without malloc and without stdio. No state but what hak_fatal has. */
#include "base/message.h"

#include "base/call.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void text_bytes(hak_text_t *text, const char *bytes, size_t n)
{
    n = hak_min(n, sizeof text->bytes - text->length);
    memcpy(text->bytes + text->length, bytes, n);
    text->length += n;
}

void hak_text_string(hak_text_t *text, const char *string)
{
    text_bytes(text, string, strlen(string));
}

static void text_radix(hak_text_t *text, uint64_t number, unsigned radix)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[number % radix];
        number /= radix;
    } while (number != 0);
    hak_text_string(text, digits + at);
}

void hak_text_number(hak_text_t *text, uint64_t number)
{
    text_radix(text, number, 10);
}

void hak_text_hex(hak_text_t *text, uint64_t number)
{
    hak_text_string(text, "0x");
    text_radix(text, number, 16);
}

uint64_t hak_text_take_number(const char **string)
{
    uint64_t number = 0;
    for (; **string >= '0' && **string <= '9'; ++*string)
        number = number < UINT64_MAX / 10 ? number * 10 + (uint64_t)(**string - '0') : UINT64_MAX;
    return number;
}

/* A string, or its two ends when it is longer than `longest`. */
static void text_ends(hak_text_t *text, const char *string, size_t longest)
{
    size_t n = strlen(string);
    if (n > longest) {
        text_bytes(text, string, longest / 2);
        hak_text_string(text, "...");
        string += n - longest / 2;
    }
    hak_text_string(text, string);
}

static void text_arguments(hak_text_t *text, const char *format, va_list arguments, size_t longest)
{
    for (const char *at = format; *at != 0; at++) {
        char kind = at[0] == '%' ? at[1] : 0;
        if (kind == 's') {
            text_ends(text, va_arg(arguments, const char *), longest);
        } else if (kind == 'u') {
            hak_text_number(text, va_arg(arguments, uint64_t));
        } else if (kind == 'x') {
            hak_text_hex(text, va_arg(arguments, uint64_t));
        } else {
            char plain[2] = {*at, 0};
            hak_text_string(text, plain);
            continue;
        }
        at++;
    }
}

void hak_text_format(hak_text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_arguments(text, format, arguments, SIZE_MAX);
    va_end(arguments);
}

/* What a write comes to where nobody reads, or a file may not grow: a signal, which would end the program. */
#define WRITE_SIGNALS ((uint64_t)1 << (SIGPIPE - 1) | (uint64_t)1 << (SIGXFSZ - 1))

/* Takes the signal away that a write has raised, while it is blocked. One that was there before stays: of those that the program
 * had blocked already, `waiting` were. */
static void take_write_signal(uint64_t waiting)
{
    uint64_t raised = WRITE_SIGNALS & ~waiting;
    struct timespec at_once = {0};
    hak_call(SYS_rt_sigtimedwait, (long)&raised, 0, (long)&at_once, (long)sizeof raised, 0, 0);
}

/* A message that cannot be written harms nobody. */
static long write_quietly(int fd, const char *bytes, size_t n)
{
    uint64_t blocked = WRITE_SIGNALS, before = 0, waiting = 0;
    long size = (long)sizeof blocked;
    long held = hak_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&blocked, (long)&before, size, 0, 0);
    if ((before & WRITE_SIGNALS) != 0)
        hak_call(SYS_rt_sigpending, (long)&waiting, size, 0, 0, 0, 0);
    long written = hak_call(SYS_write, fd, (long)bytes, (long)n, 0, 0, 0);
    if (held == 0 && (written == -EPIPE || written == -EFBIG))
        take_write_signal(waiting);
    if (held == 0)
        hak_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, size, 0, 0);
    return written;
}

void hak_text_write(const hak_text_t *text, int fd)
{
    size_t done = 0;
    while (done < text->length) { /* each round writes at least a byte */
        long n = write_quietly(fd, text->bytes + done, text->length - done);
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

/* Bytes of a value or a name in a message that would be too long: what is wrong with it stands behind. */
#define SHOWN 150u

/* One line that changes nothing on a terminal, whatever the environment holds. */
static void text_line(hak_text_t *text, const char *format, va_list arguments)
{
    size_t begin = text->length;
    va_list again;
    va_copy(again, arguments);
    text_arguments(text, format, arguments, SIZE_MAX);
    if (text->length == sizeof text->bytes) {
        text->length = begin;
        text_arguments(text, format, again, SHOWN);
    }
    va_end(again);
    for (size_t i = begin; i < text->length; i++)
        if ((unsigned char)text->bytes[i] < ' ' || text->bytes[i] == 127)
            text->bytes[i] = '?';
    if (text->length == sizeof text->bytes)
        text->length--;
    hak_text_string(text, "\n");
}

void hak_text_line(hak_text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_line(text, format, arguments);
    va_end(arguments);
}

static void say(const char *kind, const char *format, va_list arguments)
{
    hak_text_t text = {.length = 0};
    hak_text_format(&text, "hakmem: %s: ", kind);
    text_line(&text, format, arguments);
    hak_text_write(&text, STDERR_FILENO);
}

void hak_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("warning", format, arguments);
    va_end(arguments);
}

void (*hak_on_fatal)(int fd);
_Atomic bool hak_is_fatal; /* relaxed: it matters to the thread that has set it */

void hak_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("fatal", format, arguments);
    va_end(arguments);
    atomic_store_explicit(&hak_is_fatal, true, memory_order_relaxed);
    if (hak_on_fatal != NULL)
        hak_on_fatal(STDERR_FILENO);
    abort();
}
