/* SPDX-License-Identifier: MIT */
/* kinds.c: whether a block that was freed by another kind of function than gave it (new[], then delete) is a misuse. It is none if
 * operators that are not ours had a part in it: libstdc++'s new is malloc to us, and its delete is free. Asked only when kinds
 * differ, which correct programs do not make happen but with such operators; so it may take its time, and finds out
 *
 *   whether the program has replaced any of the twenty forms;
 *   for what was malloc's, or was freed by free: whether another C++ runtime is in the process, in a plug-in or program that was
 *   linked with one of its own and may hide its operators, or in the scope of a plug-in with RTLD_DEEPBIND.
 *
 * Not in the archive, where operator new is libstdc++'s. Any thread. */
#define _GNU_SOURCE
#include "api/operators.h"

#if HAK_OVERRIDE

#include "base/message.h"

#include <dlfcn.h>
#include <link.h>

static const char *const forms[] = {"_Znwm",
                                    "_Znam",
                                    "_ZnwmRKSt9nothrow_t",
                                    "_ZnamRKSt9nothrow_t",
                                    "_ZnwmSt11align_val_t",
                                    "_ZnamSt11align_val_t",
                                    "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                    "_ZnamSt11align_val_tRKSt9nothrow_t",
                                    "_ZdlPv",
                                    "_ZdaPv",
                                    "_ZdlPvm",
                                    "_ZdaPvm",
                                    "_ZdlPvRKSt9nothrow_t",
                                    "_ZdaPvRKSt9nothrow_t",
                                    "_ZdlPvSt11align_val_t",
                                    "_ZdaPvSt11align_val_t",
                                    "_ZdlPvmSt11align_val_t",
                                    "_ZdaPvmSt11align_val_t",
                                    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                                    "_ZdaPvSt11align_val_tRKSt9nothrow_t"};

/* --- the program's own forms -------------------------------------------------------------------------------------- */

static const void *object_of(const void *address)
{
    Dl_info object;
    return dladdr(address, &object) != 0 ? object.dli_fbase : NULL;
}

static bool any_is_replaced(void)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const void *found = dlsym(RTLD_DEFAULT, forms[i]);
        if (found == NULL || object_of(found) != object_of((const void *)hak_fatal))
            return true;
    }
    return false;
}

/* --- other runtimes ----------------------------------------------------------------------------------------------- */

/* Unwinds the stack itself: a C++ runtime does, while others import __cxa_throw. */
static bool is_of_runtime(const char *name)
{
    return strcmp(name, "_Unwind_RaiseException") == 0 || strcmp(name, "dl_iterate_phdr") == 0 ||
           strcmp(name, "_dl_find_object") == 0;
}

static bool is_operator(const char *name)
{
    return strncmp(name, "_Znw", 4) == 0 || strncmp(name, "_Zna", 4) == 0 || strncmp(name, "_Zdl", 4) == 0 ||
           strncmp(name, "_Zda", 4) == 0;
}

/* The shared ones: their operators are out of force where ours are in it. */
static bool is_shared_runtime(const char *path)
{
    static const char *const names[] = {"libstdc++.so", "libc++.so", "libc++abi.so", "libgcc_s.so",
                                        "libunwind.so"};
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(file, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* What of an object says what it imports; all in its memory. */
typedef struct imports {
    const ElfW(Sym) * symbol;
    const char *names;
    const ElfW(Rela) * parts[2];
    size_t bytes[2];
} imports_t;

/* glibc has made addresses of what the file has as offsets; not so of the vDSO's, which imports nothing. */
static imports_t imports_of(const ElfW(Dyn) * row)
{
    imports_t in = {.symbol = NULL};
    for (; row->d_tag != DT_NULL; row++) {
        const void *at = (const void *)row->d_un.d_ptr; /* NOLINT(performance-no-int-to-ptr) */
        switch (row->d_tag) {
        case DT_SYMTAB: in.symbol = at; break;
        case DT_STRTAB: in.names = at; break;
        case DT_RELA: in.parts[0] = at; break;
        case DT_RELASZ: in.bytes[0] = row->d_un.d_val; break;
        case DT_JMPREL: in.parts[1] = at; break;
        case DT_PLTRELSZ: in.bytes[1] = row->d_un.d_val; break;
        default: break;
        }
    }
    return in;
}

/* Of an object that imports operators the own ones, if there are any, are not what it calls. */
static bool has_runtime(const ElfW(Dyn) * row)
{
    imports_t in = imports_of(row);
    bool unwinds = false;
    for (unsigned part = 0; part < 2 && in.symbol != NULL && in.names != NULL; part++) {
        const ElfW(Rela) *from = in.parts[part];
        for (size_t i = 0; from != NULL && i < in.bytes[part] / sizeof *from; i++) {
            const ElfW(Sym) *symbol = &in.symbol[ELF64_R_SYM(from[i].r_info)];
            if (symbol->st_shndx != SHN_UNDEF)
                continue;
            if (is_operator(in.names + symbol->st_name))
                return false;
            unwinds |= is_of_runtime(in.names + symbol->st_name);
        }
    }
    return unwinds;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *any)
{
    (void)size;
    if (is_shared_runtime(object->dlpi_name) ||
        object->dlpi_addr == (uintptr_t)object_of((const void *)hak_fatal))
        return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t at = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_DYNAMIC &&
            has_runtime((const ElfW(Dyn) *)at)) /* NOLINT(performance-no-int-to-ptr) */
            *(bool *)any = true;
    }
    return *(bool *)any;
}

static bool any_other_runtime(void)
{
    bool any = atomic_load_explicit(&hak_deep_plugins, memory_order_relaxed);
    if (!any)
        dl_iterate_phdr(look_at, &any);
    return any;
}

bool hak_kinds_are_known(bool c)
{
    /* Once true, for good: blocks outlive plug-ins. relaxed: who does not see it finds out for itself. */
    static _Atomic bool replaced, other_runtime;
    if (!atomic_load_explicit(&replaced, memory_order_relaxed) && any_is_replaced())
        atomic_store_explicit(&replaced, true, memory_order_relaxed);
    if (c && !atomic_load_explicit(&other_runtime, memory_order_relaxed) && any_other_runtime())
        atomic_store_explicit(&other_runtime, true, memory_order_relaxed);
    return !atomic_load_explicit(&replaced, memory_order_relaxed) &&
           !(c && atomic_load_explicit(&other_runtime, memory_order_relaxed));
}

#endif
