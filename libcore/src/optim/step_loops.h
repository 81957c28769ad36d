/* step_loops.h - the loops behind step.h; the including file defines TABLE. */
#include <math.h>

#include "optim/step.h"

#define LOOP _Pragma("GCC ivdep") for (int64_t i = begin; i < end; i++)

#define STEPS(T, SGD, ADAM, FMA, SQRT)                                                            \
    static void SGD(const cpr_sgd *how, int64_t begin, int64_t end, void *const *data)            \
    {                                                                                             \
        const T rate = (T)-how->rate, momentum = (T)how->momentum, decay = (T)how->decay;         \
        const bool decays = how->decay != 0.0, ahead = how->nesterov;                             \
        const T *p = data[0], *g = data[1], *v = data[2];                                         \
        T *p_out = data[3], *v_out = data[4];                                                     \
        if (!v) {                                                                                 \
            LOOP p_out[i] = FMA(decays ? FMA(p[i], decay, g[i]) : g[i], rate, p[i]);              \
            return;                                                                               \
        }                                                                                         \
        LOOP                                                                                      \
        {                                                                                         \
            const T slope = decays ? FMA(p[i], decay, g[i]) : g[i];                               \
            const T speed = FMA(v[i], momentum, slope);                                           \
            p_out[i] = FMA(ahead ? FMA(speed, momentum, slope) : speed, rate, p[i]);              \
            v_out[i] = speed;                                                                     \
        }                                                                                         \
    }                                                                                             \
                                                                                                  \
    static void ADAM(const cpr_adam *how, int64_t begin, int64_t end, void *const *data)          \
    {                                                                                             \
        const T rate = (T)-how->rate, keep = (T)how->keep, decay = (T)how->decay;                 \
        const T one = (T)how->one, rest = (T)(1.0 - how->one);                                    \
        const T two = (T)how->two, other = (T)(1.0 - how->two);                                   \
        const T epsilon = (T)how->epsilon, root = (T)how->root, mean = (T)how->mean;              \
        const bool decays = how->decay != 0.0;                                                    \
        const T *p = data[0], *g = data[1], *m = data[2], *v = data[3];                           \
        T *p_out = data[4], *m_out = data[5], *v_out = data[6];                                   \
        LOOP                                                                                      \
        {                                                                                         \
            const T kept = p[i] * keep, slope = decays ? FMA(kept, decay, g[i]) : g[i];           \
            const T first = FMA(m[i], one, slope * rest);                                         \
            const T second = FMA(v[i], two, slope * slope * other);                               \
            const T size = FMA(SQRT(second), root, epsilon);                                      \
            p_out[i] = FMA(first / size * mean, rate, kept);                                      \
            m_out[i] = first;                                                                     \
            v_out[i] = second;                                                                    \
        }                                                                                         \
    }

STEPS(float, sgd_f32, adam_f32, fmaf, sqrtf)
STEPS(double, sgd_f64, adam_f64, fma, sqrt)

const cpr_step_ops TABLE = {sgd_f32, sgd_f64, adam_f32, adam_f64};
