/* SPDX-License-Identifier: MIT */
/* counters.c: names of the counters, and the one histogram. */
#include "obs/counters.h"

const char *const hak_counter_names[HAK_COUNTERS] = {
#define COUNTER(name, sentence) #name,
#include "obs/counters.def"
#undef COUNTER
};

const char *const hak_counter_sentences[HAK_COUNTERS] = {
#define COUNTER(name, sentence) sentence,
#include "obs/counters.def"
#undef COUNTER
};

_Atomic uint64_t hak_histogram[HAK_HISTOGRAM_BINS]; /* relaxed: see counters.h */
