/* SPDX-License-Identifier: MIT */
/* elo.h: ratings of twelve strategies by the games that they won, lost and drew against each other (Elo 1961). A strategy is
 * picked before the allocations that it governs, by softmax: the better the rating the more often, none never. In double.
 * One thread at a time. */
#ifndef HAK_LEARN_ELO_H
#define HAK_LEARN_ELO_H

#include "base/types.h"

#define HAK_ELO_STRATEGIES 12u
#define HAK_ELO_FIRST      1500.0 /* every rating at first */
#define HAK_ELO_SCALE      400.0  /* so many points more win ten games of eleven */
#define HAK_ELO_K          32.0   /* points that a game moves at most */
#define HAK_ELO_HEAT       60.0   /* points more make a strategy e times as likely to be picked */

typedef struct hak_elo {
    double rating[HAK_ELO_STRATEGIES];
    uint32_t games[HAK_ELO_STRATEGIES];
} hak_elo_t;

void hak_elo_init(hak_elo_t *elo);
/* The share of the points that a player with this rating can expect against another. */
double hak_elo_expected(double rating, double other);
/* `one` got this score against `other`: 1 won, 0.5 drawn, 0 lost. */
void hak_elo_game(hak_elo_t *elo, uint32_t one, uint32_t other, double score);
/* One of them, by softmax; `random` is even over all numbers. */
uint32_t hak_elo_pick(const hak_elo_t *elo, uint64_t random);
uint32_t hak_elo_best(const hak_elo_t *elo);

#endif
