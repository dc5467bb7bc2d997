/* SPDX-License-Identifier: MIT */
/* The learners' modules (core/learn/), each alone: against closed forms, exact quantiles, libm, published values and bounds. */
#include "suite.h"

#include "learn/ace.h"
#include "learn/cycle.h"
#include "learn/elo.h"
#include "learn/p2.h"
#include "learn/real.h"
#include "learn/shape.h"
#include "learn/ucb.h"

#include <math.h>

static void assert_near(double found, double wanted, double by)
{
    if (fabs(found - wanted) > by)
        fail_msg("%.17g is not within %g of %.17g", found, by, wanted);
}

static double uniform(uint64_t *state)
{
    return (double)(next_random(state) >> 11) / 9007199254740992.0;
}

/* --- real numbers ------------------------------------------------------------------------------------------------- */

static void test_functions_of_real_numbers(void **state)
{
    (void)state;
    for (double x = 1e-300; x < 1e300; x *= 1.7) {
        assert_near(hak_real_ln(x), log(x), 1e-12 * (1 + fabs(log(x))));
        assert_near(hak_real_sqrt(x) / sqrt(x), 1, 1e-12);
    }
    for (double x = -690; x < 690; x += 0.37)
        assert_near(hak_real_exp(x) / exp(x), 1, 1e-12);
    assert_near(hak_real_ln(1), 0, 0);
    assert_near(hak_real_exp(0), 1, 0);
    assert_near(hak_real_sqrt(0), 0, 0);
    assert_near(hak_real_sqrt(-1), 0, 0);
    assert_true(isfinite(hak_real_ln(0)) && isfinite(hak_real_ln(-1)) && isfinite(hak_real_exp(1e9)));
}

/* --- percentiles -------------------------------------------------------------------------------------------------- */

static int by_value(const void *one, const void *other)
{
    const double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* The example of Jain and Chlamtac, table I: the median of these twenty is estimated as 4.44. */
static void test_the_published_example(void **state)
{
    (void)state;
    static const double numbers[] = {0.02,  0.15,  0.74, 3.39, 0.83, 22.37, 10.15, 15.43, 38.62, 15.92,
                                     34.60, 10.28, 1.47, 0.40, 0.05, 11.39, 0.27,  0.42,  0.09,  11.37};
    hak_p2_t p2;
    hak_p2_init(&p2, 0.5);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hak_p2_add(&p2, numbers[i]);
    assert_near(hak_p2_value(&p2), 4.44, 0.005);
}

static void test_few_numbers_are_exact(void **state)
{
    (void)state;
    hak_p2_t p2;
    hak_p2_init(&p2, 0.5);
    assert_near(hak_p2_value(&p2), 0, 0);
    static const double numbers[] = {7, 3, 9, 1, 5}, medians[] = {7, 7, 7, 7, 5};
    for (int i = 0; i < 5; i++) {
        hak_p2_add(&p2, numbers[i]);
        assert_near(hak_p2_value(&p2), medians[i], 0);
    }
    hak_p2_init(&p2, 0.99);
    for (int i = 0; i < 5; i++)
        hak_p2_add(&p2, numbers[i]);
    assert_near(hak_p2_value(&p2), 9, 0);
}

enum {
    NUMBERS = 20000
};

static double exponential(uint64_t *state)
{
    return -log(1 - uniform(state));
}

static double two_humps(uint64_t *state)
{
    return (uniform(state) < 0.9 ? 10 : 100) + uniform(state);
}

static double rising(uint64_t *state)
{
    return (double)(*state)++;
}

/* Against the sorted numbers: as a rank, not as a value, so that steep distributions count like flat ones. */
static void test_percentiles_have_their_rank(void **state)
{
    (void)state;
    static double numbers[NUMBERS];
    static double (*const kinds[])(uint64_t *) = {uniform, exponential, two_humps, rising};
    static const double parts[] = {0.5, 0.95, 0.99};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            uint64_t seed = 1 + k;
            hak_p2_t p2;
            hak_p2_init(&p2, parts[i]);
            for (int n = 0; n < NUMBERS; n++)
                hak_p2_add(&p2, numbers[n] = kinds[k](&seed));
            qsort(numbers, NUMBERS, sizeof *numbers, by_value);
            int rank = 0;
            while (rank < NUMBERS && numbers[rank] <= hak_p2_value(&p2))
                rank++;
            assert_near((double)rank / NUMBERS, parts[i], 0.015);
        }
    }
}

