/* SPDX-License-Identifier: MIT */
/* The table of call sites (obs/site_table.h), the blocks that sites keep (mem/site_cache.h) and what hakmem_alloc_at makes of them.
 * Each case runs in a child of its own: the table begins empty and nothing takes a site out of it. */
#include "suite.h"

#include "base/options.h"
#include "hakmem.h"
#include "mem/malloc_slow.h"
#include "mem/oversize.h"
#include "mem/scarce.h"
#include "mem/site_cache.h"
#include "mem/view.h"
#include "obs/site_table.h"
#include "threads.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    THREADS = 4,
    CALLS = 20000,
};

#define SITE(i) ((const void *)(uintptr_t)(0x10000 + (uintptr_t)(i)*64))

static hak_site_view_t seen(const void *site)
{
    hak_site_view_t view = {.site = 0};
    for (unsigned slot = 0; slot < HAK_SITE_SLOTS; slot++)
        if (hak_site_view(slot, &view) && view.site == (uintptr_t)site)
            return view;
    return (hak_site_view_t){.site = 0};
}

/* Takes and frees, so often. */
static void turn(const void *site, size_t size, int times)
{
    for (int i = 0; i < times; i++) {
        char *p = hakmem_alloc_at(size, site);
        CHECK(p != NULL, "%zu bytes", size);
        p[0] = p[size - 1] = (char)i;
        hakmem_free_at(p, size);
    }
}

