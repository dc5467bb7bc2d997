/* SPDX-License-Identifier: MIT */
/* new.c: the eight forms of operator new, under their mangled names, without a C++ runtime: a C program that preloads the
 * library must not pay for one. Not in the archive: there libstdc++'s own forms call our malloc, which is all that the
 * standard asks for, and a static program has no other definition to turn to.
 *
 * A form that throws never returns NULL. What is to be done when memory is out (the new_handler, then a throw) only a C++
 * runtime can do, and the right one is whichever the caller would have used without us: so its definition of the same
 * operator is called. It calls malloc, which is ours, its own new_handler, and throws what its own catch understands.
 *
 * A program may replace some of the forms. The standard says that the others then call the replaced ones: array forms
 * the plain form, quiet forms the one that throws. All are weak, and each asks the dynamic linker which one is in force. */
#define _GNU_SOURCE
#include "api/operators.h"
#include "base/message.h"

#if HAK_OVERRIDE

#include <dlfcn.h>

typedef void (*handler_t)(void);
typedef void *plain_t(size_t size);
typedef void *aligned_t(size_t size, size_t align);
typedef void *quiet_t(size_t size, const void *nothrow);
typedef void *quiet_aligned_t(size_t size, size_t align, const void *nothrow);

/* Parts of the C++ runtime: of a program that has one in the global scope, or exports its own to us when it is linked with
 * -lhakmem -static-libstdc++; else NULL. */
#define PART __attribute__((weak))
extern handler_t _ZSt15get_new_handlerv(void) PART;
extern void _ZSt17__throw_bad_allocv(void) PART;
extern void *__cxa_allocate_exception(size_t size) PART;
extern void __cxa_throw(void *exception, void *type, void (*destroy)(void *)) PART;
extern void *_ZTISt9bad_alloc[] PART; /* its type, its virtual functions, its destructor */
extern void *_ZTVSt9bad_alloc[] PART;
extern void _ZNSt9bad_allocD1Ev(void *exception) PART;

typedef struct runtime {
    handler_t (*get_handler)(void);
    void (*throw_bad_alloc)(void);
    void *(*allocate_exception)(size_t size);
    void (*throw_exception)(void *exception, void *type, void (*destroy)(void *));
    void **type, **functions;
    void (*destroy)(void *exception);
} runtime_t;

/* --- whose operator ----------------------------------------------------------------------------------------------- */

/* What the object at `caller` and those it was linked with define: a plug-in's scope is its own. dlclose does no harm
 * afterwards, since the caller runs in it. NULL if it has no scope but the global one. */
static void *scope_of(const void *caller)
{
    Dl_info object;
    return dladdr(caller, &object) != 0 ? dlopen(object.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

/* A definition is no use if it is in this library, or is the very one that called us: a wrapper whose next one we are. */
static bool is_of_use(void *found, const void *caller)
{
    Dl_info of, own, at;
    return found != NULL && dladdr(found, &of) != 0 && dladdr((const void *)hak_fatal, &own) != 0 &&
           of.dli_fbase != own.dli_fbase && (dladdr(caller, &at) == 0 || at.dli_saddr != found);
}

/* The definition in one of the shared runtimes; `mode` says whether it may be loaded for that. */
static void *definition_in_runtime(const char *name, int mode)
{
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++.so.1"};
    void *found = NULL;
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes && found == NULL; i++) {
        void *scope = dlopen(runtimes[i], RTLD_LAZY | RTLD_LOCAL | mode);
        found = scope != NULL ? dlsym(scope, name) : NULL;
    }
    return found;
}

/* The definition of an operator that the caller would have had without us, or NULL. The global scope comes first, then the
 * caller's own; where we hide it there, because the caller is linked with us, a runtime that is loaded. */
static void *next_definition(const char *name, const void *caller)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (is_of_use(found, caller))
        return found;
    void *scope = scope_of(caller);
    if (scope != NULL) {
        found = dlsym(scope, name);
        dlclose(scope);
    }
    return is_of_use(found, caller) ? found : definition_in_runtime(name, RTLD_NOLOAD);
}

/* --- parts of a runtime that defines no operators ----------------------------------------------------------------- */

static void find_part(void *scope, const char *name, void *part)
{
    if (*(void **)part == NULL)
        *(void **)part = dlsym(scope, name);
}

static runtime_t runtime_of(const void *caller)
{
    runtime_t runtime = {.get_handler = _ZSt15get_new_handlerv,
                         .throw_bad_alloc = _ZSt17__throw_bad_allocv,
                         .allocate_exception = __cxa_allocate_exception,
                         .throw_exception = __cxa_throw,
                         .type = _ZTISt9bad_alloc,
                         .functions = _ZTVSt9bad_alloc,
                         .destroy = _ZNSt9bad_allocD1Ev};
    void *scope = scope_of(caller);
    if (scope == NULL)
        return runtime;
    find_part(scope, "_ZSt15get_new_handlerv", &runtime.get_handler);
    find_part(scope, "_ZSt17__throw_bad_allocv", &runtime.throw_bad_alloc);
    find_part(scope, "__cxa_allocate_exception", &runtime.allocate_exception);
    find_part(scope, "__cxa_throw", &runtime.throw_exception);
    find_part(scope, "_ZTISt9bad_alloc", &runtime.type);
    find_part(scope, "_ZTVSt9bad_alloc", &runtime.functions);
    find_part(scope, "_ZNSt9bad_allocD1Ev", &runtime.destroy);
    dlclose(scope);
    return runtime;
}

