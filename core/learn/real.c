/* SPDX-License-Identifier: MIT */
/* real.c: see real.h. No state. */
#include "learn/real.h"

#define LN2      0.693147180559945309
#define SQRT2    1.41421356237309505
#define SMALLEST 2.2250738585072014e-308 /* normal number */
#define BIAS     1023                    /* of the exponent in a double */
#define FRACTION 52                      /* bits below it */

typedef union bits {
    double number;
    uint64_t word;
} bits_t;

static double power_of_two(int exponent)
{
    bits_t bits = {.word = (uint64_t)(exponent + BIAS) << FRACTION};
    return bits.number;
}

double hak_real_ln(double x)
{
    bits_t bits = {.number = x > SMALLEST ? x : SMALLEST};
    int exponent = (int)(bits.word >> FRACTION) - BIAS;
    bits.word = (bits.word & (((uint64_t)1 << FRACTION) - 1)) | (uint64_t)BIAS << FRACTION;
    double m = bits.number; /* 1 to 2; then 0.7 to 1.4 */
    if (m > SQRT2) {
        m /= 2;
        exponent++;
    }
    double s = (m - 1) / (m + 1), square = s * s, sum = 0;
    for (int n = 23; n >= 1; n -= 2) /* ln m = 2 (s + s^3/3 + s^5/5 + ...); s^2 is below 0.03 */
        sum = sum * square + 1.0 / n;
    return exponent * LN2 + 2 * s * sum;
}

double hak_real_exp(double x)
{
    x = x < -700 ? -700 : x > 700 ? 700 : x;
    int whole = (int)(x / LN2 + (x < 0 ? -0.5 : 0.5));
    double rest = x - whole * LN2, sum = 1;
    for (int n = 16; n >= 1; n--) /* 1 + r + r^2/2! + ...; r is below 0.35 */
        sum = 1 + sum * rest / n;
    return sum * power_of_two(whole);
}

double hak_real_sqrt(double x)
{
    return x > 0 ? hak_real_exp(hak_real_ln(x) / 2) : 0;
}
