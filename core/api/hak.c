/* hak.c: the hak_ names (include/hakmem.h), and what happens when the library is loaded, forks and is unloaded. */
#include "hakmem.h"

#include "api/family.h"
#include "api/stats.h"
#include "base/options.h"
#include "map/map.h"
#include "mem/extent.h"
#include "obs/trace.h"
#include "os/os.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define VERSION "0.1.0"

HAK_EXPORT const char *hak_version(void)
{
    return VERSION " " HAK_VARIANT;
}

HAK_EXPORT void *hak_alloc(size_t size)
{
    return hak_family_malloc(size);
}

HAK_EXPORT void *hak_alloc_zeroed(size_t count, size_t size)
{
    return hak_family_calloc(count, size);
}

HAK_EXPORT void *hak_alloc_aligned(size_t align, size_t size)
{
    if (!hak_is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_family_aligned(align, size);
}

HAK_EXPORT void *hak_resize(void *block, size_t size)
{
    return hak_family_realloc(block, size, HAK_SITE);
}

HAK_EXPORT void hak_free(void *block)
{
    hak_family_free(block, HAK_SITE);
}

HAK_EXPORT size_t hak_usable_size(const void *block)
{
    return hak_family_usable(block, HAK_SITE);
}

HAK_EXPORT int hak_trim(void)
{
    return hak_trim_all();
}

HAK_EXPORT void hak_stats_print(int fd, int json)
{
    hak_stats_write(fd, json != 0);
}

/* No lock is taken before a fork: one that stdio waits for while its own lock is held would deadlock. The child repairs
 * what other threads were in the middle of instead. */
static void after_fork_in_child(void)
{
    hak_map_after_fork();
    hak_pool_after_fork();
    hak_extent_after_fork();
    hak_heaps_after_fork();
}

static void dump_trace(int signal)
{
    (void)signal;
    hak_trace_write(STDERR_FILENO);
}

/* Before all other constructors and preinit_array (the library is linked with -z initfirst): whoever allocates there finds
 * the options read. */
__attribute__((constructor)) static void library_loaded(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv;
    hak_os_use_environment(environment); /* libc's `environ` is not set yet */
    if (hak_thread.heap == NULL)
        hak_heap_attach(); /* reads the options: what is wrong with them shows at once */
    hak_os_on_fork(after_fork_in_child);
    pthread_atfork(NULL, NULL, hak_os_repair);
    if (HAK_TRACE) {
        struct sigaction before;
        if (sigaction(SIGUSR2, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(SIGUSR2, &(struct sigaction){.sa_handler = dump_trace, .sa_flags = SA_RESTART}, NULL);
    }
}

__attribute__((destructor)) static void library_unloaded(void)
{
    if (HAK_STATS && hak_policy()->stats_dump)
        hak_stats_write(STDERR_FILENO, false);
}
