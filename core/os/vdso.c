/* SPDX-License-Identifier: MIT */
/* vdso.c: walks the kernel's ELF image: program headers, its dynamic section, the symbols. No state. */
#include "os/vdso.h"

#include <elf.h>
#include <string.h>

#if defined(__aarch64__)
#define CLOCK_NAME "__kernel_clock_gettime"
#else
#define CLOCK_NAME "__vdso_clock_gettime"
#endif

/* Where things are. The image is linked at some address; `offset` leads from there to where it is mapped. */
typedef struct image {
    const char *base;
    uintptr_t offset;
    const Elf64_Sym *symbols;
    const char *names;
    uint32_t count; /* of symbols */
} image_t;

static const void *in_image(const image_t *image, uintptr_t address)
{
    return (const void *)(image->offset + address); /* NOLINT(performance-no-int-to-ptr) */
}

static const Elf64_Dyn *find_dynamic(image_t *image)
{
    const Elf64_Ehdr *head = (const void *)image->base;
    const Elf64_Phdr *part = (const void *)(image->base + head->e_phoff);
    const Elf64_Phdr *dynamic = NULL, *loaded = NULL;
    for (unsigned i = 0; i < head->e_phnum; i++) {
        if (part[i].p_type == PT_LOAD && loaded == NULL)
            loaded = &part[i];
        if (part[i].p_type == PT_DYNAMIC)
            dynamic = &part[i];
    }
    if (loaded == NULL || dynamic == NULL)
        return NULL;
    image->offset = (uintptr_t)image->base + loaded->p_offset - loaded->p_vaddr;
    return in_image(image, dynamic->p_vaddr);
}

/* The number of symbols from the GNU hash table: the last chain's end. Its words are few: the loops end with them. */
static uint32_t count_by_gnu_hash(const uint32_t *table)
{
    uint32_t buckets = table[0], first = table[1], words = table[2], last = 0;
    const uint32_t *bucket = table + 4 + 2 * (size_t)words;
    const uint32_t *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        if (bucket[i] > last)
            last = bucket[i];
    if (last < first)
        return first;
    while ((chain[last - first] & 1) == 0) /* the lowest bit ends each chain */
        last++;
    return last + 1;
}

static bool read_dynamic(image_t *image)
{
    const Elf64_Dyn *entry = find_dynamic(image);
    for (; entry != NULL && entry->d_tag != DT_NULL; entry++) { /* ends: each ELF image has a DT_NULL */
        const void *where = in_image(image, entry->d_un.d_ptr);
        if (entry->d_tag == DT_SYMTAB)
            image->symbols = where;
        if (entry->d_tag == DT_STRTAB)
            image->names = where;
        if (entry->d_tag == DT_HASH)
            image->count = ((const uint32_t *)where)[1];
        if (entry->d_tag == DT_GNU_HASH && image->count == 0)
            image->count = count_by_gnu_hash(where);
    }
    return image->symbols != NULL && image->names != NULL;
}

hak_clock_t hak_vdso_clock(const void *base)
{
    image_t image = {.base = base};
    if (base == NULL || memcmp(base, ELFMAG, SELFMAG) != 0 || !read_dynamic(&image))
        return NULL;
    for (uint32_t i = 0; i < image.count; i++) {
        const Elf64_Sym *symbol = &image.symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(image.names + symbol->st_name, CLOCK_NAME) == 0)
            return (hak_clock_t)(uintptr_t)in_image(&image, symbol->st_value);
    }
    return NULL;
}
