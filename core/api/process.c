/* SPDX-License-Identifier: MIT */
/* process.c: what happens when the library is loaded, its process forks, and it is unloaded. */
#include "api/stats.h"
#include "base/message.h"
#include "base/options.h"
#include "map/map.h"
#include "mem/chunk.h"
#include "mem/extent.h"
#include "mem/heap.h"
#include "mem/learner.h"
#include "mem/sample.h"
#include "obs/policy_out.h"
#include "obs/profile_file.h"
#include "obs/record.h"
#include "obs/trace.h"
#include "os/os.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* No lock is taken before a fork: one that stdio waits for while its own lock is held would deadlock. The child repairs
 * what other threads were in the middle of instead. */
static bool repair_in_child(bool first, bool forker)
{
    if (first) {
        hak_map_after_fork();
        hak_chunk_after_fork();
        hak_extent_after_fork();
        hak_heaps_find_lost();
        hak_record_after_fork();
        if (HAK_SAMPLING)
            hak_sample_after_fork();
        if (HAK_LEARNER)
            hak_learner_after_fork();
    }
    return forker && hak_heaps_after_fork();
}

static void dump_trace(int signal)
{
    (void)signal;
    hak_trace_write(STDERR_FILENO);
}

static void write_files(void)
{
    hak_policy_out_write();
    if (HAK_SAMPLING)
        hak_profile_file_write();
}

static void answer_signal(int signal)
{
    (void)signal;
    write_files();
}

/* The handler stays only as long as the program has none of its own. */
static void promise_files(void)
{
    const hak_options_t *options = hak_options();
    if (options->policy_out != NULL)
        hak_policy_out_set(options->policy_out);
    if (options->policy_out != NULL || (HAK_SAMPLING && options->heap_profile != NULL))
        hak_os_on_signal(SIGUSR1, answer_signal);
}

#if HAK_OVERRIDE
/* What malloc.c defines, under names that nobody can be in front of. */
extern __typeof__(malloc) hak_own_malloc HAK_HIDDEN;
extern __typeof__(free) hak_own_free HAK_HIDDEN;

/* True unless the program has a malloc of its own (a sanitizer's runtime, say), so that ours is not called. */
static bool is_malloc_ours(void)
{
    void *(*theirs)(size_t) = malloc;
    void (*other)(void *) = free;
    __asm__("" : "+r"(theirs), "+r"(other)); /* or the compiler takes two names for two functions */
    return theirs == hak_own_malloc || other == hak_own_free;
}
#else
static bool is_malloc_ours(void)
{
    return true;
}
#endif

/* False: a child is to be seen to as soon as it is forked: it records or learns, its random orders must not be its parent's, or it
 * would not find out otherwise. A fork handler makes libc touch 58 KiB of its own, and each child repair what most children,
 * about to exec, never use. */
static bool repairs_at_first_lock(void)
{
    return !HAK_RECORD && !HAK_LEARNER && !HAK_HARDEN && hak_os_sees_forks();
}

/* Before all other constructors and preinit_array (the library is linked with -z initfirst): whoever allocates there finds
 * the options read, and what is wrong with them shows at once. */
__attribute__((constructor)) static void library_loaded(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv;
    hak_os_use_environment(environment); /* libc's `environ` is not set yet */
    hak_os_on_fork(repair_in_child);
    hak_heaps_start();
    if (HAK_LEARNER)
        hak_learner_load();
    if (is_malloc_ours()) /* or else the map's addresses may be what that other one needs */
        hak_heaps_prepare();
    if (!repairs_at_first_lock())
        pthread_atfork(NULL, NULL, hak_os_repair);
    hak_os_program_runs();
    if (HAK_TRACE) {
        hak_on_fatal = hak_trace_write;
        hak_os_on_signal(SIGUSR2, dump_trace);
    }
    if (HAK_OPTIONS)
        promise_files();
}

__attribute__((destructor)) static void library_unloaded(void)
{
    if (HAK_STATS && hak_options()->stats_dump)
        hak_stats_write(STDERR_FILENO, false);
    else if (HAK_STATS && hak_options()->stats == HAK_STATS_OPTIONS)
        hak_stats_write_options(STDERR_FILENO);
    if (HAK_OPTIONS)
        write_files();
    if (HAK_SAMPLING && !hak_options()->stats_dump)
        hak_stats_write_sampled(STDERR_FILENO);
    hak_record_finish();
}
