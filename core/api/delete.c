/* SPDX-License-Identifier: MIT */
/* delete.c: the twelve forms of operator delete. Those that a program does not replace call, as the standard says, those
 * that it does: each goes on to the next simpler form in force, by one indirect jump. */
#include "api/operators.h"

#if HAK_OVERRIDE

#define UNUSED __attribute__((unused))

typedef void plain_t(void *p);
typedef void sized_t(void *p, size_t size);
typedef void quiet_t(void *p, const void *nothrow);
typedef void aligned_t(void *p, size_t align);
typedef void sized_aligned_t(void *p, size_t size, size_t align);
typedef void quiet_aligned_t(void *p, size_t align, const void *nothrow);

HAK_OPERATOR plain_t _ZdlPv, _ZdaPv;
HAK_OPERATOR sized_t _ZdlPvm, _ZdaPvm;
HAK_OPERATOR quiet_t _ZdlPvRKSt9nothrow_t, _ZdaPvRKSt9nothrow_t;
HAK_OPERATOR aligned_t _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t;
HAK_OPERATOR sized_aligned_t _ZdlPvmSt11align_val_t, _ZdaPvmSt11align_val_t;
HAK_OPERATOR quiet_aligned_t _ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdaPvSt11align_val_tRKSt9nothrow_t;

HAK_OWN(plain_t, own_delete, "_ZdlPv");
HAK_OWN(plain_t, own_delete_array, "_ZdaPv");
HAK_OWN(aligned_t, own_delete_aligned, "_ZdlPvSt11align_val_t");
HAK_OWN(aligned_t, own_delete_array_aligned, "_ZdaPvSt11align_val_t");

#define OWN_ONE           HAK_IS_OWN(_ZdlPv, own_delete)
#define OWN_ARRAY         (OWN_ONE && HAK_IS_OWN(_ZdaPv, own_delete_array))
#define OWN_ONE_ALIGNED   HAK_IS_OWN(_ZdlPvSt11align_val_t, own_delete_aligned)
#define OWN_ARRAY_ALIGNED (OWN_ONE_ALIGNED && HAK_IS_OWN(_ZdaPvSt11align_val_t, own_delete_array_aligned))

void _ZdlPv(void *p)
{
    hak_family_free_kind(p, HAK_ANY_SIZE, HAK_KIND_NEW, HAK_SITE);
}

HAK_INLINE void delete_aligned(void *p, size_t size, size_t align, unsigned form, const void *site)
{
    hak_family_check_align(p, align, site);
    hak_family_free_kind(p, size, hak_kind_aligned(form, align), site);
}

void _ZdlPvSt11align_val_t(void *p, size_t align)
{
    delete_aligned(p, HAK_ANY_SIZE, align, HAK_KIND_NEW, HAK_SITE);
}

/* A form that goes on to `simpler`. Hardened has more to check than that one could, and does it here when none of those
 * in between is replaced. */
#define DELETE(name, parameters, own, how, simpler, arguments)                                               \
    void name parameters                                                                                     \
    {                                                                                                        \
        if (HAK_HARDEN && (own)) {                                                                           \
            how;                                                                                             \
            return;                                                                                          \
        }                                                                                                    \
        HAK_IN_FORCE(simpler) arguments;                                                                     \
    }

#define RELEASE(size, kind)         hak_family_free_kind(p, size, kind, HAK_SITE)
#define RELEASE_ALIGNED(size, kind) delete_aligned(p, size, align, kind, HAK_SITE)
#define ONE                         (void *p)
#define SIZED                       (void *p, size_t size UNUSED)
#define QUIET                       (void *p, const void *nothrow UNUSED)
#define ALIGNED                     (void *p, size_t align)
#define SIZED_ALIGNED               (void *p, size_t size UNUSED, size_t align)
#define QUIET_ALIGNED               (void *p, size_t align, const void *nothrow UNUSED)

DELETE(_ZdaPv, ONE, OWN_ONE, RELEASE(HAK_ANY_SIZE, HAK_KIND_ARRAY), _ZdlPv, (p))
DELETE(_ZdlPvm, SIZED, OWN_ONE, RELEASE(hak_family_said(size), HAK_KIND_NEW), _ZdlPv, (p))
DELETE(_ZdaPvm, SIZED, OWN_ARRAY, RELEASE(hak_family_said(size), HAK_KIND_ARRAY), _ZdaPv, (p))
DELETE(_ZdlPvRKSt9nothrow_t, QUIET, OWN_ONE, RELEASE(HAK_ANY_SIZE, HAK_KIND_NEW), _ZdlPv, (p))
DELETE(_ZdaPvRKSt9nothrow_t, QUIET, OWN_ARRAY, RELEASE(HAK_ANY_SIZE, HAK_KIND_ARRAY), _ZdaPv, (p))
DELETE(_ZdaPvSt11align_val_t, ALIGNED, OWN_ONE_ALIGNED, RELEASE_ALIGNED(HAK_ANY_SIZE, HAK_KIND_ARRAY),
       _ZdlPvSt11align_val_t, (p, align))
DELETE(_ZdlPvmSt11align_val_t, SIZED_ALIGNED, OWN_ONE_ALIGNED,
       RELEASE_ALIGNED(hak_family_said(size), HAK_KIND_NEW), _ZdlPvSt11align_val_t, (p, align))
DELETE(_ZdaPvmSt11align_val_t, SIZED_ALIGNED, OWN_ARRAY_ALIGNED,
       RELEASE_ALIGNED(hak_family_said(size), HAK_KIND_ARRAY), _ZdaPvSt11align_val_t, (p, align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, QUIET_ALIGNED, OWN_ONE_ALIGNED,
       RELEASE_ALIGNED(HAK_ANY_SIZE, HAK_KIND_NEW), _ZdlPvSt11align_val_t, (p, align))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, QUIET_ALIGNED, OWN_ARRAY_ALIGNED,
       RELEASE_ALIGNED(HAK_ANY_SIZE, HAK_KIND_ARRAY), _ZdaPvSt11align_val_t, (p, align))

#endif
