/* SPDX-License-Identifier: MIT */
/* A plug-in that is loaded with RTLD_DEEPBIND: it finds libc's malloc before the program's, while libc's own functions call the
 * program's. It frees what libc gave it, and gives and takes blocks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *part_text(int number);
void part_free(void *block);

void *plugin_take(int how, size_t size);
void plugin_give(void *block);
int plugin_use(void);

static char *kept;

__attribute__((constructor)) static void loaded(void)
{
    free(strdup("in a constructor"));
    kept = strdup("from a constructor");
}

__attribute__((destructor)) static void unloaded(void)
{
    free(kept);
}

void *plugin_take(int how, size_t size)
{
    void *block = NULL;
    switch (how) {
    case 0: return malloc(size);
    case 1: return calloc(1, size);
    case 2: return realloc(malloc(10), size);
    case 3: return aligned_alloc(64, size);
    case 4: return posix_memalign(&block, 64, size) == 0 ? block : NULL;
    case 5: return memalign(64, size);
    case 6: return reallocarray(NULL, 1, size);
    default: return strdup("text of libc's");
    }
}

void plugin_give(void *block)
{
    free(block);
}

/* Blocks of libc's functions, of the part's, by a pointer that dlsym found, and one that grows. */
int plugin_use(void)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL || getline(&line, &size, file) < 0)
        return 1;
    fclose(file);
    line = realloc(line, malloc_usable_size(line) * 3);
    free(line);
    part_free(part_text(1));
    free(part_text(2));
    part_free(strdup("text"));
    void (*found)(void *);
    *(void **)&found = dlsym(RTLD_DEFAULT, "free");
    found(strdup("text"));
    *(void **)&found = dlsym(RTLD_NEXT, "free");
    found(strdup("text"));
    return 0;
}
