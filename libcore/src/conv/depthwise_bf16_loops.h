/* depthwise_bf16_loops.h - the lines behind depthwise_bf16.h.
 *
 * The including file defines LINES (the function), LANES, `vector` (LANES floats), `pairs` (as
 * many pairs of bfloat16), and load, even, odd, read, all, fused, clipped, store on them.
 */
#define FN static inline __attribute__((always_inline))
#define EACH_PIXEL _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)

/* The channels that one register of pairs covers. */
typedef struct {
    const float *w;      /* of the first tap; one tap to the next: a block */
    vector start[2];
    int64_t at, left;    /* bytes from a pixel's first channel; channels that there are */
} part;

FN void finish(const cpr_depthwise_bf16 *d, const part *p, vector sum[2], char *to)
{
    store(to + p->at, clipped(sum[0], d->low, d->high), clipped(sum[1], d->low, d->high), p->left);
}

/* Up to 4 pixels that share the columns between them: window K wide, stride S, no dilation.  x is
 * the first column; `inside`: all of them are in the image. */
FN void four(const int K, const int S, const bool inside, const cpr_depthwise_bf16 *d, const cpr_bf16_line *l,
             const part *p, int64_t x, int64_t n, char *to)
{
    vector sum[4][2];
    EACH_PIXEL sum[i][0] = p->start[0], sum[i][1] = p->start[1];
    const float *w = p->w;
    for (int64_t k = 0; k < d->kernel_h; k++, w += K * CPR_DEPTHWISE_BLOCK) {
        if (!l->row[k])
            continue;
        const char *from = l->row[k] + p->at + x * l->step;
        vector wk[5][2];
        _Pragma("GCC unroll 5") for (int t = 0; t < K; t++)
        {
            wk[t][0] = read(w + t * CPR_DEPTHWISE_BLOCK);
            wk[t][1] = read(w + t * CPR_DEPTHWISE_BLOCK + CPR_DEPTHWISE_BLOCK / 2);
        }
        _Pragma("GCC unroll 11") for (int c = 0; c < 3 * S + K; c++)
        {
            if (!inside && (uint64_t)(x + c) >= (uint64_t)l->width)
                continue;
            const pairs both = load(from + c * l->step, p->left);
            const vector a = even(both), b = odd(both);
            EACH_PIXEL
            {
                const int t = c - i * S;
                if (t >= 0 && t < K) {
                    sum[i][0] = fused(a, wk[t][0], sum[i][0]);
                    sum[i][1] = fused(b, wk[t][1], sum[i][1]);
                }
            }
        }
    }
    EACH_PIXEL
        if (i < n)
            finish(d, p, sum[i], to + i * l->out_step);
}

/* One pixel of any window. */
FN void one(const cpr_depthwise_bf16 *d, const cpr_bf16_line *l, const part *p, int64_t x, char *to)
{
    vector sum[2] = {p->start[0], p->start[1]};
    for (int64_t k = 0; k < d->kernel_h; k++)
        for (int64_t t = 0; l->row[k] && t < d->kernel_w; t++) {
            const int64_t column = x + t * d->dilation;
            if (column < 0 || column >= l->width)
                continue;
            const float *w = p->w + (k * d->kernel_w + t) * CPR_DEPTHWISE_BLOCK;
            const pairs both = load(l->row[k] + p->at + column * l->step, p->left);
            sum[0] = fused(even(both), read(w), sum[0]);
            sum[1] = fused(odd(both), read(w + CPR_DEPTHWISE_BLOCK / 2), sum[1]);
        }
    finish(d, p, sum, to);
}

/* Registers of channels next to each other: the processor fetches ahead along a pixel. */
enum { PARTS = 4 };

#define SHARED(K, S)                                                                     \
    static __attribute__((noinline)) void line_##K##_##S(                                \
        const cpr_depthwise_bf16 *d, const cpr_bf16_line *l, const part *p, int n_parts) \
    {                                                                                    \
        for (int64_t i = 0; i < l->n; i += 4) {                                          \
            const int64_t x = l->first + i * S, n = l->n - i;                            \
            char *to = l->out + i * l->out_step;                                         \
            const bool inside = x >= 0 && x + 3 * S + K <= l->width;                     \
            for (int k = 0; k < n_parts; k++)                                            \
                if (inside)                                                              \
                    four(K, S, true, d, l, &p[k], x, n, to);                             \
                else                                                                     \
                    four(K, S, false, d, l, &p[k], x, n, to);                            \
        }                                                                                \
    }

SHARED(3, 1)
SHARED(3, 2)
SHARED(5, 1)
SHARED(5, 2)

static void do_line(const cpr_depthwise_bf16 *d, const cpr_bf16_line *l, const part *p, int n_parts)
{
    const int64_t kind = d->dilation == 1 && d->stride <= 2 ? 2 * d->kernel_w + d->stride : 0;
    switch (kind) {
    case 7: line_3_1(d, l, p, n_parts); break;
    case 8: line_3_2(d, l, p, n_parts); break;
    case 11: line_5_1(d, l, p, n_parts); break;
    case 12: line_5_2(d, l, p, n_parts); break;
    default:
        for (int64_t i = 0; i < l->n; i++)
            for (int k = 0; k < n_parts; k++)
                one(d, l, &p[k], l->first + i * d->stride, l->out + i * l->out_step);
    }
}

/* The channels from c on. */
static part part_at(const cpr_depthwise_bf16 *d, int64_t c)
{
    const int64_t block = c / CPR_DEPTHWISE_BLOCK, inner = c % CPR_DEPTHWISE_BLOCK / 2;
    const float *bias = d->bias ? d->bias + block * CPR_DEPTHWISE_BLOCK + inner : NULL;
    return (part){
        .w = d->weights + block * d->kernel_h * d->kernel_w * CPR_DEPTHWISE_BLOCK + inner,
        .start = {bias ? read(bias) : all(0.0f), bias ? read(bias + CPR_DEPTHWISE_BLOCK / 2) : all(0.0f)},
        .at = c * 2,
        .left = d->channels - c,
    };
}

void LINES(const cpr_depthwise_bf16 *d, const cpr_bf16_line *lines, int64_t n)
{
    for (int64_t c = 0; c < d->channels;) {
        part p[PARTS];
        int n_parts = 0;
        for (; n_parts < PARTS && c < d->channels; n_parts++, c += 2 * LANES)
            p[n_parts] = part_at(d, c);
        for (int64_t i = 0; i < n; i++)
            do_line(d, &lines[i], p, n_parts);
    }
}
