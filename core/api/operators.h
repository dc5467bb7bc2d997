/* SPDX-License-Identifier: MIT */
/* operators.h: what new.c and delete.c have in common: which definition of a C++ operator is in force.
 *
 * A program may replace any of the twenty forms, and the forms that it leaves have to call those it replaced. Ours are weak:
 * in the archive the program's own definition then wins at link time, and no compiler takes ours for the one in force. */
#ifndef HAK_API_OPERATORS_H
#define HAK_API_OPERATORS_H

#include "api/family.h"

#define HAK_OPERATOR HAK_EXPORT __attribute__((weak))

/* A second name of one of our definitions, which nobody replaces. */
#define HAK_OWN(type, name, of) extern __typeof__(type) name __attribute__((alias(of), visibility("hidden")))

/* The definition that the linker took, read from the GOT: one load, and no compiler knows what comes of it. */
#define HAK_IN_FORCE(operator)                                                                               \
    __extension__({                                                                                          \
        __typeof__(&(operator)) in_force = &(operator);                                                      \
        __asm__("" : "+r"(in_force));                                                                        \
        in_force;                                                                                            \
    })

/* True if nobody has replaced it: three instructions. */
#define HAK_IS_OWN(operator, own) hak_likely(HAK_IN_FORCE(operator) == (own))

/* With HAK_HARDEN: a plug-in was loaded with RTLD_DEEPBIND. It finds the runtime's operators before ours. relaxed:
 * see deepbind.c. */
extern _Atomic bool hak_deep_plugins HAK_HIDDEN;

#endif
