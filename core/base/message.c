/* SPDX-License-Identifier: MIT */
/* message.c: text without malloc and without stdio. No state but hak_on_fatal. */
#include "base/message.h"

#include "base/call.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void hak_text_string(hak_text_t *text, const char *string)
{
    size_t n = hak_min(strlen(string), sizeof text->bytes - text->length);
    memcpy(text->bytes + text->length, string, n);
    text->length += n;
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

static void text_arguments(hak_text_t *text, const char *format, va_list arguments)
{
    for (const char *at = format; *at != 0; at++) {
        char kind = at[0] == '%' ? at[1] : 0;
        if (kind == 's') {
            hak_text_string(text, va_arg(arguments, const char *));
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
    text_arguments(text, format, arguments);
    va_end(arguments);
}

void hak_text_write(const hak_text_t *text, int fd)
{
    size_t done = 0;
    while (done < text->length) { /* each round writes at least a byte */
        long n = hak_call(SYS_write, fd, (long)(text->bytes + done), (long)(text->length - done), 0, 0, 0);
        if (n <= 0)
            return; /* a message that cannot be written harms nobody */
        done += (size_t)n;
    }
}

static void say(const char *kind, const char *format, va_list arguments)
{
    hak_text_t text = {.length = 0};
    hak_text_format(&text, "hakmem: %s: ", kind);
    text_arguments(&text, format, arguments);
    if (text.length == sizeof text.bytes)
        text.length--;
    hak_text_string(&text, "\n");
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

void hak_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("fatal", format, arguments);
    va_end(arguments);
    if (hak_on_fatal != NULL)
        hak_on_fatal(STDERR_FILENO);
    abort();
}
