/* SPDX-License-Identifier: MIT */
/* message.h: text without malloc and without stdio. Any thread; a message is one system call, not
 * libc's write: it is written before libc is ready, and programs put themselves in front of that name. */
#ifndef HAK_BASE_MESSAGE_H
#define HAK_BASE_MESSAGE_H

#include "base/types.h"

/* A line under construction on the caller's stack. Too long a text is cut, never overrun. */
typedef struct hak_text {
    char bytes[480];
    size_t length; /* bytes used */
} hak_text_t;

void hak_text_string(hak_text_t *text, const char *string);
void hak_text_number(hak_text_t *text, uint64_t number);
void hak_text_hex(hak_text_t *text, uint64_t number);
/* Appends by a format that knows %s (string), %u (uint64_t), %x (uint64_t as 0x...) and nothing else. */
void hak_text_format(hak_text_t *text, const char *format, ...);
/* The same, and a line feed. Of what does not fit each long string keeps its two ends; control bytes become '?'. */
void hak_text_line(hak_text_t *text, const char *format, ...);
/* An error is ignored, and raises no signal: no SIGPIPE, no SIGXFSZ. */
void hak_text_write(const hak_text_t *text, int fd);
/* The decimal number at *string, which moves behind its digits; UINT64_MAX if it is as high or higher, 0 if there is none. */
uint64_t hak_text_take_number(const char **string);

/* "hakmem: warning: ..." on stderr; the caller sees to saying it once. */
HAK_COLD void hak_warn(const char *format, ...);
/* "hakmem: fatal: ..." on stderr, then abort(). Only for what the caller of malloc or free did wrong. */
HAK_COLD _Noreturn void hak_fatal(const char *format, ...);
/* What hak_fatal calls between its line and abort(), with stderr: whoever has more to tell (the ring of events, which lies
 * in a layer above this one) sets it before the first block. Async-signal-safe; NULL: nothing. */
extern void (*hak_on_fatal)(int fd) HAK_HIDDEN;
/* hak_fatal was called. The handler of SIGABRT may allocate, to write a report, while the thread holds a lock. relaxed: it matters
 * to that thread alone. */
extern _Atomic bool hak_is_fatal HAK_HIDDEN;

/* Internal invariant; compiled to nothing unless the variant has checks. */
#define hak_assert(condition)                                                                                \
    do {                                                                                                     \
        if (HAK_CHECKS && hak_unlikely(!(condition)))                                                        \
            hak_fatal("assertion failed: %s (%s:%u)", #condition, __FILE__, (uint64_t)__LINE__);             \
    } while (0)

#endif