/* Returns only if there is nothing to throw with. */
static void throw_by_parts(const runtime_t *runtime)
{
    if (runtime->throw_bad_alloc != NULL)
        runtime->throw_bad_alloc();
    if (runtime->allocate_exception == NULL || runtime->throw_exception == NULL || runtime->type == NULL ||
        runtime->functions == NULL || runtime->destroy == NULL)
        return;
    void **exception = runtime->allocate_exception(sizeof *exception);
    *exception = runtime->functions + 2; /* behind the offset to top and the type */
    runtime->throw_exception(exception, runtime->type, runtime->destroy);
}

/* As the standard has it: the handler is called until there is memory or no handler. A handler may throw. NULL: neither a
 * handler helped nor is there anything to throw with. */
static void *new_by_parts(size_t size, size_t align, unsigned kind, const void *caller)
{
    runtime_t runtime = runtime_of(caller);
    handler_t handler;
    while (runtime.get_handler != NULL && (handler = runtime.get_handler()) != NULL) {
        handler();
        void *p = hak_family_aligned_kind(align, size, kind);
        if (p != NULL)
            return p;
    }
    throw_by_parts(&runtime);
    return NULL;
}

static _Noreturn void nothing_to_throw_with(size_t size, const void *caller)
{
    hak_fatal("operator new of %u bytes: memory is out, and there is no C++ runtime to throw bad_alloc; "
              "called from %x",
              (uint64_t)size, (uint64_t)(uintptr_t)caller);
}

/* --- what the fast paths leave ------------------------------------------------------------------------------------ */

/* A block from another definition, which asks malloc for it, is one of ours like others. */
static void *as_kind(void *p, unsigned kind)
{
    if (HAK_HARDEN && p != NULL)
        hak_harden_set_kind(p, kind);
    return p;
}

static HAK_COLD void *new_slow(size_t size, unsigned kind, const void *caller)
{
    plain_t *next;
    *(void **)&next = next_definition("_Znwm", caller);
    if (next != NULL)
        return as_kind(next(size), kind);
    void *p = new_by_parts(size, HAK_ALIGN, kind, caller);
    if (p != NULL)
        return p;
    *(void **)&next = definition_in_runtime("_Znwm", 0);
    if (next != NULL)
        return as_kind(next(size), kind);
    nothing_to_throw_with(size, caller);
}

/* What no malloc has, but little enough for the runtime's rounding up not to come out at 0: libstdc++ would ask for that. */
static size_t without_overflow(size_t size)
{
    return hak_min(size, 2 * HAK_REQUEST_MAX);
}

static HAK_COLD void *new_aligned_slow(size_t size, size_t align, unsigned kind, const void *caller)
{
    aligned_t *next;
    *(void **)&next = next_definition("_ZnwmSt11align_val_t", caller);
    if (next != NULL)
        return as_kind(next(without_overflow(size), align), kind);
    void *p = hak_is_power_of_two(align) ? new_by_parts(size, align, kind, caller) : NULL;
    if (p != NULL)
        return p;
    *(void **)&next = definition_in_runtime("_ZnwmSt11align_val_t", 0);
    if (next != NULL)
        return as_kind(next(without_overflow(size), align), kind);
    nothing_to_throw_with(size, caller);
}

/* Nobody would be asked for memory: the quiet forms can save themselves a throw and a catch. */
static bool no_handler(void)
{
    return _ZSt15get_new_handlerv != NULL && _ZSt15get_new_handlerv() == NULL;
}

/* The caller's own quiet form catches whatever is thrown, which C cannot. `basic` is the form in force that it is to call,
 * NULL if that is ours. */
static HAK_COLD void *quiet_slow(const char *name, plain_t *basic, size_t size, const void *nothrow,
                                 unsigned kind, const void *caller)
{
    if (basic == NULL && no_handler())
        return NULL;
    quiet_t *next;
    *(void **)&next = next_definition(name, caller);
    if (next != NULL)
        return as_kind(next(size, nothrow), kind);
    return basic != NULL ? basic(size) : NULL;
}

static HAK_COLD void *quiet_aligned_slow(const char *name, aligned_t *basic, size_t size, size_t align,
                                         const void *nothrow, unsigned kind, const void *caller)
{
    if (basic == NULL && no_handler())
        return NULL;
    quiet_aligned_t *next;
    *(void **)&next = next_definition(name, caller);
    if (next != NULL)
        return as_kind(next(without_overflow(size), align, nothrow), kind);
    return basic != NULL ? basic(size, align) : NULL;
}

