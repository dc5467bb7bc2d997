/* SPDX-License-Identifier: MIT */
/* tune.c: see tune.h. No state. */
#include "learn/tune.h"

#include "base/classes.h"

/* ns, as measured on one machine (docs/learning.md): only their proportions matter. */
#define PRICE_REFILL      60.0
#define PRICE_SLAB        250.0
#define PRICE_OVERSIZE    250.0
#define PRICE_PURGE       2000.0
#define PRICE_FAULT       1500.0
#define PRICE_MAJOR_FAULT 100000.0

/* Places of the least size above 1 KiB, and above 256 KiB, in a window's sizes; where a build's policy has these limits, which are
 * powers of two, since hits are requests of such sizes less the refills of their classes. */
#define MID_BITS     (HAK_TINY_BITS + 1)
#define CLASSED_BITS ((unsigned)__builtin_ctzl(HAK_CLASS_MAX) + 1)
#define FIRST_ARM    0u
#define BETTER       0.98   /* of the rival's cost: won; the inverse: lost */
#define MUCH_BETTER  0.9    /* of the cost when it froze: a trial that is a reason to learn again */
#define LEAD         48.0   /* points by which another has to be ahead of the leader: some games, not one */
#define LEARN_MOST   12u    /* times HAKMEM_FREEZE_SEC, after which it freezes whatever wants to change */
#define DRIFT        250000 /* parts of HAK_SHAPE_ALL */

/* The strategies: all combinations of these. The first is the policy that was there. */
static const uint16_t delays[] = {100, 25, 400}; /* percent */
static const uint16_t retained[] = {100, 400};   /* percent */
static const bool populates[] = {false, true};
#define DELAYS   (sizeof delays / sizeof *delays)
#define RETAINED (sizeof retained / sizeof *retained)

static_assert(DELAYS * RETAINED * (sizeof populates / sizeof *populates) == HAK_ELO_STRATEGIES, "twelve");

/* As the strategy in force says; where none are tried the threshold is learned all the same, in all periods. */
static bool is_populating(const hak_tune_t *tune)
{
    return tune->goals.rate ? populates[tune->strategy / (DELAYS * RETAINED)] : tune->goals.back;
}

hak_tune_values_t hak_tune_values(const hak_tune_t *tune)
{
    uint32_t strategy = tune->strategy;
    return (hak_tune_values_t){.delay_percent = delays[strategy % DELAYS],
                               .retain_percent = retained[strategy / DELAYS % RETAINED],
                               .populate_kb = is_populating(tune) ? hak_ucb_kb(tune->ucb.now) : 0,
                               .mid_kb = tune->mid.cap_kb,
                               .large_kb = tune->large.cap_kb,
                               .bundle = (uint32_t)hak_max(tune->mid.bundle, tune->large.bundle)};
}

static void forget_costs(hak_tune_t *tune)
{
    static const double parts[] = {0.5, 0.95, 0.99};
    for (unsigned i = 0; i < 3; i++)
        hak_p2_init(&tune->cost[i], parts[i]);
    tune->in_period = 0;
    tune->period_cost = 0;
    tune->rival_cost = 0;
    for (unsigned i = 0; i < HAK_ELO_STRATEGIES; i++)
        tune->known_cost[i] = 0;
}

void hak_tune_init(hak_tune_t *tune, const hak_tune_goals_t *goals, const hak_tune_totals_t *now,
                   uint64_t now_ms)
{
    *tune = (hak_tune_t){.goals = *goals, .before = *now, .since_ms = now_ms, .changed_ms = now_ms};
    forget_costs(tune);
    hak_ucb_init(&tune->ucb, FIRST_ARM, now_ms);
    hak_elo_init(&tune->elo);
    hak_ace_init(&tune->mid, &goals->mid);
    hak_ace_init(&tune->large, &goals->large);
}

/* What came since the window began. */
static hak_tune_totals_t totals_since(const hak_tune_totals_t *now, const hak_tune_totals_t *before)
{
    hak_tune_totals_t window = *now;
    for (unsigned i = 0; i < HAK_SHAPE_BINS; i++)
        window.requests[i] -= before->requests[i];
    window.slow -= before->slow;
    window.refills -= before->refills;
    window.refills_mid -= before->refills_mid;
    window.oversize -= before->oversize;
    window.slabs -= before->slabs;
    window.purges -= before->purges;
    window.faults_minor -= before->faults_minor;
    window.faults_major -= before->faults_major;
    return window;
}

