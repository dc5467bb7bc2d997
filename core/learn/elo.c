/* SPDX-License-Identifier: MIT */
/* elo.c: see elo.h. No state. */
#include "learn/elo.h"

#include "learn/real.h"

#define LN10 2.30258509299404568

void hak_elo_init(hak_elo_t *elo)
{
    for (uint32_t i = 0; i < HAK_ELO_STRATEGIES; i++) {
        elo->rating[i] = HAK_ELO_FIRST;
        elo->games[i] = 0;
    }
}

double hak_elo_expected(double rating, double other)
{
    return 1 / (1 + hak_real_exp((other - rating) / HAK_ELO_SCALE * LN10));
}

void hak_elo_game(hak_elo_t *elo, uint32_t one, uint32_t other, double score)
{
    double points = HAK_ELO_K * (score - hak_elo_expected(elo->rating[one], elo->rating[other]));
    elo->rating[one] += points;
    elo->rating[other] -= points;
    elo->games[one]++;
    elo->games[other]++;
}

uint32_t hak_elo_best(const hak_elo_t *elo)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < HAK_ELO_STRATEGIES; i++)
        if (elo->rating[i] > elo->rating[best])
            best = i;
    return best;
}

uint32_t hak_elo_pick(const hak_elo_t *elo, uint64_t random)
{
    double most = elo->rating[hak_elo_best(elo)], weight[HAK_ELO_STRATEGIES], sum = 0;
    for (uint32_t i = 0; i < HAK_ELO_STRATEGIES; i++) {
        weight[i] = hak_real_exp((elo->rating[i] - most) / HAK_ELO_HEAT); /* 0 to 1 */
        sum += weight[i];
    }
    double left = (double)(random >> 11) / (double)((uint64_t)1 << 53) * sum;
    uint32_t picked = 0;
    for (; picked < HAK_ELO_STRATEGIES - 1 && left >= weight[picked]; picked++)
        left -= weight[picked];
    return picked;
}