/* --- the operators ------------------------------------------------------------------------------------------------ */

HAK_OPERATOR plain_t _Znwm, _Znam;
HAK_OPERATOR aligned_t _ZnwmSt11align_val_t, _ZnamSt11align_val_t;
HAK_OPERATOR quiet_t _ZnwmRKSt9nothrow_t, _ZnamRKSt9nothrow_t;
HAK_OPERATOR quiet_aligned_t _ZnwmSt11align_val_tRKSt9nothrow_t, _ZnamSt11align_val_tRKSt9nothrow_t;

HAK_OWN(plain_t, own_new, "_Znwm");
HAK_OWN(plain_t, own_new_array, "_Znam");
HAK_OWN(aligned_t, own_new_aligned, "_ZnwmSt11align_val_t");
HAK_OWN(aligned_t, own_new_array_aligned, "_ZnamSt11align_val_t");

void *_Znwm(size_t size)
{
    void *p = hak_family_malloc_kind(size, HAK_KIND_NEW);
    return hak_likely(p != NULL) ? p : new_slow(size, HAK_KIND_NEW, HAK_SITE);
}

/* Hardened writes down that it is an array, when the form that this one is to call is ours. */
HAK_JUMPS void *_Znam(size_t size)
{
    if (HAK_HARDEN && HAK_IS_OWN(_Znwm, own_new)) {
        void *p = hak_family_malloc_kind(size, HAK_KIND_ARRAY);
        return hak_likely(p != NULL) ? p : new_slow(size, HAK_KIND_ARRAY, HAK_SITE);
    }
    HAK_JUMP return HAK_IN_FORCE(_Znwm)(size);
}

/* What is no power of two is refused as the runtime refuses it. */
HAK_INLINE void *new_aligned(size_t size, size_t align, unsigned form)
{
    unsigned kind = hak_kind_aligned(form, align);
    void *p = hak_likely(hak_is_power_of_two(align)) ? hak_family_aligned_kind(align, size, kind) : NULL;
    return hak_likely(p != NULL) ? p : new_aligned_slow(size, align, kind, HAK_SITE);
}

void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
    return new_aligned(size, align, HAK_KIND_NEW);
}

HAK_JUMPS void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    if (HAK_HARDEN && HAK_IS_OWN(_ZnwmSt11align_val_t, own_new_aligned))
        return new_aligned(size, align, HAK_KIND_ARRAY);
    HAK_JUMP return HAK_IN_FORCE(_ZnwmSt11align_val_t)(size, align);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
    plain_t *basic = HAK_IS_OWN(_Znwm, own_new) ? NULL : HAK_IN_FORCE(_Znwm);
    void *p = hak_likely(basic == NULL) ? hak_family_malloc_kind(size, HAK_KIND_NEW) : NULL;
    if (hak_likely(p != NULL))
        return p;
    return quiet_slow("_ZnwmRKSt9nothrow_t", basic, size, nothrow, HAK_KIND_NEW, HAK_SITE);
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
    bool ours = HAK_IS_OWN(_Znwm, own_new) && HAK_IS_OWN(_Znam, own_new_array);
    void *p = hak_likely(ours) ? hak_family_malloc_kind(size, HAK_KIND_ARRAY) : NULL;
    if (hak_likely(p != NULL))
        return p;
    plain_t *basic = ours ? NULL : HAK_IN_FORCE(_Znam);
    return quiet_slow("_ZnamRKSt9nothrow_t", basic, size, nothrow, HAK_KIND_ARRAY, HAK_SITE);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
{
    unsigned kind = hak_kind_aligned(HAK_KIND_NEW, align);
    aligned_t *basic =
        HAK_IS_OWN(_ZnwmSt11align_val_t, own_new_aligned) ? NULL : HAK_IN_FORCE(_ZnwmSt11align_val_t);
    bool direct = basic == NULL && hak_is_power_of_two(align);
    void *p = hak_likely(direct) ? hak_family_aligned_kind(align, size, kind) : NULL;
    if (hak_likely(p != NULL))
        return p;
    return quiet_aligned_slow("_ZnwmSt11align_val_tRKSt9nothrow_t", basic, size, align, nothrow, kind,
                              HAK_SITE);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
{
    unsigned kind = hak_kind_aligned(HAK_KIND_ARRAY, align);
    bool ours = HAK_IS_OWN(_ZnwmSt11align_val_t, own_new_aligned) &&
                HAK_IS_OWN(_ZnamSt11align_val_t, own_new_array_aligned);
    void *p =
        hak_likely(ours && hak_is_power_of_two(align)) ? hak_family_aligned_kind(align, size, kind) : NULL;
    if (hak_likely(p != NULL))
        return p;
    aligned_t *basic = ours ? NULL : HAK_IN_FORCE(_ZnamSt11align_val_t);
    return quiet_aligned_slow("_ZnamSt11align_val_tRKSt9nothrow_t", basic, size, align, nothrow, kind,
                              HAK_SITE);
}

#endif
