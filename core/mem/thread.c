/* SPDX-License-Identifier: MIT */
/* thread.c: see thread.h. */
#include "mem/thread.h"

#if HAK_TLS_BINS
_Thread_local hak_thread_t hak_thread = {
    .self = HAK_NO_OWNER,
#if HAK_HARDEN
    .window = UINTPTR_MAX,
#endif
};
#else
const hak_bin_t hak_thread_no_bins[HAK_CLASSES];
_Thread_local hak_thread_t hak_thread = {.bins = (hak_bin_t *)hak_thread_no_bins, .self = HAK_NO_OWNER};
#endif
