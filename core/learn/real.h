/* SPDX-License-Identifier: MIT */
/* real.h: the three functions of real numbers that the learners need, without libm: the library is linked with libc alone. In
 * double throughout, right to about 1e-12 of the value (tests/unit/learn.c compares with libm). No infinity and no NaN comes
 * out. */
#ifndef HAK_LEARN_REAL_H
#define HAK_LEARN_REAL_H

#include "base/types.h"

/* The natural logarithm; of what is not above 0: that of the smallest normal number. */
double hak_real_ln(double x);
/* e to the x, for x from -700 to 700; beyond them as at them. */
double hak_real_exp(double x);
/* The square root; 0 of what is not above 0. */
double hak_real_sqrt(double x);

#endif
