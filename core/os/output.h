/* SPDX-License-Identifier: MIT */
/* output.h: files that the process writes for somebody else to read: to a file beside, which then takes the name, so that nobody
 * sees half of one. No stdio, no allocation, no lock. Any thread, and a signal handler. */
#ifndef HAK_OS_OUTPUT_H
#define HAK_OS_OUTPUT_H

#include "base/message.h"

/* Bytes of a path: with three numbers behind it a text holds it. */
#define HAK_OS_OUTPUT_PATH (sizeof((hak_text_t *)NULL)->bytes - 48u)

/* A file that is being written. */
typedef struct hak_os_output {
    int file;
    uint64_t at; /* bytes so far */
    bool good;   /* until something did not fit */
} hak_os_output_t;

/* The path from the root, as the program may change its directory. False when it does not fit. */
bool hak_os_output_path(char out[HAK_OS_OUTPUT_PATH], const char *path);
void hak_os_output_bytes(hak_os_output_t *out, const char *bytes, size_t n);
/* The text goes out, and begins anew. */
void hak_os_output_text(hak_os_output_t *out, hak_text_t *text);
/* What `put` puts out becomes the file of this path; false, and whatever was there stays, if that cannot be, or what is there is no
 * file. */
bool hak_os_output_replace(const char *path, unsigned mode, void (*put)(hak_os_output_t *out));

#endif
