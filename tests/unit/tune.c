/* SPDX-License-Identifier: MIT */
/* The learner as a whole (learn/tune.h), against simulated programs: no thread, no clock, no allocator. */
#include "suite.h"

#include "base/classes.h"
#include "learn/tune.h"

#include <stdbool.h>

enum {
    WINDOW = 100, /* ms */
    FREEZE = 40000,
};

static const hak_tune_goals_t goals = {
    .mid = {.hit = 650, .step_kb = 256, .rest_kb = 1024, .most_kb = 4096},
    .large = {.hit = 550, .step_kb = 1024, .rest_kb = 4096, .most_kb = 16384},
    .freeze_ms = FREEZE,
    .window_ms = WINDOW,
    .min_samples = 256,
    .canary_percent = 5,
    .rate = true,
    .back = true,
    .control = true,
};

/* A program: what one window of it counts, under the values in force. */
typedef struct program {
    unsigned bits;     /* of the sizes that it asks for */
    uint64_t requests; /* a window */
    uint64_t missed;   /* of a thousand */
    bool wants_delay;  /* faults unless the delay is long */
} program_t;

static hak_tune_t tune;
static hak_tune_totals_t totals;
static uint64_t now_ms, seed;

static void begin(const hak_tune_goals_t *with)
{
    memset(&totals, 0, sizeof totals);
    totals.used = 100 << 20;
    totals.threads = 1;
    now_ms = 1000;
    seed = 1;
    hak_tune_init(&tune, with, &totals, now_ms);
}

static void run_window(const program_t *program)
{
    const hak_tune_values_t values = hak_tune_values(&tune);
    const uint64_t missed = program->requests * program->missed / 1000;
    now_ms += hak_tune_wait_ms(&tune);
    totals.requests[program->bits] += program->requests;
    totals.refills += missed;
    totals.refills_mid += missed;
    totals.slow += missed;
    totals.faults_minor += program->wants_delay && values.delay_percent < 400 ? program->requests / 10 : 0;
    hak_tune_window(&tune, &totals, now_ms, next_random(&seed));
}

static bool run_until(const program_t *program, hak_cycle_state_t state, int windows)
{
    for (int i = 0; i < windows && tune.state != state; i++)
        run_window(program);
    return tune.state == state;
}

static const program_t steady = {.bits = 12, .requests = 100000, .missed = 10};
static const program_t other = {.bits = 6, .requests = 100000, .missed = 10};

static void test_a_steady_program_is_frozen(void **state)
{
    (void)state;
    begin(&goals);
    assert_int_equal(hak_tune_wait_ms(&tune), WINDOW);
    assert_true(run_until(&steady, HAK_CYCLE_FROZEN, 6000));
    assert_true(now_ms >= 1000 + FREEZE);
    assert_true(now_ms <= 1000 + 12 * FREEZE + WINDOW);
    assert_false(hak_tune_is_looking(&tune));
    assert_int_equal(hak_tune_wait_ms(&tune), 19 * WINDOW); /* one window of twenty */
    const hak_tune_values_t frozen = hak_tune_values(&tune);
    assert_int_equal(frozen.mid_kb, 1024);
    assert_int_equal(frozen.bundle, 1);
}

static void test_a_look_finds_calm_or_drift(void **state)
{
    (void)state;
    begin(&goals);
    assert_true(run_until(&steady, HAK_CYCLE_FROZEN, 6000));
    const uint32_t leader = tune.leader;
    for (int round = 1; round <= 10; round++) {
        run_window(&steady);
        assert_int_equal(tune.state, HAK_CYCLE_CANARY);
        assert_true(hak_tune_is_looking(&tune));
        run_window(&steady);
        assert_int_equal(tune.state, HAK_CYCLE_FROZEN);
        assert_int_equal(tune.looks, round);
        assert_int_equal(tune.strategy, leader); /* the one on trial is gone */
        assert_int_equal(tune.distance, 0);
    }
    assert_int_equal(tune.drifts, 0);
    run_window(&other);
    run_window(&other);
    assert_int_equal(tune.state, HAK_CYCLE_LEARN);
    assert_int_equal(tune.drifts, 1);
    assert_int_equal(tune.distance, HAK_SHAPE_ALL);
    const uint64_t since_ms = now_ms;
    assert_true(run_until(&other, HAK_CYCLE_FROZEN, 6000));
    assert_true(now_ms - since_ms >= FREEZE);
    run_window(&other);
    run_window(&other);
    assert_int_equal(tune.state, HAK_CYCLE_FROZEN); /* it knows the new pattern */
}

