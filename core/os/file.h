/* SPDX-License-Identifier: MIT */
/* file.h: files, and what the system says of a process, without libc: for a trace that is written while blocks are taken. Any
 * thread, also under a lock; nothing here touches errno or allocates. No descriptor outlives the caller's next few lines:
 * programs close all they find, and use the numbers again. */
#ifndef HAK_OS_FILE_H
#define HAK_OS_FILE_H

#include "base/types.h"

#define HAK_OS_PATH ((size_t)4096) /* bytes of a path with its end, at most */

/* What tells a file from others. */
typedef struct hak_os_file {
    uint64_t device, inode;
    uint64_t size; /* bytes */
    bool regular;
} hak_os_file_t;

/* A mapping of a file. */
typedef struct hak_os_object {
    uintptr_t start, end; /* addresses */
    uint64_t offset;      /* of `start` in the file */
    char path[256];       /* cut when it is longer */
} hak_os_object_t;

/* Opens for reading and writing; an error's number negated when that fails. */
int hak_os_file_open(const char *path, bool create);
/* The same for reading alone. */
int hak_os_file_open_to_read(const char *path);
void hak_os_file_close(int file);
bool hak_os_file_look(int file, hak_os_file_t *out);
/* True if nobody else has it locked; until it is closed. */
bool hak_os_file_lock(int file);
bool hak_os_file_empty(int file);
/* Bytes read, or an error's number negated. */
long hak_os_file_read(int file, void *into, size_t size, uint64_t at);
/* All or nothing that counts: false when the disk is full, or the file would be larger than the process may have it. Never
 * raises SIGXFSZ. */
bool hak_os_file_write(int file, const void *from, size_t size, uint64_t at);

/* The path from the root. False when it does not fit. */
bool hak_os_path_absolute(char *out, const char *path);
/* Of the running program; returns its length, 0 if it cannot be had. `out` is not terminated. */
size_t hak_os_path_program(char *out, size_t capacity);

uint32_t hak_os_process(void);
uint32_t hak_os_process_parent(void);
/* When a process was started, in ticks; 0 if it is none, has ended, or /proc is not there. */
uint64_t hak_os_process_started(uint32_t process);
/* True if a process is the other one, or a child of it, or a child's child. */
bool hak_os_process_stems_from(uint32_t process, uint32_t ancestor);
/* True if there is a process of this number. */
bool hak_os_process_exists(uint32_t process);
/* The file that is mapped at an address; false if none is. */
bool hak_os_object_at(uintptr_t address, hak_os_object_t *out);

#endif