static double cost_of(const hak_tune_totals_t *window, uint64_t requests)
{
    double time = PRICE_REFILL * (double)window->refills + PRICE_SLAB * (double)window->slabs +
                  PRICE_OVERSIZE * (double)window->oversize + PRICE_PURGE * (double)window->purges +
                  PRICE_FAULT * (double)window->faults_minor +
                  PRICE_MAJOR_FAULT * (double)window->faults_major;
    double all = (double)window->used + (double)window->held;
    return time / (double)hak_max(requests, 1) * (1 + (all > 0 ? (double)window->held / all : 0));
}

static uint64_t sum_of(const uint64_t *count, unsigned from, unsigned to)
{
    uint64_t sum = 0;
    for (unsigned i = from; i < to; i++)
        sum += count[i];
    return sum;
}

static void enter_next(hak_tune_t *tune, hak_cycle_event_t event, uint64_t now_ms)
{
    hak_cycle_state_t next = hak_cycle_next(tune->state, event);
    if (next == tune->state)
        return;
    tune->state = next;
    tune->since_ms = now_ms;
}

/* --- LEARN -------------------------------------------------------------------------------------------------------- */

/* The strategy of the period that ended, against that of the one before. */
static void rate_strategy(hak_tune_t *tune, double cost)
{
    if (tune->rival != tune->strategy && tune->rival_cost > 0) {
        bool won = cost<BETTER * tune->rival_cost, lost = BETTER * cost> tune->rival_cost;
        hak_elo_game(&tune->elo, tune->strategy, tune->rival, won ? 1 : lost ? 0 : 0.5);
    }
    tune->rival = tune->strategy;
    tune->rival_cost = cost;
}

/* True if another strategy leads now. */
static bool crown_strategy(hak_tune_t *tune)
{
    uint32_t best = hak_elo_best(&tune->elo);
    if (tune->elo.rating[best] < tune->elo.rating[tune->leader] + LEAD)
        return false;
    tune->leader = best;
    return true;
}

/* Tells the threshold what it earned: half of all when it cost the median. True if another is tried. */
static bool reward_threshold(hak_tune_t *tune, double cost, uint64_t now_ms)
{
    double median = hak_p2_value(&tune->cost[0]);
    if (!tune->goals.back || !is_populating(tune) || median <= 0)
        return false;
    hak_ucb_reward(&tune->ucb, 1 / (1 + cost / median));
    return hak_ucb_step(&tune->ucb, now_ms, tune->goals.freeze_ms);
}

static bool end_period(hak_tune_t *tune, uint64_t now_ms, uint64_t random)
{
    double cost = tune->period_cost / tune->in_period;
    bool changed = reward_threshold(tune, cost, now_ms);
    tune->known_cost[tune->strategy] = cost;
    changed |= tune->goals.control && hak_ace_slow(&tune->mid, &tune->goals.mid);
    changed |= tune->goals.control && hak_ace_slow(&tune->large, &tune->goals.large);
    if (tune->goals.rate) {
        rate_strategy(tune, cost);
        changed |= crown_strategy(tune);
        tune->strategy = hak_elo_pick(&tune->elo, random);
    }
    tune->in_period = 0;
    tune->period_cost = 0;
    return changed;
}

static bool control_ace(hak_tune_t *tune, const hak_tune_totals_t *window)
{
    if (!tune->goals.control)
        return false;
    const uint64_t *sizes = window->requests;
    bool changed = hak_ace_fast(&tune->mid, &tune->goals.mid, sum_of(sizes, MID_BITS, CLASSED_BITS),
                                window->refills_mid, window->threads);
    changed |= hak_ace_fast(&tune->large, &tune->goals.large, sum_of(sizes, CLASSED_BITS, HAK_SHAPE_BINS),
                            window->oversize, window->threads);
    return changed;
}

/* Nothing changed for long, and no threshold waits for its cooldown to be over; or it has gone on for long enough. */
static bool is_settled(const hak_tune_t *tune, uint64_t now_ms)
{
    bool still = now_ms - tune->changed_ms >= tune->goals.freeze_ms && tune->ucb.streak < HAK_UCB_STREAK;
    return still || now_ms - tune->since_ms >= LEARN_MOST * tune->goals.freeze_ms;
}

