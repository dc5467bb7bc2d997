/* SPDX-License-Identifier: MIT */
/* p2.c: see p2.h. No state. */
#include "learn/p2.h"

#define LAST (HAK_P2_MARKERS - 1)

void hak_p2_init(hak_p2_t *p2, double part)
{
    *p2 = (hak_p2_t){.part = part};
}

/* One of the first five: kept sorted. */
static void add_first(hak_p2_t *p2, double number)
{
    unsigned at = (unsigned)p2->count;
    for (; at > 0 && p2->height[at - 1] > number; at--)
        p2->height[at] = p2->height[at - 1];
    p2->height[at] = number;
    if (p2->count != LAST)
        return;
    const double steps[HAK_P2_MARKERS] = {0, 2 * p2->part, 4 * p2->part, 2 + 2 * p2->part, 4};
    for (unsigned i = 0; i < HAK_P2_MARKERS; i++) {
        p2->place[i] = i + 1;
        p2->wanted[i] = 1 + steps[i];
    }
}

/* The marker's height if it moves by `step`, along the parabola; or along a line, where that would cross a neighbour. */
static double moved_height(const hak_p2_t *p2, unsigned i, double step)
{
    const double *h = p2->height, *n = p2->place;
    double up = (n[i] - n[i - 1] + step) * (h[i + 1] - h[i]) / (n[i + 1] - n[i]);
    double down = (n[i + 1] - n[i] - step) * (h[i] - h[i - 1]) / (n[i] - n[i - 1]);
    double height = h[i] + step / (n[i + 1] - n[i - 1]) * (up + down);
    if (h[i - 1] < height && height < h[i + 1])
        return height;
    unsigned to = step > 0 ? i + 1 : i - 1;
    return h[i] + step * (h[to] - h[i]) / (n[to] - n[i]);
}

static void move_marker(hak_p2_t *p2, unsigned i)
{
    double off = p2->wanted[i] - p2->place[i];
    bool up = off >= 1 && p2->place[i + 1] - p2->place[i] > 1;
    bool down = off <= -1 && p2->place[i] - p2->place[i - 1] > 1;
    if (!up && !down)
        return;
    double step = up ? 1 : -1;
    p2->height[i] = moved_height(p2, i, step);
    p2->place[i] += step;
}

static void add_later(hak_p2_t *p2, double number)
{
    if (number < p2->height[0])
        p2->height[0] = number;
    if (number > p2->height[LAST])
        p2->height[LAST] = number;
    p2->place[LAST] += 1;
    for (unsigned i = 1; i < LAST; i++)
        if (number < p2->height[i])
            p2->place[i] += 1;
    const double steps[HAK_P2_MARKERS] = {0, p2->part / 2, p2->part, (1 + p2->part) / 2, 1};
    for (unsigned i = 0; i < HAK_P2_MARKERS; i++)
        p2->wanted[i] += steps[i];
    for (unsigned i = 1; i < LAST; i++)
        move_marker(p2, i);
}

void hak_p2_add(hak_p2_t *p2, double number)
{
    if (p2->count < HAK_P2_MARKERS)
        add_first(p2, number);
    else
        add_later(p2, number);
    p2->count++;
}

double hak_p2_value(const hak_p2_t *p2)
{
    if (p2->count == 0)
        return 0;
    if (p2->count > HAK_P2_MARKERS)
        return p2->height[2];
    uint64_t at = (uint64_t)((double)(p2->count - 1) * p2->part + 0.5);
    return p2->height[at];
}

void hak_p2_values(const hak_p2_t *p2, unsigned count, double *values)
{
    for (unsigned i = 0; i < count; i++) {
        values[i] = hak_p2_value(&p2[i]);
        if (i > 0 && values[i] < values[i - 1])
            values[i] = values[i - 1];
    }
}