/* Each alone has an error: of some hundred short heavy-tailed series in one or another the 95th lies above the 99th. */
static void test_percentiles_rise(void **state)
{
    (void)state;
    static const double parts[] = {0.5, 0.95, 0.99};
    int crossed = 0;
    for (uint64_t series = 1; series <= 1000; series++) {
        uint64_t seed = series;
        hak_p2_t p2[3];
        double values[3];
        for (int i = 0; i < 3; i++)
            hak_p2_init(&p2[i], parts[i]);
        for (uint64_t n = 0; n < 5 + series % 200; n++) {
            const double number = exp(2 * exponential(&seed));
            for (int i = 0; i < 3; i++)
                hak_p2_add(&p2[i], number);
        }
        hak_p2_values(p2, 3, values);
        assert_true(values[0] <= values[1] && values[1] <= values[2]);
        assert_true(values[2] >= hak_p2_value(&p2[2]));
        crossed += hak_p2_value(&p2[1]) > hak_p2_value(&p2[2]);
    }
    assert_true(crossed > 0);
}

/* --- UCB1 --------------------------------------------------------------------------------------------------------- */

static void test_worth_of_an_arm(void **state)
{
    (void)state;
    hak_ucb_t ucb;
    hak_ucb_init(&ucb, 2, 0);
    assert_true(hak_ucb_worth(&ucb, 0) == HAK_UCB_UNTRIED);
    for (int i = 0; i < 4; i++)
        hak_ucb_reward(&ucb, 0.25);
    assert_near(hak_ucb_worth(&ucb, 2), 0.25 + sqrt(2 * log(4) / 4), 1e-12);
    assert_int_not_equal(hak_ucb_preferred(&ucb), 2);
    hak_ucb_reward(&ucb, 7); /* no reward is above 1 */
    assert_near(hak_ucb_worth(&ucb, 2), 2.0 / 5 + sqrt(2 * log(5) / 5), 1e-12);
    assert_int_equal(hak_ucb_kb(0), 64);
    assert_int_equal(hak_ucb_kb(HAK_UCB_ARMS - 1), 2048);
}

/* Played without the brake, the regret stays within the bound of Auer, Cesa-Bianchi and Fischer, theorem 1. */
static void test_regret_is_bounded(void **state)
{
    (void)state;
    static const double means[HAK_UCB_ARMS] = {0.2, 0.4, 0.5, 0.7, 0.3, 0.45};
    enum {
        PLAYS = 50000
    };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t random = seed;
        double regret = 0, bound = 0;
        hak_ucb_t ucb;
        hak_ucb_init(&ucb, 0, 0);
        for (int n = 0; n < PLAYS; n++) {
            ucb.now = hak_ucb_preferred(&ucb);
            regret += 0.7 - means[ucb.now];
            hak_ucb_reward(&ucb, uniform(&random) < means[ucb.now]);
        }
        for (int arm = 0; arm < (int)HAK_UCB_ARMS; arm++) {
            const double gap = 0.7 - means[arm];
            bound += gap > 0 ? 8 * log(PLAYS) / gap + (1 + M_PI * M_PI / 3) * gap : 0;
            assert_true(ucb.arm[arm].plays > 0);
        }
        assert_true(regret < bound && ucb.arm[3].plays > PLAYS * 9 / 10);
    }
}

static void test_the_threshold_moves_slowly(void **state)
{
    (void)state;
    hak_ucb_t ucb;
    hak_ucb_init(&ucb, 2, 1000);
    for (uint32_t arm = 0; arm < HAK_UCB_ARMS; arm++) {
        ucb.arm[arm].sum = arm == 5 ? 90 : 50;
        ucb.arm[arm].plays = 100;
        ucb.plays += 100;
    }
    assert_int_equal(hak_ucb_preferred(&ucb), 5);
    assert_false(hak_ucb_step(&ucb, 500000, 180000)); /* once */
    assert_false(hak_ucb_step(&ucb, 500000, 180000)); /* twice */
    assert_true(hak_ucb_step(&ucb, 500000, 180000));
    assert_int_equal(ucb.now, 3); /* by one, though the fifth is wanted */
    for (int i = 0; i < 10; i++)
        assert_false(hak_ucb_step(&ucb, 500000 + 179999, 180000)); /* the cooldown */
    assert_true(hak_ucb_step(&ucb, 500000 + 180000, 180000));
    assert_int_equal(ucb.now, 4);
    ucb.arm[5].sum = 53; /* not 8 % more: that of all is added to both */
    for (int i = 0; i < 10; i++)
        assert_false(hak_ucb_step(&ucb, 5000000, 180000));
    assert_int_equal(ucb.streak, 0);
    ucb.arm[5].sum = 90;
    assert_false(hak_ucb_step(&ucb, 5000000, 180000));
    assert_false(hak_ucb_step(&ucb, 5000000, 180000));
    ucb.arm[5].sum = 50; /* in a row: this begins anew */
    assert_false(hak_ucb_step(&ucb, 5000000, 180000));
    ucb.arm[5].sum = 90;
    assert_false(hak_ucb_step(&ucb, 5000000, 180000));
    ucb.arm[0].sum = 95;
    ucb.now = 1;
    hak_ucb_settle(&ucb);
    assert_int_equal(ucb.now, 0);
}

