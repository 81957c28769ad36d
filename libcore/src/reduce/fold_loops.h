/* fold_loops.h - folding with sixteen partials, see reduce.h; for loops_<isa> files. */
#ifndef CPR_FOLD_LOOPS_H
#define CPR_FOLD_LOOPS_H

#include "reduce/reduce.h"
#include "vector/math_loops.h"
#include "vector/parts.h"

CPR_FN float pick_max(float a, float x) { return x > a || x != x ? x : a; }
CPR_FN float pick_min(float a, float x) { return x < a || x != x ? x : a; }

/* one: the new partial from partial a and element x; part: the same on registers. */
#define FOLD(name, one, part)                                                                \
    static __attribute__((unused)) void row_##name(float *partials, const float *xs, int64_t n, int64_t phase)       \
    {                                                                                        \
        int64_t i = 0;                                                                       \
        for (; i < n && (i + phase) % CPR_PARTIALS; i++) {                                   \
            const float x = xs[i], a = partials[(i + phase) % CPR_PARTIALS];                 \
            partials[(i + phase) % CPR_PARTIALS] = (one);                                    \
        }                                                                                    \
        if (i + CPR_PARTIALS <= n) {                                                         \
            vf sums[PARTS];                                                                  \
            EACH_PART(k) sums[k] = PART(partials, k);                                        \
            for (; i + CPR_PARTIALS <= n; i += CPR_PARTIALS)                                 \
                EACH_PART(k)                                                                 \
                {                                                                            \
                    const vf x = CONST_PART(xs + i, k), a = sums[k];                         \
                    sums[k] = (part);                                                        \
                }                                                                            \
            EACH_PART(k) PART(partials, k) = sums[k];                                        \
        }                                                                                    \
        for (int64_t j = 0; i < n; i++, j++) {                                               \
            const float x = xs[i], a = partials[j];                                          \
            partials[j] = (one);                                                             \
        }                                                                                    \
    }                                                                                        \
    static __attribute__((unused)) void lanes_##name(float *lanes, const float *xs, int64_t n)                       \
    {                                                                                        \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)                                 \
        {                                                                                    \
            const float x = xs[i], a = lanes[i];                                             \
            lanes[i] = (one);                                                                \
        }                                                                                    \
    }

FOLD(sum, a + x, a + x)
FOLD(sum_square, a + x * x, a + x * x)
FOLD(l1, a + fabsf(x), a + (vf)((mf)x & 0x7fffffff))
FOLD(prod, a *x, a *x)
FOLD(max, pick_max(a, x), PICK((x > a) | (x != x), x, a))
FOLD(min, pick_min(a, x), PICK((x < a) | (x != x), x, a))

/* As row_sum, of (x - mean)^2. */
static __attribute__((unused)) void row_deviation(float *partials, const float *x, int64_t n, int64_t phase,
                                                  float mean)
{
    int64_t i = 0;
    for (; i < n && (i + phase) % CPR_PARTIALS; i++)
        partials[(i + phase) % CPR_PARTIALS] += (x[i] - mean) * (x[i] - mean);
    vf sums[PARTS];
    EACH_PART(k) sums[k] = PART(partials, k);
    for (; i + CPR_PARTIALS <= n; i += CPR_PARTIALS)
        EACH_PART(k)
        {
            const vf d = CONST_PART(x + i, k) - mean;
            sums[k] += d * d;
        }
    EACH_PART(k) PART(partials, k) = sums[k];
    for (int64_t j = 0; i < n; i++, j++)
        partials[j] += (x[i] - mean) * (x[i] - mean);
}

/* The tree on sixteen partials, as in cpr_fold_tree. */
CPR_FN float sum_of_partials(float *p)
{
    /* Written out: a loop over the halves would stay one. */
#define HALVE_SUM(half) \
    for (int64_t j = 0; j < half; j++) p[j] += p[j + half];
    HALVE_SUM(8) HALVE_SUM(4) HALVE_SUM(2) HALVE_SUM(1)
    return p[0];
}

#endif
