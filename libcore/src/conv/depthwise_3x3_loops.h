/* depthwise_3x3_loops.h - depthwise 3 x 3: a register of channels, 4 pixels that share the columns
 * between them.
 *
 * The file that includes it defines the type vec, WIDTH (its channels) and, with lanes as made by
 * lanes_of(channels left), load(all, lanes, from) where all says that none is left out, store(to,
 * left, lanes, x), zero(), every(x), fma(a, b, c), bounded(low, high, x), and NAME, the function's.
 */
#include "conv/depthwise_f32.h"

enum { GROUP = 4 };

#define EACH_PIXEL _Pragma("GCC unroll 4") for (int i = 0; i < N; i++)
#define EACH_TAP _Pragma("GCC unroll 3") for (int kw = 0; kw < 3; kw++)

typedef struct {
    vec w[3][3], start, low, high;
    mask lanes;
    int64_t left; /* channels from the first of these on */
} block;

/* N pixels whose windows lie inside the lines; from[k] is the first column of line k. */
static inline __attribute__((always_inline)) void inside(const int N, const int S, const bool all, const block *b,
                                                         const char *const *from, const int64_t *step, float *out, int64_t ldc)
{
    vec sum[GROUP];
    EACH_PIXEL sum[i] = b->start;
    _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++) {
        vec x[2 * GROUP + 1];
        _Pragma("GCC unroll 9") for (int i = 0; i < (N - 1) * S + 3; i++)
            x[i] = load(all, b->lanes, (const float *)(from[k] + i * step[k]));
        EACH_PIXEL EACH_TAP sum[i] = fma(x[i * S + kw], b->w[k][kw], sum[i]);
    }
    EACH_PIXEL store(out + i * ldc, b->left, b->lanes, bounded(b->low, b->high, sum[i]));
}

/* One pixel at a side of the image. */
static void beside(const block *b, const cpr_depthwise_line *line, const char *const *from, const int64_t *step,
                   const char *padding, int64_t x, float *out)
{
    vec sum = b->start;
    for (int k = 0; k < 3; k++)
        EACH_TAP {
            const bool on = x + kw >= 0 && x + kw < line->width;
            const char *at = on ? from[k] + (x + kw) * step[k] : padding;
            sum = fma(load(false, b->lanes, (const float *)at), b->w[k][kw], sum);
        }
    store(out, b->left, b->lanes, bounded(b->low, b->high, sum));
}

static inline __attribute__((always_inline)) void do_line(const int S, const bool all, const block *b,
                                                          const cpr_depthwise_line *line, int64_t c)
{
    const char *from[3], *at[3], *padding = line->padding + c * (int64_t)sizeof(float);
    int64_t step[3];
    for (int k = 0; k < 3; k++) {
        from[k] = line->line[k] ? line->line[k] + c * (int64_t)sizeof(float) : padding;
        step[k] = line->line[k] ? line->step : 0;
    }
    const int64_t ldc = line->ldc / (int64_t)sizeof(float);
    float *out = (float *)line->out + c;
    for (int64_t i = 0; i < line->n;) {
        const int64_t x = line->first + i * S;
        for (int k = 0; k < 3; k++)
            at[k] = from[k] + x * step[k];
        if (x >= 0 && x + (GROUP - 1) * S + 3 <= line->width && i + GROUP <= line->n) {
            inside(GROUP, S, all, b, at, step, out + i * ldc, ldc);
            i += GROUP;
        } else {
            beside(b, line, from, step, padding, x, out + i * ldc);
            i++;
        }
    }
}

void NAME(int64_t channels, const cpr_depthwise_line *lines, int64_t n, const float *w, const float *bias, float low,
          float high)
{
    block b = {.low = every(low), .high = every(high)};
    for (int64_t c = 0; c < channels; c += WIDTH) {
        b.left = channels - c;
        b.lanes = lanes_of(b.left);
        b.start = bias ? load(false, b.lanes, bias + c) : zero();
        for (int k = 0; k < 3; k++)
            EACH_TAP b.w[k][kw] = load(false, b.lanes, w + (3 * k + kw) * channels + c);
        for (int64_t i = 0; i < n; i++) {
            /* Plain loads become operands, again and again where columns are shared: in lines of
             * stride 1, that takes up to a tenth longer; in those of stride 2 a tenth less. */
            if (lines[i].stride == 1)
                do_line(1, false, &b, &lines[i], c);
            else if (b.left >= WIDTH)
                do_line(2, true, &b, &lines[i], c);
            else
                do_line(2, false, &b, &lines[i], c);
        }
    }
}
