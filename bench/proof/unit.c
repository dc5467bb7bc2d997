/* SPDX-License-Identifier: MIT */
/* Functions for a compiler to work on; KIND selects other ones: cc1 -DKIND=1 unit.c */
#define EACH8(F, n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7)
#define EACH64(F, n)                                                                                         \
    EACH8(F, n##0)                                                                                           \
    EACH8(F, n##1) EACH8(F, n##2) EACH8(F, n##3) EACH8(F, n##4) EACH8(F, n##5) EACH8(F, n##6) EACH8(F, n##7)

#if KIND == 1
#define BODY(n)                                                                                              \
    struct pair##n {                                                                                         \
        int key, *list;                                                                                      \
    };                                                                                                       \
    int sum##n(struct pair##n *all, int count)                                                               \
    {                                                                                                        \
        int total = 0;                                                                                       \
        for (int i = 0; i < count; i++) {                                                                    \
            for (int j = 0; j < all[i].key; j++) {                                                           \
                total += all[i].list[j] * (j % 3 == 0 ? i : -i) + (all[i].key >> (j & 3));                   \
            }                                                                                                \
        }                                                                                                    \
        return total;                                                                                        \
    }
#else
#define BODY(n)                                                                                              \
    double mix##n(const double *a, double *b, unsigned length)                                               \
    {                                                                                                        \
        double state[4] = {1, 0, a[0], n};                                                                   \
        for (unsigned i = 0; i + 4 < length; i += 2) {                                                       \
            switch (i % 5) {                                                                                 \
            case 0: state[0] += a[i] * state[1]; break;                                                      \
            case 1: state[1] -= a[i + 1] / (state[2] + 2); break;                                            \
            case 2: b[i] = state[3] - state[0]; break;                                                       \
            default:                                                                                         \
                state[i % 4] = a[i + 3];                                                                     \
                b[i + 1] += state[2] * 3;                                                                    \
                break;                                                                                       \
            }                                                                                                \
        }                                                                                                    \
        return state[0] + state[1] * state[2] - state[3];                                                    \
    }
#endif

EACH64(BODY, 1)
#if KIND == 2
EACH64(BODY, 2)
#endif
