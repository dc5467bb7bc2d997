/* SPDX-License-Identifier: MIT */
/* deepbind.c: plug-ins that are loaded with RTLD_DEEPBIND (PHP's extensions, for one) find libc's malloc before ours, while
 * libc itself calls ours: strdup gives such a plug-in a block of ours, and its free, which is libc's, aborts.
 *
 * So before the first plug-in of that kind is loaded, libc's table of symbols is told that its malloc family is ours:
 * whoever looks these names up in libc from then on finds our functions. That holds for the plug-in, for what it was linked
 * with, for their constructors, for calls that are bound late, for dlsym; nothing has to be undone by dlclose. Blocks of
 * libc's that exist already, freed by us, are seen by mem/unknown.c.
 *
 * Rejected: to take the flag away (symbols that the plug-in shares with the program would change their meaning); to write the
 * plug-in's own GOT after dlopen (its constructors have run by then, and late binding writes it again).
 *
 * Not in the archive. Any thread: a symbol's value is one aligned store, and two threads store the same. */
#define _GNU_SOURCE
#include "api/operators.h"

#if HAK_OVERRIDE

#include "mem/unknown.h"
#include "os/os.h"

#include <dlfcn.h>
#include <link.h>

HAK_EXPORT void *dlopen(const char *file, int mode);

/* --- libc's table of symbols -------------------------------------------------------------------------------------- */

/* The tables of one object that a name is looked up in, all in its memory. */
typedef struct symbols {
    uintptr_t base; /* where the object was loaded */
    ElfW(Sym) * symbol;
    const char *names;
    /* DT_GNU_HASH: buckets, first symbol, words of the filter, shift; then these tables. */
    const uint32_t *hash;
} symbols_t;

static symbols_t symbols_of(const struct link_map *object)
{
    symbols_t found = {.base = object->l_addr};
    for (const ElfW(Dyn) *row = object->l_ld; row->d_tag != DT_NULL; row++) {
        void *at = (void *)row->d_un.d_ptr; /* NOLINT(performance-no-int-to-ptr) */
        if (row->d_tag == DT_SYMTAB)
            found.symbol = at;
        else if (row->d_tag == DT_STRTAB)
            found.names = at;
        else if (row->d_tag == DT_GNU_HASH)
            found.hash = at;
    }
    return found;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    while (*name != 0)
        hash = hash * 33 + (unsigned char)*name++;
    return hash;
}

/* The symbol of a function that the object defines; NULL if it defines none. */
static ElfW(Sym) * find_symbol(const symbols_t *in, const char *name)
{
    const uint32_t *buckets = in->hash + 4 + (size_t)in->hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chain = buckets + in->hash[0];
    uint32_t hash = hash_of(name);
    uint32_t at = buckets[hash % in->hash[0]];
    if (at < in->hash[1])
        return NULL;
    for (uint32_t word = 0; (word & 1) == 0; at++) { /* the last word of a bucket is odd */
        word = chain[at - in->hash[1]];
        if ((word | 1) == (hash | 1) && strcmp(in->names + in->symbol[at].st_name, name) == 0)
            return &in->symbol[at];
    }
    return NULL;
}

/* --- what is redirected ------------------------------------------------------------------------------------------- */

static const char *const redirected_names[] = {"malloc",          "free",
                                               "calloc",          "realloc",
                                               "reallocarray",    "aligned_alloc",
                                               "memalign",        "posix_memalign",
                                               "valloc",          "pvalloc",
                                               "malloc_trim",     "malloc_info",
                                               "malloc_stats",    "malloc_usable_size",
                                               "mallopt",         "mallinfo",
                                               "mallinfo2",       "__libc_malloc",
                                               "__libc_free",     "__libc_calloc",
                                               "__libc_realloc",  "__libc_memalign",
                                               "__libc_valloc",   "__libc_pvalloc",
                                               "__libc_mallinfo", "__libc_mallopt"};

#define NAMES (sizeof redirected_names / sizeof *redirected_names)

typedef struct plan {
    const struct link_map *libc;
    void *own[NAMES]; /* what each name is to lead to; NULL: left alone */
} plan_t;

