/* SPDX-License-Identifier: MIT */
/* The countdown by itself, with a bin that is two numbers: whatever malloc and free do in turns, the sampled call is exactly
 * the one that was drawn, and the bin never holds more than may be met. */
#include "obs/countdown.h"
#include "suite.h"

enum {
    ROUNDS = 20000,
    CAP = 64,
};

typedef struct bin {
    hak_countdown_t countdown;
    uint32_t blocks, frees_left;
    uint32_t outside;  /* blocks that the program has */
    uint64_t calls;    /* of malloc, since the draw */
    uint32_t expected; /* calls before the sampled one */
} bin_t;

static uint64_t random_state = 88172645463325252ull;

static uint32_t below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % n;
}

static void set(bin_t *bin, uint32_t blocks, uint32_t most)
{
    const size_t left = hak_countdown_left(&bin->countdown);
    bin->blocks = (uint32_t)hak_min(hak_min(blocks, most), left);
    bin->frees_left = hak_countdown_set(&bin->countdown, bin->blocks, CAP);
    assert_true(bin->frees_left >= 1 && bin->blocks + bin->frees_left - 1 <= left);
}

static void book(bin_t *bin)
{
    const uint32_t met = hak_countdown_met(&bin->countdown, bin->blocks, bin->frees_left);
    hak_countdown_pass(&bin->countdown, met);
    bin->countdown.booked -= met;
}

static void draw(bin_t *bin, uint32_t most)
{
    bin->expected = below(most);
    bin->calls = 0;
    bin->countdown.gap[HAK_GAP_BYTES] = bin->expected;
    bin->countdown.gap[HAK_GAP_CALLS] = HAK_GAP_NONE;
}

/* True: it was the sampled one. */
static bool take(bin_t *bin, uint32_t refill)
{
    bin->outside++;
    bin->calls++;
    if (bin->blocks != 0) {
        bin->blocks--;
        return false;
    }
    book(bin);
    const bool sampled = hak_countdown_left(&bin->countdown) == 0;
    if (!sampled) {
        hak_countdown_pass(&bin->countdown, 1);
        set(bin, below(refill), UINT32_MAX);
    }
    return sampled;
}

static void give(bin_t *bin)
{
    if (bin->outside == 0)
        return;
    bin->outside--;
    bin->blocks++;
    if (--bin->frees_left == 0) {
        book(bin);
        set(bin, bin->blocks, hak_countdown_left(&bin->countdown) / 2);
    }
}

static void test_the_sampled_call_is_the_one_that_was_drawn(void **state)
{
    (void)state;
    bin_t bin = {.blocks = 0};
    draw(&bin, 1000);
    set(&bin, 0, 0);
    uint32_t samples = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t phase = below(4), length = below(300);
        for (uint32_t i = 0; i < length; i++) {
            /* all taken, all freed, in turns, at random */
            const bool takes = phase == 0 || (phase == 2 && i % 2 == 0) || (phase == 3 && below(2) == 0);
            if (!takes) {
                give(&bin);
            } else if (take(&bin, 100)) {
                assert_int_equal(bin.calls, bin.expected + 1);
                samples++;
                draw(&bin, round % 2 == 0 ? 1000 : 5);
                set(&bin, 0, 0);
            }
        }
    }
    assert_true(samples > 1000);
}

static void test_without_a_draw_none_is_sampled(void **state)
{
    (void)state;
    bin_t bin = {.countdown = {.gap = {HAK_GAP_NONE, HAK_GAP_NONE}}};
    set(&bin, 0, 0);
    for (int i = 0; i < ROUNDS; i++) {
        assert_false(take(&bin, 100));
        give(&bin);
    }
    assert_true(hak_countdown_left(&bin.countdown) == HAK_GAP_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_sampled_call_is_the_one_that_was_drawn),
        cmocka_unit_test(test_without_a_draw_none_is_sampled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
