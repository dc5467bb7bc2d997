/* SPDX-License-Identifier: MIT */
/* guarded.h: which lock guards what, as clang's -Wthread-safety checks it; nothing for other compilers, and no code for any.
 *
 * `lock` is the lock itself, as the caller would write it behind an &. A field's lock is beside it in the same struct, which
 * only a clang that reads attributes late understands: the build says so with HAK_CHECK_FIELDS. */
#ifndef HAK_BASE_GUARDED_H
#define HAK_BASE_GUARDED_H

#if defined(__clang__)
#define HAK_ATTRIBUTE(...) __attribute__((__VA_ARGS__))
#else
#define HAK_ATTRIBUTE(...)
#endif

/* On the type of a lock. */
#define HAK_LOCKABLE HAK_ATTRIBUTE(capability("lock"))
/* On a variable: read and written by the lock's holder alone. */
#define HAK_GUARDED_BY(lock) HAK_ATTRIBUTE(guarded_by(lock))
/* The same on a field; that the lock is the one of this very struct, and not another's, the compiler does not see. */
#if defined(HAK_CHECK_FIELDS)
#define HAK_BESIDE(lock) HAK_ATTRIBUTE(guarded_by(&lock))
#else
#define HAK_BESIDE(lock)
#endif

/* On a function: its caller holds the lock, before and after. */
#define HAK_REQUIRES(lock) HAK_ATTRIBUTE(requires_capability(lock))
/* Its caller does not hold the lock. */
#define HAK_EXCLUDES(lock) HAK_ATTRIBUTE(locks_excluded(lock))
/* Takes it, lets go of it, or tells whether it could take it. */
#define HAK_ACQUIRES(lock) HAK_ATTRIBUTE(acquire_capability(lock))
#define HAK_RELEASES(lock) HAK_ATTRIBUTE(release_capability(lock))
#define HAK_TRIES(lock)    HAK_ATTRIBUTE(try_acquire_capability(true, lock))
/* From here on the compiler believes that the lock is held: for what another function has taken. */
#define HAK_SAYS_HELD(lock) HAK_ATTRIBUTE(assert_capability(lock))
/* Not checked, because of what the function's comment says. */
#define HAK_LOCKS_UNCHECKED HAK_ATTRIBUTE(no_thread_safety_analysis)

#endif