/* --- ELO ---------------------------------------------------------------------------------------------------------- */

static void test_known_ratings(void **state)
{
    (void)state;
    assert_near(hak_elo_expected(1500, 1500), 0.5, 1e-12);
    assert_near(hak_elo_expected(1900, 1500), 10.0 / 11, 1e-12);
    assert_near(hak_elo_expected(1500, 1900), 1.0 / 11, 1e-12);
    /* A player of 1613 against five others, as textbooks have it; to two digits. */
    static const double others[] = {1609, 1477, 1388, 1586, 1720},
                        expected[] = {0.51, 0.69, 0.79, 0.54, 0.35};
    for (int i = 0; i < 5; i++)
        assert_near(hak_elo_expected(1613, others[i]), expected[i], 0.005);
    hak_elo_t elo;
    hak_elo_init(&elo);
    hak_elo_game(&elo, 3, 7, 1);
    assert_near(elo.rating[3], 1516, 1e-9);
    assert_near(elo.rating[7], 1484, 1e-9);
    hak_elo_game(&elo, 3, 7, 0.5);
    const double points = 32 * (0.5 - 1 / (1 + pow(10, (1484.0 - 1516) / 400)));
    assert_near(elo.rating[3], 1516 + points, 1e-9);
    assert_near(elo.rating[7], 1484 - points, 1e-9);
    assert_int_equal(elo.games[3], 2);
    assert_int_equal(hak_elo_best(&elo), 3);
}

static void test_strategies_are_picked_by_softmax(void **state)
{
    (void)state;
    enum {
        PICKS = 200000
    };
    hak_elo_t elo;
    hak_elo_init(&elo);
    elo.rating[4] = 1500 + HAK_ELO_HEAT; /* e times as often */
    elo.rating[9] = 1500 - HAK_ELO_HEAT;
    int picked[HAK_ELO_STRATEGIES] = {0};
    uint64_t random = 1;
    for (int i = 0; i < PICKS; i++)
        picked[hak_elo_pick(&elo, next_random(&random))]++;
    const double sum = 10 + M_E + 1 / M_E;
    assert_near(picked[4], PICKS * M_E / sum, PICKS * 0.005);
    assert_near(picked[9], PICKS / M_E / sum, PICKS * 0.005);
    assert_near(picked[0], PICKS / sum, PICKS * 0.005);
    assert_int_equal(hak_elo_pick(&elo, 0), 0);
    assert_int_equal(hak_elo_pick(&elo, UINT64_MAX), HAK_ELO_STRATEGIES - 1);
    elo.rating[0] = 1e6; /* far ahead: the others' weight is nothing, and nothing overflows */
    assert_int_equal(hak_elo_pick(&elo, UINT64_MAX / 2), 0);
}

/* --- shapes ------------------------------------------------------------------------------------------------------- */

static void test_shapes_and_their_distance(void **state)
{
    (void)state;
    uint64_t count[HAK_SHAPE_BINS] = {[3] = 1, [5] = 3};
    hak_shape_t one, other, none;
    assert_int_equal(hak_shape_of(&one, count), 4);
    assert_int_equal(one.part[3], 250000);
    assert_int_equal(one.part[5], 750000);
    assert_int_equal(hak_shape_distance(&one, &one), 0);
    const uint64_t half[HAK_SHAPE_BINS] = {[3] = 100, [7] = 300};
    hak_shape_of(&other, half);
    assert_int_equal(hak_shape_distance(&one, &other), 750000);
    assert_int_equal(hak_shape_distance(&other, &one), 750000);
    const uint64_t apart[HAK_SHAPE_BINS] = {[40] = 9};
    hak_shape_of(&other, apart);
    assert_int_equal(hak_shape_distance(&one, &other), HAK_SHAPE_ALL);
    count[3] = UINT64_MAX / 8;
    count[5] = 3 * (UINT64_MAX / 8); /* a million times that is more than 64 bits hold */
    hak_shape_of(&other, count);
    assert_in_range(hak_shape_distance(&one, &other), 0, 2);
    assert_int_equal(hak_shape_of(&none, (const uint64_t[HAK_SHAPE_BINS]){0}), 0);
    assert_int_equal(hak_shape_distance(&none, &none), 0);
}

/* --- the life of what is learned ---------------------------------------------------------------------------------- */