static void learn_from_window(hak_tune_t *tune, const hak_tune_totals_t *window, uint64_t now_ms,
                              uint64_t random)
{
    bool changed = control_ace(tune, window);
    if (++tune->in_period == HAK_ACE_WINDOWS)
        changed |= end_period(tune, now_ms, random);
    if (changed)
        tune->changed_ms = now_ms;
    if (!is_settled(tune, now_ms))
        return;
    hak_ucb_settle(&tune->ucb);
    tune->strategy = tune->leader;
    tune->frozen = tune->shape;
    enter_next(tune, HAK_CYCLE_STABLE, now_ms);
}

/* --- CANARY ------------------------------------------------------------------------------------------------------- */

/* What was learned of another pattern counts half, the thresholds' worth not at all. */
static void learn_again(hak_tune_t *tune, uint64_t now_ms)
{
    tune->drifts++;
    tune->changed_ms = now_ms;
    for (uint32_t i = 0; i < HAK_ELO_STRATEGIES; i++)
        tune->elo.rating[i] = (tune->elo.rating[i] + HAK_ELO_FIRST) / 2;
    hak_ucb_init(&tune->ucb, tune->ucb.now, now_ms);
    forget_costs(tune);
    enter_next(tune, HAK_CYCLE_DRIFT, now_ms);
}

static void judge_cost(hak_tune_t *tune, double cost, uint64_t now_ms)
{
    tune->distance = hak_shape_distance(&tune->shape, &tune->frozen);
    double leading = tune->known_cost[tune->leader];
    bool better = tune->strategy != tune->leader && leading > 0 && cost < MUCH_BETTER * leading;
    if (tune->strategy == tune->leader && leading <= 0)
        tune->known_cost[tune->leader] = cost;
    if (better)
        hak_elo_game(&tune->elo, tune->strategy, tune->leader, 1);
    tune->strategy = tune->leader;
    if (tune->distance > DRIFT || (better && hak_elo_best(&tune->elo) != tune->leader))
        learn_again(tune, now_ms);
    else
        enter_next(tune, HAK_CYCLE_CALM, now_ms);
}

/* A look begins: its window is under a strategy on trial. */
static void begin_look(hak_tune_t *tune, const hak_tune_totals_t *now, uint64_t now_ms, uint64_t random)
{
    tune->looks++;
    tune->before = *now;
    if (tune->goals.rate)
        tune->strategy = hak_elo_pick(&tune->elo, random);
    enter_next(tune, HAK_CYCLE_DUE, now_ms);
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* Too little happened to say anything: the window goes on; a look ends. */
static void extend_window(hak_tune_t *tune, uint64_t now_ms)
{
    tune->idle++;
    if (tune->state != HAK_CYCLE_CANARY)
        return;
    tune->strategy = tune->leader;
    enter_next(tune, HAK_CYCLE_CALM, now_ms);
}

void hak_tune_window(hak_tune_t *tune, const hak_tune_totals_t *now, uint64_t now_ms, uint64_t random)
{
    if (tune->state == HAK_CYCLE_FROZEN) {
        begin_look(tune, now, now_ms, random);
        return;
    }
    hak_tune_totals_t window = totals_since(now, &tune->before);
    if (window.slow < tune->goals.min_samples) {
        extend_window(tune, now_ms);
        return;
    }
    tune->idle = 0;
    tune->windows++;
    tune->before = *now;
    double cost = cost_of(&window, hak_shape_of(&tune->shape, window.requests));
    for (unsigned i = 0; i < 3; i++)
        hak_p2_add(&tune->cost[i], cost);
    if (tune->state == HAK_CYCLE_CANARY) {
        judge_cost(tune, cost, now_ms);
        return;
    }
    tune->period_cost += cost;
    learn_from_window(tune, &window, now_ms, random);
}

uint64_t hak_tune_wait_ms(const hak_tune_t *tune)
{
    if (tune->state != HAK_CYCLE_FROZEN)
        return tune->goals.window_ms;
    uint32_t percent = tune->goals.canary_percent;
    if (percent == 0)
        return 0;
    /* Of all windows so many percent are looks; 0 would be for ever. */
    return hak_max(tune->goals.window_ms * (100 - hak_min(percent, 99)) / percent, 1);
}

bool hak_tune_is_looking(const hak_tune_t *tune)
{
    return tune->state != HAK_CYCLE_FROZEN;
}
