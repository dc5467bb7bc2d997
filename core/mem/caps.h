/* SPDX-License-Identifier: MIT */
/* caps.h: the cap of a bin, that is, how many frees fill it: as it begins, and as far as it may grow. Arithmetic on the policy and
 * on how many heaps share; when a bin grows is in bin.c. */
#ifndef HAK_MEM_CAPS_H
#define HAK_MEM_CAPS_H

#include "base/policy.h"
#include "mem/heap.h"

/* Of a bin's first size each heap has at least so much, however many share it. */
#define HAK_CAPS_FIRST_LEAST ((size_t)4 << 10)

/* Frees until a bin is full, for that many bytes; at most what the policy says (256). At least three; but where many heaps share,
 * one: three of each size would be 1 MiB of mid sizes, and 8 of runs, that nobody reaches when the thread goes to sleep. */
static inline uint16_t hak_caps_of(const hak_policy_t *policy, unsigned c, size_t bytes, uint32_t heaps)
{
    size_t least = heaps > HAK_SHARES ? 1 : 3;
    return (uint16_t)hak_min(hak_max(bytes / hak_class_size(c), least), policy->bin_blocks);
}

/* Bytes with which a bin begins. As many heaps as HAK_SHARES may each have that much; more of them share it. */
static inline size_t hak_caps_first_bytes(const hak_policy_t *policy, uint32_t heaps)
{
    size_t bytes = (size_t)policy->bin_first_kb << 10;
    return hak_likely(heaps <= HAK_SHARES)
               ? bytes
               : hak_max(bytes * HAK_SHARES / heaps, hak_min(bytes, HAK_CAPS_FIRST_LEAST));
}

/* A bin grows as far as 64 KiB, half of that where states, too, stay with slabs of which it has a block; of mid sizes 1 MiB (a
 * random malloc and free of 1 to 32 KiB are 43 instructions with that, 48 with 512 KiB, 54 with 256 KiB), above them 256 KiB;
 * less when many threads share that. The figures are those of the default policy. */
static inline uint16_t hak_caps_last(const hak_policy_t *policy, unsigned c, uint32_t heaps)
{
    size_t size = hak_class_size(c);
    size_t kib = size <= HAK_TINY_MAX  ? policy->bin_tiny_kb / (HAK_HARDEN ? 2 : 1)
                 : size <= HAK_MID_MAX ? policy->bin_mid_kb
                                       : policy->bin_run_kb;
    size_t bytes = kib << 10;
    if (hak_unlikely(heaps > HAK_SHARES))
        bytes = hak_max(bytes * HAK_SHARES / heaps, hak_caps_first_bytes(policy, heaps));
    return hak_caps_of(policy, c, bytes, heaps);
}

/* Nobody else reaches what is in a bin, so a thread that went to sleep holds it. A bin of mid sizes therefore begins small, and
 * grows as its blocks go to and fro. One of tiny sizes is full-size while threads are few: where threads come and go, none lives
 * long enough for its bins to grow (user time of larson_burst 0.94 of what it is with 16 KiB at first); not so in hardened, where
 * states lie with the slabs. One of runs keeps a few blocks anyway. */
static inline uint16_t hak_caps_first(const hak_policy_t *policy, unsigned c, uint32_t heaps)
{
    bool many = heaps > HAK_SHARES;
    bool small = c <= HAK_MID_CLASSES && (HAK_HARDEN || c > HAK_TINY_CLASSES || many);
    return small ? hak_caps_of(policy, c, hak_caps_first_bytes(policy, heaps), heaps)
                 : hak_caps_last(policy, c, heaps);
}

/* The caps are a division each, of 128: a third of what a thread's start and end cost. So the heap remembers them for its next
 * thread. */
static inline void hak_caps_learn(hak_heap_t *heap)
{
    const hak_policy_t *policy = hak_policy();
    uint32_t heaps = hak_heaps_sharing();
    if (heap->first_caps[1] != 0 && heap->caps_version == policy->version && heap->caps_heaps == heaps)
        return;
    for (unsigned c = 1; c < HAK_CLASSES; c++)
        heap->first_caps[c] = hak_caps_first(policy, c, heaps);
    heap->caps_version = policy->version;
    heap->caps_heaps = heaps;
}

#endif
