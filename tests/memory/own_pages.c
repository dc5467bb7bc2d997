/* SPDX-License-Identifier: MIT */
/* Few pages of the library itself are a process's own: the variables that each process writes lie together, apart from tables of
 * which it touches a word and from what is written once. Nor are unwinding tables brought in with what is read at the start, unless
 * BOLT has written them. */
#define _GNU_SOURCE
#include <link.h>
#include <stdbool.h>

#include "check.h"

static const uintptr_t PAGE = 4096;
static const uint64_t PRESENT = UINT64_C(1) << 63, OF_A_FILE = UINT64_C(1) << 61;

struct found {
    int pagemap, own, libraries, tables;
    size_t writable;
};

static uint64_t state_of(int pagemap, uintptr_t page)
{
    uint64_t state = 0;
    CHECK(pread(pagemap, &state, sizeof state, (off_t)(page / PAGE * sizeof state)) == sizeof state,
          "no pagemap");
    return state & PRESENT ? state : 0;
}

static int own_pages(int pagemap, uintptr_t start, uintptr_t end)
{
    int own = 0;
    for (uintptr_t page = start & -PAGE; page < end; page += PAGE) {
        const uint64_t state = state_of(pagemap, page);
        own += state != 0 && !(state & OF_A_FILE);
    }
    return own;
}

/* BOLT writes new tables, behind the code that it writes, in one segment. */
static bool is_among_code(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) &&
            address - info->dlpi_addr - header->p_vaddr < header->p_memsz)
            return true;
    }
    return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct found *found = argument;
    (void)size;
    if (strstr(info->dlpi_name, "libhakmem") == NULL)
        return 0;
    found->libraries++;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W)) {
            found->own += own_pages(found->pagemap, start, start + header->p_memsz);
            found->writable += header->p_memsz;
        }
        if (header->p_type == PT_GNU_EH_FRAME && !is_among_code(info, start))
            found->tables += state_of(found->pagemap, start) != 0;
    }
    return 0;
}

int main(void)
{
    struct found found = {.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    if (found.pagemap < 0)
        return TEST_SKIPPED;
    for (size_t size = 16; size <= 1024; size += 16)
        free(malloc(size));
    dl_iterate_phdr(look, &found);
    const int most = found.writable <= (size_t)96 * 1024 ? 5 : 9; /* without options, with them */
    CHECK(found.libraries == 1, "%d libraries of that name", found.libraries);
    CHECK(found.own <= most, "%d pages of the library are the process's own, at most %d should be", found.own,
          most);
    CHECK(found.tables == 0, "the unwinding tables are mapped from the start");
    return 0;
}