/* release in redirect_in, pairs with acquire in prepare_dlopen: libc's table. */
static _Atomic bool redirected;
_Atomic bool hak_deep_plugins; /* relaxed: written before the plug-in is loaded that it tells of */

/* Ours where it is the one in force: a program may have a malloc of its own, which may want to find libc's. */
static void *own_definition(const char *name)
{
    Dl_info library, object;
    void *found = dlsym(RTLD_DEFAULT, name);
    bool ours = found != NULL && dladdr(found, &object) != 0 && dladdr(&redirected, &library) != 0 &&
                object.dli_fbase == library.dli_fbase;
    return ours ? found : NULL;
}

static void redirect_symbols(const plan_t *plan, const symbols_t *in)
{
    for (size_t i = 0; i < NAMES; i++) {
        ElfW(Sym) *symbol = plan->own[i] != NULL ? find_symbol(in, redirected_names[i]) : NULL;
        if (symbol != NULL) /* relaxed: a lookup finds the old value or the new one, and either is whole */
            __atomic_store_n(&symbol->st_value, (uintptr_t)plan->own[i] - in->base, __ATOMIC_RELAXED);
    }
}

/* Runs under the lock with which the loader guards its list of objects: one thread at a time. Only a segment that is for
 * reading and nothing else is touched; where the system refuses, all stays as it was. */
static int redirect_in(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    const plan_t *plan = argument;
    if (object->dlpi_addr != plan->libc->l_addr)
        return 0;
    symbols_t in = symbols_of(plan->libc);
    if (in.symbol == NULL || in.names == NULL || in.hash == NULL)
        return 1;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = (object->dlpi_addr + part->p_vaddr) & ~(HAK_OS_PAGE - 1);
        uintptr_t end = hak_round_up(object->dlpi_addr + part->p_vaddr + part->p_memsz, HAK_OS_PAGE);
        if (part->p_type != PT_LOAD || part->p_flags != PF_R || (uintptr_t)in.symbol - start >= end - start)
            continue;
        void *at = (void *)start; /* NOLINT(performance-no-int-to-ptr) */
        if (atomic_load_explicit(&redirected, memory_order_acquire) || !hak_os_allow_writes(at, end - start))
            break;
        redirect_symbols(plan, &in);
        hak_os_make_readable(at, end - start);
        atomic_store_explicit(&redirected, true, memory_order_release);
        break;
    }
    return 1;
}

static void redirect_libc(void)
{
    plan_t plan = {.libc = NULL};
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc == NULL || dlinfo(libc, RTLD_DI_LINKMAP, &plan.libc) != 0)
        return;
    hak_unknown_find(); /* libc's own functions, while they can be found */
    for (size_t i = 0; i < NAMES; i++)
        plan.own[i] = own_definition(redirected_names[i]);
    dl_iterate_phdr(redirect_in, &plan);
}

/* --- dlopen ------------------------------------------------------------------------------------------------------- */

typedef void *dlopen_t(const char *file, int mode);

/* The next definition of dlopen; with the flag, libc's symbols lead to us first. */
static HAK_NOINLINE dlopen_t *prepare_dlopen(int mode)
{
    static _Atomic(void *) next; /* relaxed: each thread finds the same */
    dlopen_t *found;
    *(void **)&found = atomic_load_explicit(&next, memory_order_relaxed);
    if (found == NULL) {
        *(void **)&found = dlsym(RTLD_NEXT, "dlopen");
        atomic_store_explicit(&next, *(void **)&found, memory_order_relaxed);
    }
    if (HAK_HARDEN && (mode & RTLD_DEEPBIND) != 0)
        atomic_store_explicit(&hak_deep_plugins, true, memory_order_relaxed);
    if ((mode & RTLD_DEEPBIND) != 0 && !atomic_load_explicit(&redirected, memory_order_acquire))
        redirect_libc();
    return found;
}

/* A jump, since dlopen looks at its caller, whose RUNPATH and namespace count. */
HAK_JUMPS void *dlopen(const char *file, int mode)
{
    dlopen_t *next = prepare_dlopen(mode);
    if (hak_unlikely(next == NULL))
        return NULL;
    HAK_JUMP return next(file, mode);
}

#endif