/* However short a window and frequent a look: only 0 percent is never. */
static void test_frequent_looks(void **state)
{
    (void)state;
    for (uint32_t percent = 1; percent <= 100; percent++) {
        hak_tune_goals_t often = goals;
        often.canary_percent = percent;
        often.window_ms = 1;
        begin(&often);
        tune.state = HAK_CYCLE_FROZEN;
        assert_in_range(hak_tune_wait_ms(&tune), 1, 99);
    }
}

/* A look that sees too little says nothing; a window goes on until there is enough. */
static void test_quiet_programs(void **state)
{
    (void)state;
    const program_t quiet = {.bits = 6, .requests = 100, .missed = 1000};
    begin(&goals);
    run_window(&quiet);
    run_window(&quiet);
    assert_int_equal(tune.windows, 0);
    assert_int_equal(tune.idle, 2);
    run_window(&quiet); /* 300 of 256 */
    assert_int_equal(tune.windows, 1);
    assert_int_equal(tune.idle, 0);
    begin(&goals);
    assert_true(run_until(&steady, HAK_CYCLE_FROZEN, 6000));
    run_window(&quiet);
    run_window(&quiet);
    assert_int_equal(tune.state, HAK_CYCLE_FROZEN);
    assert_int_equal(tune.drifts, 0);
}

static void test_the_strategy_that_pays_leads(void **state)
{
    (void)state;
    const program_t bursts = {.bits = 12, .requests = 100000, .missed = 10, .wants_delay = true};
    begin(&goals);
    assert_true(run_until(&bursts, HAK_CYCLE_FROZEN, 6000));
    assert_int_equal(hak_tune_values(&tune).delay_percent, 400);
    double paid = 0, not_paid = 0;
    for (uint32_t i = 0; i < HAK_ELO_STRATEGIES; i++) {
        tune.strategy = i;
        *(hak_tune_values(&tune).delay_percent == 400 ? &paid : &not_paid) += tune.elo.rating[i];
    }
    assert_true(paid / 4 > not_paid / 8 + 30);
}

static void run_period(uint32_t strategy, uint64_t missed)
{
    const program_t program = {.bits = 12, .requests = 100000, .missed = missed};
    tune.strategy = strategy;
    for (unsigned i = 0; i < HAK_ACE_WINDOWS; i++)
        run_window(&program);
}

/* A trial is judged by what the leader cost, whoever had the last period: here the loser. */
static void test_a_trial_is_judged_by_the_leader(void **state)
{
    (void)state;
    begin(&goals);
    run_period(0, 300);
    run_period(3, 100);
    tune.elo.rating[3] = 1540;
    run_period(5, 300);
    assert_int_equal(tune.leader, 3);
    assert_true(tune.known_cost[3] > 0 && tune.known_cost[3] < tune.known_cost[5] / 2);
    tune.state = HAK_CYCLE_CANARY;
    tune.frozen = tune.shape;
    tune.strategy = 5;
    const double before = tune.elo.rating[5];
    run_window(&(program_t){.bits = 12, .requests = 100000, .missed = 200});
    assert_true(tune.elo.rating[5] == before); /* twice what the leader takes */
    tune.state = HAK_CYCLE_CANARY;
    run_window(&other);
    assert_int_equal(tune.state, HAK_CYCLE_LEARN);
    assert_true(tune.known_cost[3] <= 0); /* of what was there before */
}

static void test_strategies_differ_and_the_first_changes_nothing(void **state)
{
    (void)state;
    begin(&goals);
    hak_tune_values_t values[HAK_ELO_STRATEGIES];
    for (uint32_t i = 0; i < HAK_ELO_STRATEGIES; i++) {
        tune.strategy = i;
        values[i] = hak_tune_values(&tune);
        for (uint32_t k = 0; k < i; k++)
            assert_true(memcmp(&values[i], &values[k], sizeof values[i]) != 0);
    }
    assert_int_equal(values[0].delay_percent, 100);
    assert_int_equal(values[0].retain_percent, 100);
    assert_int_equal(values[0].populate_kb, 0);
    assert_int_equal(values[HAK_ELO_STRATEGIES - 1].populate_kb, 64);
}

/* Picked at the end of a period, in force all through the next one. */
static void test_a_strategy_governs_a_whole_period(void **state)
{
    (void)state;
    begin(&goals);
    uint32_t before = tune.strategy;
    int others = 0;
    for (int window = 1; window <= 160 && tune.state == HAK_CYCLE_LEARN; window++) {
        run_window(&steady);
        if (window % (int)HAK_ACE_WINDOWS != 0 && tune.state == HAK_CYCLE_LEARN)
            assert_int_equal(tune.strategy, before);
        others += tune.strategy != before;
        before = tune.strategy;
    }
    assert_true(others > 1);
}

