/* SPDX-License-Identifier: MIT */
/* build.h: what was compiled in.
 *
 * Every feature is a 0/1 macro that the build passes explicitly (the table is variants/features.toml), so that
 * code says `if (HAK_STATS)` and both branches always compile. Elsewhere `#if` stands around fields that a variant does not have,
 * and around the lines that name them. */
#ifndef HAK_BASE_BUILD_H
#define HAK_BASE_BUILD_H

#if !defined(HAK_PURGE) || !defined(HAK_BIGCACHE) || !defined(HAK_REMOTE_BATCH) || !defined(HAK_OPTIONS) ||  \
    !defined(HAK_STATS) || !defined(HAK_HISTOGRAM) || !defined(HAK_TRACE) || !defined(HAK_HARDEN) ||         \
    !defined(HAK_RECORD) || !defined(HAK_CALL_SITES) || !defined(HAK_LEARNER) || !defined(HAK_SAMPLING) ||   \
    !defined(HAK_LINK_CHECKS) || !defined(HAK_CHECKS) || !defined(HAK_TLS_BINS)
#error                                                                                                       \
    "a feature macro is missing: build through configure.py, which passes every row of variants/features.toml"
#endif

#if HAK_HISTOGRAM && !HAK_STATS
#error "HAK_HISTOGRAM prints through the statistics: a variant with histogram = true needs stats = true"
#endif
#if HAK_LEARNER && !(HAK_HISTOGRAM && HAK_OPTIONS)
#error "HAK_LEARNER learns from sizes and is asked for by options: learner = true needs histogram and options"
#endif
#if HAK_RECORD && (!HAK_HISTOGRAM || !HAK_OPTIONS || HAK_HARDEN)
#error                                                                                                       \
    "HAK_RECORD shares its test with the histogram: record = true needs histogram, options, and harden = false"
#endif
#if HAK_CALL_SITES && !(HAK_STATS && HAK_OPTIONS && !HAK_HARDEN)
#error                                                                                                       \
    "HAK_CALL_SITES prints with the statistics, keeps blocks unchecked: call_sites = true needs stats, options, harden = false"
#endif
#if HAK_SAMPLING && !(HAK_STATS && HAK_OPTIONS && !HAK_HARDEN)
#error                                                                                                       \
    "HAK_SAMPLING is asked for by options and counts what bins hold: sampling = true needs stats, options, and harden = false"
#endif
#if HAK_CHECKS && !HAK_HARDEN
#error                                                                                                       \
    "HAK_CHECKS adds to what HAK_HARDEN keeps of each block: a variant with checks = true needs harden = true"
#endif

#if HAK_HARDEN && !HAK_TLS_BINS
#error                                                                                                       \
    "HAK_HARDEN keeps freed blocks beside the bins in thread-local storage: harden = true needs tls_bins = true"
#endif

/* The checks of links as those variants have them that keep nothing else of a block (mem/link.h). */
#define HAK_CHECK_LINKS (HAK_LINK_CHECKS && !HAK_HARDEN)

/* Name of the variant and its default mode, for messages and the statistics page. */
#ifndef HAK_VARIANT
#define HAK_VARIANT "unnamed"
#endif
#ifndef HAK_DEFAULT_MODE
#define HAK_DEFAULT_MODE "balanced"
#endif

/* 1: define malloc, free and the rest under their standard names. 0 (unit tests): only the hak_ names. */
#ifndef HAK_OVERRIDE
#define HAK_OVERRIDE 1
#endif

/* Sanitizers: ThreadSanitizer leaves a program little of the address space; both check only plain accesses. */
#if defined(__has_feature)
#define HAK_HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAK_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAK_HAS_FEATURE(thread_sanitizer)
#define HAK_THREAD_SANITIZER 1
#else
#define HAK_THREAD_SANITIZER 0
#endif
#if HAK_THREAD_SANITIZER || defined(__SANITIZE_ADDRESS__) || HAK_HAS_FEATURE(address_sanitizer)
#define HAK_SANITIZED 1
#else
#define HAK_SANITIZED 0
#endif

/* The policy that was compiled in, a constant each: HAK_BUILT_<field>. What is of scope `build` is read by these alone. */
enum {
#define POLICY(field, unit, low, high, value, axis, scope, needs, sentence) HAK_BUILT_##field = (value),
#include "base/policy.def"
#undef POLICY
};

#if !defined(__linux__) || !defined(__LP64__)
#error "hakmem needs Linux on a 64-bit machine with at most 47 bits of user address space"
#endif

#endif
