/* SPDX-License-Identifier: MIT */
/* slots.c: counters that every process leaves behind, however it ends.
 *
 * The file "counters" beside the library (pgo/counters.py makes and reads it) is mapped over the pages from
 * hak_counters_start to hak_counters_end, a slot for each process: what is counted is in the file at once, and neither
 * _exit nor exec nor a signal loses it. The file is found by the library's own name, since the environment may be gone and
 * the directory changed. A forked child takes a slot of its own by way of the mapping: it may have lost the right, or in a
 * chroot the way, to open the file. A child that was made without fork(), as by vfork, shares its parent's. A library that
 * has no such file beside it counts for nobody. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE      4096u
#define MAGIC     UINT64_C(0x31746e756f436b48)
#define NAME      "counters"
#define COUNTERS  hak_counters_start
#define LONG_PATH 512

typedef struct record {
    uint64_t pid, parent;
    uint64_t forked; /* 0: a program was started, 1: a child of the process that had the library */
    uint64_t length; /* of the arguments; more than fits: they were cut off */
    char program[224];
    char arguments[768]; /* each ends in a zero */
} record_t;

typedef struct file {
    uint64_t magic, slots, bytes; /* bytes from slot to slot */
    /* Slots in use; the last one is shared by all that come too late. relaxed: a count. */
    _Atomic uint64_t next;
    uint64_t used; /* bytes of counters in a slot, pages */
    char unused[PAGE - 5 * sizeof(uint64_t)];
    record_t records[];
} file_t;

extern char hak_counters_start[] __attribute__((visibility("hidden")));
extern char hak_counters_end[] __attribute__((visibility("hidden")));

static file_t *file;

static size_t counter_bytes(void)
{
    return (size_t)(hak_counters_end - COUNTERS);
}

/* The name of a file beside the library. */
static int beside(char *path, const char *name)
{
    Dl_info here;
    if (dladdr((void *)COUNTERS, &here) == 0 || here.dli_fname == NULL)
        return 0;
    const char *slash = strrchr(here.dli_fname, '/');
    size_t length = slash != NULL ? (size_t)(slash + 1 - here.dli_fname) : 0;
    if (length + strlen(name) >= LONG_PATH)
        return 0;
    memcpy(path, here.dli_fname, length);
    strcpy(path + length, name);
    return 1;
}

static uint64_t read_arguments(record_t *record)
{
    int from = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return 0;
    char more;
    ssize_t length = read(from, record->arguments, sizeof record->arguments);
    if (length == sizeof record->arguments)
        length += read(from, &more, 1) == 1;
    close(from);
    return length > 0 ? (uint64_t)length : 0;
}

static void take_slot(uint64_t forked)
{
    uint64_t slot = atomic_fetch_add_explicit(&file->next, 1, memory_order_relaxed);
    if (slot >= file->slots)
        slot = file->slots - 1;
    record_t *record = &file->records[slot];
    record->pid = (uint64_t)syscall(SYS_getpid);
    record->parent = (uint64_t)getppid();
    record->forked = forked;
    ssize_t length = readlink("/proc/self/exe", record->program, sizeof record->program - 1);
    record->program[length > 0 ? length : 0] = 0;
    record->length = forked ? 0 : read_arguments(record);
    char *pages = (char *)&file->records[file->slots] + slot * file->bytes;
    if (!forked) { /* what was counted before */
        uint64_t *to = (uint64_t *)(void *)pages;
        const uint64_t *from = (const uint64_t *)(const void *)COUNTERS;
        for (size_t i = 0; i < counter_bytes() / sizeof *to; i++)
            __atomic_fetch_add(&to[i], from[i], __ATOMIC_RELAXED);
    }
    /* With an old size of 0 a shared mapping is not moved: the same pages are mapped once more. */
    (void)mremap(pages, 0, counter_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, COUNTERS);
}

static void start_child(void)
{
    take_slot(1);
}

__attribute__((constructor)) static void start(void)
{
    char path[LONG_PATH];
    if (!beside(path, NAME))
        return;
    int from = open(path, O_RDWR | O_CLOEXEC);
    if (from < 0)
        return;
    off_t size = lseek(from, 0, SEEK_END);
    void *mapped = size > (off_t)sizeof *file
                       ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, from, 0)
                       : MAP_FAILED;
    close(from);
    if (mapped == MAP_FAILED)
        return;
    file = mapped;
    if (file->magic != MAGIC || file->bytes < counter_bytes()) {
        munmap(mapped, (size_t)size);
        file = NULL;
        return;
    }
    file->used = counter_bytes();
    take_slot(0);
    pthread_atfork(NULL, NULL, start_child);
}