static void test_all_transitions(void **state)
{
    (void)state;
    for (int from = 0; from < HAK_CYCLE_STATES; from++) {
        for (int event = 0; event < HAK_CYCLE_EVENTS; event++) {
            int wanted = from; /* but for these four */
            if (from == HAK_CYCLE_LEARN && event == HAK_CYCLE_STABLE)
                wanted = HAK_CYCLE_FROZEN;
            else if (from == HAK_CYCLE_FROZEN && event == HAK_CYCLE_DUE)
                wanted = HAK_CYCLE_CANARY;
            else if (from == HAK_CYCLE_CANARY && event == HAK_CYCLE_CALM)
                wanted = HAK_CYCLE_FROZEN;
            else if (from == HAK_CYCLE_CANARY && event == HAK_CYCLE_DRIFT)
                wanted = HAK_CYCLE_LEARN;
            assert_int_equal(hak_cycle_next((hak_cycle_state_t)from, (hak_cycle_event_t)event), wanted);
        }
    }
}

/* --- the two loops ------------------------------------------------------------------------------------------------ */

static const hak_ace_goal_t goal = {.hit = 650, .step_kb = 256, .rest_kb = 1024, .most_kb = 4096};

static void test_the_fast_loop_raises(void **state)
{
    (void)state;
    hak_ace_t ace;
    hak_ace_init(&ace, &goal);
    assert_false(hak_ace_fast(&ace, &goal, 0, 0, 1)); /* no request says nothing */
    assert_false(hak_ace_fast(&ace, &goal, 1000, 350, 1));
    assert_int_equal(ace.hit, 650);
    assert_true(hak_ace_fast(&ace, &goal, 1000, 351, 1));
    assert_int_equal(ace.cap_kb, 1280);
    assert_int_equal(ace.bundle, 2);
    for (int i = 0; i < 100; i++) {
        hak_ace_fast(&ace, &goal, 1000, 900, 1);
        assert_true(ace.cap_kb <= 4096 && ace.bundle <= HAK_ACE_BUNDLE);
    }
    assert_int_equal(ace.cap_kb, 4096);
    assert_int_equal(ace.bundle, HAK_ACE_BUNDLE);
    assert_false(hak_ace_fast(&ace, &goal, 1000, 900, 1));
    hak_ace_fast(&ace, &goal, 10, 20, 1); /* more misses than requests: no hit */
    assert_int_equal(ace.hit, 0);
}

static void test_the_slow_loop_lowers(void **state)
{
    (void)state;
    hak_ace_t ace;
    hak_ace_init(&ace, &goal);
    hak_ace_fast(&ace, &goal, 1000, 900, 1);
    assert_false(hak_ace_slow(&ace, &goal)); /* missed since it came by */
    assert_true(hak_ace_slow(&ace, &goal));
    assert_int_equal(ace.cap_kb, 1024);
    assert_int_equal(ace.bundle, 1);
    assert_false(hak_ace_slow(&ace, &goal)); /* not below what it was at first */
    assert_int_equal(ace.cap_kb, 1024);
}

static void test_a_budget_is_kept(void **state)
{
    (void)state;
    hak_ace_goal_t bounded = goal;
    bounded.budget_kb = 4096;
    hak_ace_t ace;
    hak_ace_init(&ace, &bounded);
    ace.bundle = 3;
    assert_false(hak_ace_fast(&ace, &bounded, 1000, 0, 4));
    assert_true(hak_ace_fast(&ace, &bounded, 1000, 0, 8));
    assert_int_equal(ace.cap_kb, 512);
    assert_int_equal(ace.bundle, 1); /* over: the smallest */
    for (int i = 0; i < 100; i++) {
        hak_ace_fast(&ace, &bounded, 1000, 900, 8);
        assert_true(8 * ace.cap_kb <= bounded.budget_kb);
    }
    for (int i = 0; i < 100; i++) {
        hak_ace_fast(&ace, &bounded, 1000, 900, 0); /* no thread is one */
        assert_true(ace.cap_kb <= bounded.budget_kb);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_of_real_numbers),
        cmocka_unit_test(test_the_published_example),
        cmocka_unit_test(test_few_numbers_are_exact),
        cmocka_unit_test(test_percentiles_have_their_rank),
        cmocka_unit_test(test_percentiles_rise),
        cmocka_unit_test(test_worth_of_an_arm),
        cmocka_unit_test(test_regret_is_bounded),
        cmocka_unit_test(test_the_threshold_moves_slowly),
        cmocka_unit_test(test_known_ratings),
        cmocka_unit_test(test_strategies_are_picked_by_softmax),
        cmocka_unit_test(test_shapes_and_their_distance),
        cmocka_unit_test(test_all_transitions),
        cmocka_unit_test(test_the_fast_loop_raises),
        cmocka_unit_test(test_the_slow_loop_lowers),
        cmocka_unit_test(test_a_budget_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
