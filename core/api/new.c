/* new.c: the C++ operators, under their mangled names, without a C++ runtime: a C program that preloads the library
 * must not pay for one. Where new has to call the new_handler or throw, the program's own C++ runtime is asked. */
#define _GNU_SOURCE
#include "api/family.h"

#if HAK_OVERRIDE

#include <dlfcn.h>

typedef void (*handler_t)(void);
typedef void *(*plain_t)(size_t size, const void *nothrow);
typedef void *(*aligned_t)(size_t size, size_t align, const void *nothrow);

/* std::get_new_handler() and std::__throw_bad_alloc(): of the runtime the program is linked with, else NULL. */
extern handler_t _ZSt15get_new_handlerv(void) __attribute__((weak));
extern _Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

typedef struct runtime {
    handler_t (*get_handler)(void);
    void (*throw_bad_alloc)(void);
    plain_t quiet; /* its own new(nothrow): calls new and catches what that throws */
    aligned_t quiet_aligned;
} runtime_t;

/* Looks for new(nothrow) in `scope`, or behind us where that is RTLD_NEXT; ours is not what is looked for. */
static void find_quiet(runtime_t *runtime, void *scope)
{
    void *plain = dlsym(scope, "_ZnwmRKSt9nothrow_t");
    if (plain == NULL || plain == dlsym(RTLD_DEFAULT, "_ZnwmRKSt9nothrow_t"))
        return;
    *(void **)&runtime->quiet = plain;
    *(void **)&runtime->quiet_aligned = dlsym(scope, "_ZnwmSt11align_val_tRKSt9nothrow_t");
}

/* The C++ runtime of the code at `caller`: a plug-in may have brought its own, in a scope of its own. */
static runtime_t runtime_of(void *caller)
{
    runtime_t runtime = {.get_handler = _ZSt15get_new_handlerv, .throw_bad_alloc = _ZSt17__throw_bad_allocv};
    if (runtime.throw_bad_alloc != NULL) {
        find_quiet(&runtime, RTLD_NEXT);
        return runtime;
    }
    Dl_info object;
    if (dladdr(caller, &object) == 0)
        return runtime;
    void *scope = dlopen(object.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (scope == NULL)
        return runtime;
    *(void **)&runtime.get_handler = dlsym(scope, "_ZSt15get_new_handlerv");
    *(void **)&runtime.throw_bad_alloc = dlsym(scope, "_ZSt17__throw_bad_allocv");
    find_quiet(&runtime, scope);
    if (runtime.throw_bad_alloc == NULL) /* libc++ */
        *(void **)&runtime.throw_bad_alloc = dlsym(scope, "_ZNSt3__117__throw_bad_allocEv");
    dlclose(scope); /* the caller is running in it: it stays */
    return runtime;
}

static handler_t handler_of(const runtime_t *runtime)
{
    return runtime->get_handler != NULL ? runtime->get_handler() : NULL;
}

/* As the standard has it: the handler is called until there is memory or no handler. A handler may throw. */
static HAK_COLD void *new_slow(size_t align, size_t size, void *caller)
{
    runtime_t runtime = runtime_of(caller);
    handler_t handler;
    while ((handler = handler_of(&runtime)) != NULL) {
        handler();
        void *p = hak_family_aligned(align, size);
        if (p != NULL)
            return p;
    }
    if (runtime.throw_bad_alloc != NULL)
        runtime.throw_bad_alloc();
    return NULL;
}

/* The same, but NULL in place of any exception: C cannot catch what a handler throws, the runtime's own can. */
static HAK_COLD void *quiet_slow(size_t align, size_t size, void *caller)
{
    runtime_t runtime = runtime_of(caller);
    if (handler_of(&runtime) == NULL)
        return NULL;
    if (align > HAK_ALIGN)
        return runtime.quiet_aligned != NULL ? runtime.quiet_aligned(size, align, NULL) : NULL;
    return runtime.quiet != NULL ? runtime.quiet(size, NULL) : NULL;
}

#define NEW(name, parameters, align, allocation, slow)                                                       \
    HAK_EXPORT void *name parameters;                                                                        \
    void *name parameters                                                                                    \
    {                                                                                                        \
        void *p = allocation;                                                                                \
        return hak_likely(p != NULL) ? p : slow(align, size, __builtin_return_address(0));                   \
    }

#define DELETE(name, parameters, check, how)                                                                 \
    HAK_EXPORT void name parameters;                                                                         \
    void name parameters                                                                                     \
    {                                                                                                        \
        check;                                                                                               \
        how;                                                                                                 \
    }

#define UNUSED          __attribute__((unused))
#define PLAIN           (size_t size)
#define PLAIN_NOTHROW   (size_t size, const void *nothrow UNUSED)
#define ALIGNED         (size_t size, size_t align)
#define ALIGNED_NOTHROW (size_t size, size_t align, const void *nothrow UNUSED)

NEW(_Znwm, PLAIN, HAK_ALIGN, hak_family_malloc(size), new_slow)
NEW(_Znam, PLAIN, HAK_ALIGN, hak_family_malloc(size), new_slow)
NEW(_ZnwmRKSt9nothrow_t, PLAIN_NOTHROW, HAK_ALIGN, hak_family_malloc(size), quiet_slow)
NEW(_ZnamRKSt9nothrow_t, PLAIN_NOTHROW, HAK_ALIGN, hak_family_malloc(size), quiet_slow)
NEW(_ZnwmSt11align_val_t, ALIGNED, align, hak_family_aligned(align, size), new_slow)
NEW(_ZnamSt11align_val_t, ALIGNED, align, hak_family_aligned(align, size), new_slow)
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, ALIGNED_NOTHROW, align, hak_family_aligned(align, size), quiet_slow)
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, ALIGNED_NOTHROW, align, hak_family_aligned(align, size), quiet_slow)

#define UNCHECKED   (void)0
#define CHECK_ALIGN hak_family_check_align(p, align, HAK_SITE)
#define FREE        hak_family_free(p, HAK_SITE)
#define FREE_SIZED  hak_family_free_sized(p, size, HAK_SITE)

DELETE(_ZdlPv, (void *p), UNCHECKED, FREE)
DELETE(_ZdaPv, (void *p), UNCHECKED, FREE)
DELETE(_ZdlPvm, (void *p, size_t size UNUSED), UNCHECKED, FREE_SIZED)
DELETE(_ZdaPvm, (void *p, size_t size UNUSED), UNCHECKED, FREE_SIZED)
DELETE(_ZdlPvRKSt9nothrow_t, (void *p, const void *nothrow UNUSED), UNCHECKED, FREE)
DELETE(_ZdaPvRKSt9nothrow_t, (void *p, const void *nothrow UNUSED), UNCHECKED, FREE)
DELETE(_ZdlPvSt11align_val_t, (void *p, size_t align), CHECK_ALIGN, FREE)
DELETE(_ZdaPvSt11align_val_t, (void *p, size_t align), CHECK_ALIGN, FREE)
DELETE(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align), CHECK_ALIGN, FREE_SIZED)
DELETE(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align), CHECK_ALIGN, FREE_SIZED)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow UNUSED), CHECK_ALIGN,
       FREE)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow UNUSED), CHECK_ALIGN,
       FREE)

#else
typedef int hak_nothing_here; /* a translation unit is not empty in C */
#endif