static void test_what_is_off_stays_off(void **state)
{
    (void)state;
    const program_t starving = {.bits = 12, .requests = 100000, .missed = 900};
    hak_tune_goals_t off = goals;
    off.rate = false;
    off.control = false;
    off.canary_percent = 0;
    begin(&off);
    for (int i = 0; i < 6000 && tune.state == HAK_CYCLE_LEARN; i++) {
        run_window(&starving);
        const hak_tune_values_t values = hak_tune_values(&tune);
        assert_int_equal(tune.strategy, 0);
        assert_int_equal(values.mid_kb, 1024);
        assert_int_equal(values.bundle, 1);
    }
    assert_int_equal(tune.state, HAK_CYCLE_FROZEN);
    assert_int_equal(hak_tune_wait_ms(&tune), 0); /* for ever */
    off.control = true;
    begin(&off);
    for (int i = 0; i < 10; i++)
        run_window(&starving);
    assert_true(hak_tune_values(&tune).mid_kb > 1024);
    assert_int_equal(hak_tune_values(&tune).bundle, HAK_ACE_BUNDLE);
}

/* Periods that the threshold was judged in, of so many under these parts of the learner; *populated: how many had memory backed
 * ahead. */
static uint32_t thresholds_judged(bool rate, bool back, int *populated)
{
    hak_tune_goals_t parts = goals;
    parts.rate = rate;
    parts.back = back;
    begin(&parts);
    *populated = 0;
    for (int period = 0; period < 40; period++) {
        *populated += hak_tune_values(&tune).populate_kb != 0;
        for (uint32_t i = 0; i < HAK_ACE_WINDOWS; i++)
            run_window(&steady);
    }
    return tune.ucb.plays;
}

static void test_strategies_and_threshold_are_apart(void **state)
{
    (void)state;
    int populated;
    assert_in_range(thresholds_judged(true, true, &populated), 5, 39);
    assert_in_range(populated, 5, 35);
    assert_int_equal(thresholds_judged(false, true, &populated), 40);
    assert_int_equal(populated, 40);
    assert_int_equal(thresholds_judged(true, false, &populated), 0);
    assert_in_range(populated, 5, 35);
    assert_int_equal(thresholds_judged(false, false, &populated), 0);
    assert_int_equal(populated, 0);
}

/* The hit rate of mid and large after a window in which these were asked for, and each second one met no bin. */
static void ask_for(unsigned bits, uint32_t *mid, uint32_t *large)
{
    begin(&goals);
    now_ms += WINDOW;
    totals.requests[bits] = 1000;
    totals.slow = totals.refills = totals.refills_mid = totals.oversize = 500;
    hak_tune_window(&tune, &totals, now_ms, 0);
    *mid = tune.mid.hit;
    *large = tune.large.hit;
}

/* Which have bins is the policy's of the build. */
static void test_the_sizes_that_bins_have(void **state)
{
    (void)state;
    const unsigned class_bits = (unsigned)__builtin_ctzl(HAK_CLASS_MAX);
    uint32_t mid, large;
    ask_for(HAK_TINY_BITS, &mid, &large);
    assert_true(mid == HAK_ACE_ALL && large == HAK_ACE_ALL); /* nobody asked */
    for (unsigned bits = HAK_TINY_BITS + 1; bits <= class_bits; bits++) {
        ask_for(bits, &mid, &large);
        assert_true(mid == HAK_ACE_ALL / 2 && large == HAK_ACE_ALL);
    }
    ask_for(class_bits + 1, &mid, &large);
    assert_true(mid == HAK_ACE_ALL && large == HAK_ACE_ALL / 2);
}

/* The counts of a process, the memory that it holds, and so the cost. */
static void test_memory_that_is_held_costs(void **state)
{
    (void)state;
    begin(&goals);
    run_window(&steady);
    const double lean = hak_p2_value(&tune.cost[0]);
    begin(&goals);
    totals.held = totals.used;
    run_window(&steady);
    assert_true(lean > 0);
    const double held = hak_p2_value(&tune.cost[0]);
    assert_true(held > 1.49 * lean && held < 1.51 * lean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_steady_program_is_frozen),
        cmocka_unit_test(test_a_look_finds_calm_or_drift),
        cmocka_unit_test(test_frequent_looks),
        cmocka_unit_test(test_quiet_programs),
        cmocka_unit_test(test_the_strategy_that_pays_leads),
        cmocka_unit_test(test_a_trial_is_judged_by_the_leader),
        cmocka_unit_test(test_strategies_differ_and_the_first_changes_nothing),
        cmocka_unit_test(test_a_strategy_governs_a_whole_period),
        cmocka_unit_test(test_what_is_off_stays_off),
        cmocka_unit_test(test_strategies_and_threshold_are_apart),
        cmocka_unit_test(test_the_sizes_that_bins_have),
        cmocka_unit_test(test_memory_that_is_held_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