static void check_judgement(void)
{
    static const struct {
        hak_site_facts_t facts;
        hak_site_policy_t policy;
    } cases[] = {
        {{8, 8 * 64, 64, 8, 8, 8}, HAK_SITE_GATHERING},
        {{9, 9 * 64, 64, 9, 9, 9}, HAK_SITE_SMALL_FREQUENT},
        {{9, 0, 0, 9, 9, 9}, HAK_SITE_SMALL_FREQUENT},
        {{1000, 1000 * 64 * KIB, 64 * KIB, 1000, 1000, 1000}, HAK_SITE_SMALL_FREQUENT},
        {{1000, 1001ull * 64 * KIB, 65 * KIB, 1000, 1000, 1000}, HAK_SITE_MEDIUM},
        {{1000, 64000, MIB - 1, 2048, 100, 2048}, HAK_SITE_SMALL_FREQUENT},
        {{1000, 64000, MIB, 2048, 100, 2048}, HAK_SITE_MEDIUM}, /* small, and once a large one */
        {{1000, 64000, 64, 300000, 8, 2048}, HAK_SITE_SMALL_FREQUENT},
        {{1000, 64000, 64, 256001, 7, 2048}, HAK_SITE_MEDIUM},         /* rare */
        {{1000, 64000, 64, 256000, 7, 2048}, HAK_SITE_SMALL_FREQUENT}, /* it has just stopped */
        {{100, 100 * 256 * KIB, 256 * KIB, 2048, 100, 2048}, HAK_SITE_MEDIUM},
        {{10, 10 * MIB, MIB, 10, 10, 10}, HAK_SITE_LARGE_INFREQUENT},
        {{10, 10 * MIB - 10, MIB, 10, 10, 10}, HAK_SITE_MEDIUM},
        {{2000, 2000ull * MIB, MIB, 2048, 1024, 2048}, HAK_SITE_LARGE_INFREQUENT},
        {{2000, 2000ull * MIB, MIB, 2048, 1025, 2048}, HAK_SITE_MEDIUM}, /* all the time */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(hak_site_judge(&cases[i].facts) == cases[i].policy, "case %zu", i);
}

/* The founders' checklist. */
static void check_three_sites(void)
{
    turn(SITE(1), 64 * KIB, 1000);
    turn(SITE(2), 256 * KIB, 100);
    turn(SITE(3), 2 * MIB, 10);
    CHECK(seen(SITE(1)).policy == HAK_SITE_SMALL_FREQUENT, "64 KB x 1000");
    CHECK(seen(SITE(2)).policy == HAK_SITE_MEDIUM, "256 KB x 100");
    CHECK(seen(SITE(3)).policy == HAK_SITE_LARGE_INFREQUENT, "2 MB x 10");
    CHECK(seen(SITE(1)).count == 1000 && seen(SITE(2)).count == 100 && seen(SITE(3)).count == 10, "counts");
    CHECK(seen(SITE(3)).total == 20 * MIB && seen(SITE(3)).max == 2 * MIB, "bytes");
    CHECK(hak_site_totals().calls == 1110 && hak_site_totals().ticks == 1 && hak_site_totals().sites == 3,
          "totals");
}

static void check_nine_and_the_tenth(void)
{
    for (int call = 1; call <= 10; call++) {
        CHECK(hak_site_policy(hak_site_slot(SITE(1))) ==
                  (call < 10 ? HAK_SITE_GATHERING : HAK_SITE_LARGE_INFREQUENT),
              "call %d", call);
        turn(SITE(1), 2 * MIB, 1);
        CHECK(seen(SITE(1)).kept == (call == 10), "call %d", call);
    }
}

static void check_ticks(void)
{
    turn(SITE(1), 48, 1023);
    CHECK(hak_site_totals().ticks == 0, "after 1,023");
    turn(SITE(2), 48, 1);
    CHECK(hak_site_totals().ticks == 1, "after 1,024");
    turn(SITE(1), 48, 9 * 1024);
    CHECK(hak_site_totals().ticks == 10, "after 10,240");
}

/* The 257th site, and one whose places are all taken before that. */
static void check_a_full_table(void)
{
    uint64_t refused = 0, given = 0, random = 1;
    for (int i = 0; given < HAK_SITE_SLOTS; i++) {
        const void *site = (const void *)(uintptr_t)(next_random(&random) | 1);
        const unsigned slot = hak_site_slot(site);
        const unsigned far = (slot - hak_site_home(site)) & (HAK_SITE_SLOTS - 1);
        CHECK(i < 100000, "the table is never full");
        CHECK(slot == HAK_SITE_SLOTS || far + 1 < 8, "%u probes", far + 1);
        CHECK(slot == HAK_SITE_SLOTS || hak_site_slot(site) == slot, "site %d has two slots", i);
        refused += slot == HAK_SITE_SLOTS;
        given += slot != HAK_SITE_SLOTS;
    }
    const void *late = SITE(200000);
    CHECK(refused > 0 && hak_site_slot(late) == HAK_SITE_SLOTS, "a 257th site");
    turn(late, 2 * MIB, 20);
    turn(NULL, 100, 5);
    CHECK(hak_site_totals().elsewhere == 25 && hak_site_totals().sites == HAK_SITE_SLOTS, "elsewhere");
}

static void check_lifetimes(void)
{
    void *p = hakmem_alloc_at(100, SITE(1));
    turn(SITE(2), 100, 7);
    hakmem_free_at(p, 100);
    CHECK(seen(SITE(1)).ended == 1 && seen(SITE(1)).lifetime == 7, "after 7 calls");
    p = hakmem_alloc_at(5000, SITE(3));
    turn(SITE(2), 100, 3 * 8192); /* its age would look young again */
    hakmem_free_at(p, 5000);
    CHECK(seen(SITE(3)).ended == 0, "an old one");
    p = hakmem_alloc_at(6000, SITE(4));
    hakmem_free(p); /* plainly: its end is not seen */
    CHECK(seen(SITE(4)).ended == 0, "free was seen");
}

static void check_samples(void)
{
    for (int i = 0; i < 9; i++) {
        hak_site_sampled(SITE(1), 2 * MIB, 1);
        hak_site_sampled(SITE(2), 100, 5000);
        hak_site_sampled(NULL, 100, 2);
    }
    CHECK(seen(SITE(1)).policy == HAK_SITE_LARGE_INFREQUENT && seen(SITE(1)).sampled, "large");
    CHECK(seen(SITE(2)).policy == HAK_SITE_SMALL_FREQUENT && seen(SITE(2)).count == 45000, "small");
    CHECK(seen(SITE(2)).total == 4500000 && seen(SITE(2)).max == 100, "bytes");
    CHECK(hak_site_totals().elsewhere == 18 && hak_site_totals().ticks > 0, "totals");
}

static void check_habits(void)
{
    turn(SITE(1), 2 * MIB, 3000);
    CHECK(seen(SITE(1)).policy == HAK_SITE_MEDIUM, "large, all the time");
    turn(SITE(4), 48, 500);
    turn(SITE(2), 48, 5000);
    CHECK(seen(SITE(1)).policy == HAK_SITE_LARGE_INFREQUENT, "large, not any more");
    CHECK(seen(SITE(4)).policy == HAK_SITE_SMALL_FREQUENT, "who does not call stays what it was");
    turn(SITE(1), 2 * MIB, 3000);
    CHECK(seen(SITE(1)).policy == HAK_SITE_MEDIUM, "large, all the time, again");
    for (int i = 0; i < 50; i++) {
        turn(SITE(1), 2 * MIB, 1);
        turn(SITE(2), 48, 100);
    }
    CHECK(seen(SITE(1)).policy == HAK_SITE_LARGE_INFREQUENT, "large, now and then");
    turn(SITE(3), 48, 10);
    turn(SITE(2), 48, 2000);
    turn(SITE(2), 48, 3000);
    turn(SITE(3), 48, 1);
    turn(SITE(2), 48, 1500);
    CHECK(seen(SITE(3)).policy == HAK_SITE_MEDIUM, "small, now and then");
    turn(SITE(5), 48, 20);
    turn(SITE(2), 48, 9000);
    CHECK(seen(SITE(5)).policy == HAK_SITE_SMALL_FREQUENT, "who does not call is judged");
}

/* --- what sites keep ---------------------------------------------------------------------------------------------- */

#define BIG (2 * MIB)

static void check_kept_blocks(void)
{
    turn(SITE(1), BIG, 10);
    CHECK(hak_site_cache_blocks() == 1 && hak_site_cache_bytes() == BIG, "one is kept");
    const uint64_t before = seen(SITE(1)).kept;
    for (int i = 0; i < 10; i++) {
        turn(SITE(1), BIG, 1);
        hakmem_free(hakmem_alloc(3 * MIB));
        hakmem_free(hakmem_alloc(600 * KIB));
    }
    CHECK(seen(SITE(1)).kept == before + 10, "whatever others ask for");
    turn(SITE(1), 3 * MIB, 1); /* another size sends it back */
    CHECK(hak_site_cache_bytes() == 3 * MIB, "%zu bytes are kept", hak_site_cache_bytes());
    void *many[6];
    for (int i = 0; i < 6; i++)
        many[i] = hakmem_alloc_at(BIG, SITE(1));
    for (int i = 0; i < 6; i++)
        hakmem_free_at(many[i], BIG);
    CHECK(hak_site_cache_blocks() == HAK_SITE_KEPT, "four at most");
    void *p = hakmem_alloc_at(BIG, SITE(1));
    hak_memory_view_t view;
    hak_memory_view(&view);
    CHECK(view.huge_blocks == 1 && view.huge_bytes == BIG, "%zu blocks are in use", view.huge_blocks);
    hakmem_free(p);
    hakmem_trim();
    CHECK(hak_site_cache_blocks() == 0 && hak_site_cache_bytes() == 0, "after malloc_trim");
}

static void check_windows(void)
{
    turn(SITE(1), BIG, 10);
    turn(SITE(2), 3 * MIB, 10);
    const uint32_t window = hak_policy()->purge_delay_ms;
    hak_site_cache_release_due(2 * window);
    CHECK(hak_site_cache_blocks() == 2, "they were used in this window");
    turn(SITE(2), 3 * MIB, 1);
    hak_site_cache_release_due(3 * window - 1);
    CHECK(hak_site_cache_blocks() == 2, "the window is not over");
    hak_site_cache_release_due(3 * window);
    CHECK(hak_site_cache_blocks() == 1 && hak_site_cache_bytes() == 3 * MIB, "the idle one goes");
    void *p = hakmem_alloc_at(3 * MIB, SITE(2)), *q = hakmem_alloc_at(3 * MIB, SITE(2));
    hakmem_free_at(p, 3 * MIB);
    hak_site_cache_release_due(4 * window);
    hakmem_free_at(q, 3 * MIB);
    hak_site_cache_release_due(5 * window);
    CHECK(hak_site_cache_blocks() == 2, "who only gives is not idle");
    hak_site_cache_release_due(5 * window - 4); /* by a thread that looked before, and comes late */
    CHECK(hak_site_cache_blocks() == 2, "a late look ends a window that has just begun");
}

static void check_limits(void)
{
    const size_t most = (size_t)hak_policy()->bigcache_mb << 20;
    for (int i = 0; i < 10; i++)
        turn(SITE(i), 16 * MIB, 10);
    CHECK(hak_site_cache_bytes() <= most && hak_site_cache_bytes() + 16 * MIB > most, "%zu bytes",
          hak_site_cache_bytes());
    hakmem_trim();
    hak_options_live.disable_bigcache = 1;
    turn(SITE(1), 6 * MIB, 10);
    CHECK(hak_site_cache_blocks() == 0, "HAKMEM_DISABLE_BIGCACHE");
    hak_options_live.disable_bigcache = 0;
    hak_scarce_begin();
    turn(SITE(1), 16 * MIB, 2);
    CHECK(hak_site_cache_blocks() == 0, "memory is scarce");
}

static void check_rules(void)
{
    hak_options_live.site_rules = HAK_SITES_COUNTED;
    turn(SITE(1), BIG, 20);
    CHECK(seen(SITE(1)).count == 20 && seen(SITE(1)).kept == 0 && hak_site_cache_blocks() == 0,
          "counted alone");
    hak_options_live.site_rules = HAK_SITES_OFF;
    turn(SITE(2), BIG, 20);
    CHECK(seen(SITE(2)).site == 0 && hak_site_totals().calls == 20, "off");
}

/* Blocks are as all others, and what is refused is not counted. */
static void check_odd_requests(void)
{
    turn(SITE(1), BIG, 10);
    errno = 0;
    CHECK(hakmem_alloc_at(opaque(SIZE_MAX), SITE(1)) == NULL && errno == ENOMEM, "SIZE_MAX");
    CHECK(hakmem_alloc_at(opaque(((size_t)1 << 46) + 1), SITE(1)) == NULL, "2^46 + 1");
    CHECK(seen(SITE(1)).count == 10 && seen(SITE(1)).max == BIG, "a refusal was counted");
    errno = 5;
    void *a = hakmem_alloc_at(0, SITE(2)), *b = hakmem_alloc_at(0, SITE(2));
    CHECK(a != NULL && b != NULL && a != b, "size 0");
    hakmem_free_at(a, 0);
    hakmem_free_at(b, 0);
    hakmem_free_at(NULL, 7);
    char *p = hakmem_resize(hakmem_alloc_at(BIG, SITE(1)), 3 * MIB);
    CHECK(p != NULL, "hakmem_resize");
    fill(p, 3 * MIB, 3);
    hakmem_free_at(p, 3 * MIB);
    hakmem_free_at(hakmem_alloc(100), 100);
    hakmem_free_at(hakmem_alloc(BIG), BIG);
    hakmem_free(hakmem_alloc_at(BIG, SITE(1)));
    CHECK(errno == 5, "errno");
}

static void *call_often(void *index)
{
    uint64_t random = (uint64_t)(intptr_t)index + 1;
    for (int i = 0; i < CALLS; i++) {
        const size_t size = i % 64 == 0 ? 2 * MIB : 16 + next_random(&random) % 1000;
        unsigned char *p = hakmem_alloc_at(size, SITE(i % 64 == 0 ? 1 : 2 + i % 5));
        fill(p, 16, random);
        CHECK(is_filled(p, 16, random), "two have one block");
        hakmem_free_at(p, size);
    }
    return NULL;
}

/* Nothing is lost, and a block that is kept has one owner. */
static void check_threads(void)
{
    run_threads(THREADS, call_often);
    uint64_t count = 0;
    for (int i = 1; i < 7; i++)
        count += seen(SITE(i)).count;
    CHECK(count == THREADS * CALLS && hak_site_totals().calls == count, "%lu calls", (unsigned long)count);
    CHECK(hak_site_totals().ticks == THREADS * CALLS / 1024, "ticks");
    CHECK(seen(SITE(1)).kept > 0, "nothing was kept");
    hakmem_trim();
    CHECK(hak_site_cache_bytes() == 0 && hak_site_cache_blocks() == 0, "the figures of what is kept");
}

static void check_memory_out(void)
{
    if (!RESIDENT_IS_KNOWN) /* a sanitizer needs the address space for itself */
        return;
    turn(SITE(1), 3 * MIB, 10);
    turn(SITE(2), 4 * MIB, 10);
    CHECK(hak_site_cache_bytes() == 7 * MIB, "kept");
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(statm != NULL && fscanf(statm, "%lu", &pages) == 1, "no statm");
    fclose(statm);
    const struct rlimit limit = {pages * 4096 + 2 * MIB, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    void *p = hakmem_alloc(6 * MIB);
    CHECK(p != NULL && hak_site_cache_blocks() == 0, "what sites keep was not given back");
}

static void in_a_child(void **state)
{
    void (*const *check)(void) = (void (*const *)(void)) * state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the next case */
        signal(SIGABRT, SIG_DFL);
        (*check)();
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void (*const checks[])(void) = {
    check_judgement,    check_three_sites,  check_nine_and_the_tenth,
    check_ticks,        check_a_full_table, check_lifetimes,
    check_samples,      check_habits,       check_kept_blocks,
    check_windows,      check_limits,       check_rules,
    check_odd_requests, check_threads,      check_memory_out,
};

#define CASE(i, what)                                                                                        \
    {                                                                                                        \
        what, in_a_child, NULL, NULL, (void *)(uintptr_t)&checks[i]                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(0, "judgement"),     CASE(1, "three sites"),  CASE(2, "nine and the tenth"),
        CASE(3, "ticks"),         CASE(4, "a full table"), CASE(5, "lifetimes"),
        CASE(6, "samples"),       CASE(7, "habits"),       CASE(8, "kept blocks"),
        CASE(9, "windows"),       CASE(10, "limits"),      CASE(11, "rules"),
        CASE(12, "odd requests"), CASE(13, "threads"),     CASE(14, "memory out"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
