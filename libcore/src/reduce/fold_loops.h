/* fold_loops.h - folding with sixteen partials, see reduce.h; for loops_<isa> files. */
#ifndef CPR_FOLD_LOOPS_H
#define CPR_FOLD_LOOPS_H

#include "reduce/reduce.h"
#include "vector/math_loops.h"

/* Sixteen floats: one zmm, two ymm or four xmm registers, the same arithmetic in each. */
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t m16 __attribute__((vector_size(64), aligned(4), may_alias));

CPR_FN float pick_max(float a, float x) { return x > a || x != x ? x : a; }
CPR_FN float pick_min(float a, float x) { return x < a || x != x ? x : a; }

/* Where the mask is set x, elsewhere a. */
#define PICK(mask, x, a) ((v16)(((m16)(x) & (mask)) | ((m16)(a) & ~(mask))))

/* one: the new partial from partial a and element x; sixteen: the same on v16. */
#define FOLD(name, one, sixteen)                                                             \
    static __attribute__((unused)) void row_##name(float *partials, const float *xs, int64_t n, int64_t phase)       \
    {                                                                                        \
        int64_t i = 0;                                                                       \
        for (; i < n && (i + phase) % CPR_PARTIALS; i++) {                                   \
            const float x = xs[i], a = partials[(i + phase) % CPR_PARTIALS];                 \
            partials[(i + phase) % CPR_PARTIALS] = (one);                                    \
        }                                                                                    \
        if (i + CPR_PARTIALS <= n) {                                                         \
            v16 a = *(const v16 *)partials;                                                  \
            for (; i + CPR_PARTIALS <= n; i += CPR_PARTIALS) {                               \
                const v16 x = *(const v16 *)(xs + i);                                        \
                a = (sixteen);                                                               \
            }                                                                                \
            *(v16 *)partials = a;                                                            \
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
FOLD(l1, a + fabsf(x), a + (v16)((m16)x & 0x7fffffff))
FOLD(prod, a *x, a *x)
FOLD(max, pick_max(a, x), PICK((x > a) | (x != x), x, a))
FOLD(min, pick_min(a, x), PICK((x < a) | (x != x), x, a))

/* The tree on v16, as in cpr_fold_tree. */
CPR_FN float sum_of_partials(float *p)
{
    /* Written out: a loop over the halves would stay one. */
#define HALVE_SUM(half) \
    for (int64_t j = 0; j < half; j++) p[j] += p[j + half];
    HALVE_SUM(8) HALVE_SUM(4) HALVE_SUM(2) HALVE_SUM(1)
    return p[0];
}

#endif
