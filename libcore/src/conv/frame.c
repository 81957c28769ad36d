/* frame.c - an image of few channels, converted and laid into a border: frame. */
#include <string.h>

#if defined(__x86_64__)
#include <tmmintrin.h>
#endif

#include "program/kernel.h"
#include "quant/linear.h"
#include "vector/cast.h"

/* frame: what a convolution of few channels reads: channels last, padding written out.
 * operands  in f32 or u8 [N, C, H, W] any strides | scale f32 [1]? | zero_point u8 [1]? |
 *           out f32, bf16 or u8 [N, K, OH, OW], channels last and dense; K: C, up to whole words of 4 bytes,
 *           or of u8 C as it is
 * args      top, left: where pixel (0, 0) of the image goes | fill: an element of the border, and of
 *           channels from C on (u8: 0 to 255, else 0)
 * A u8 image becomes a u8 frame; an f32 image an f32 or bf16 one, or with a scale a u8 one, as
 * quantize_linear would have it. */
enum { IN, SCALE, ZERO, OUT };
enum { TOP, LEFT, FILL, N_ARGS };

static int64_t size_of(int32_t dtype)
{
    return dtype == CPR_F32 ? 4 : dtype == CPR_BF16 ? 2 : 1;
}

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "frame";
    CPR_REQUIRE(name, op->n_tensors == 4 && op->n_args == N_ARGS && op->tensor[IN] && op->tensor[OUT]);
    const cpr_tensor *in = op->tensor[IN], *scale = op->tensor[SCALE], *zero = op->tensor[ZERO], *out = op->tensor[OUT];
    const bool codes = out->dtype == CPR_U8;
    CPR_REQUIRE(name, in->rank == 4 && out->rank == 4 && cpr_is_output(out) && in->dim[0] == out->dim[0]);
    CPR_REQUIRE(name, out->dtype == CPR_F32 || out->dtype == CPR_BF16 || codes);
    CPR_REQUIRE(name, in->dtype == (codes && !scale ? CPR_U8 : CPR_F32));
    CPR_REQUIRE(name, !scale || (codes && scale->dtype == CPR_F32 && cpr_elements(scale) == 1));
    CPR_REQUIRE(name, !zero || (scale && zero->dtype == CPR_U8 && cpr_elements(zero) == 1));
    const int64_t size = size_of(out->dtype), word = 4 / size;
    CPR_REQUIRE(name, out->dim[1] == (in->dim[1] + word - 1) / word * word || (codes && out->dim[1] == in->dim[1]));
    CPR_REQUIRE(name, op->args[FILL] >= 0 && op->args[FILL] <= (codes ? 255 : 0));
    if (cpr_elements(out) == 0)
        return CPR_OK;
    const int64_t dense[4] = {out->dim[3] * out->dim[2] * out->dim[1], 1, out->dim[3] * out->dim[1], out->dim[1]};
    for (int32_t i = 0; i < 4; i++)
        CPR_REQUIRE(name, out->dim[i] <= 1 || out->stride[i] == dense[i]);
    for (int32_t i = TOP; i <= LEFT; i++)
        CPR_REQUIRE(name, op->args[i] >= 0 && op->args[i] <= out->dim[2 + i] && in->dim[2 + i] <= out->dim[2 + i] - op->args[i]);
    *scratch_bytes = in->dim[3] * (4 + size * out->dim[1]);
    return CPR_OK;
}

/* The channels of a line, each dense: channel c lies at `at + c * step`. */
typedef struct {
    const char *at;
    int64_t step;
} planes;

static planes convert(const cpr_op *op, const char *x, char *scratch)
{
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    const int64_t width = in->dim[3], from_size = size_of(in->dtype), size = size_of(out->dtype);
    const bool is_dense = in->stride[3] == 1 || width == 1;
    if (is_dense && out->dtype == CPR_F32)
        return (planes){x, in->stride[1] * 4};
    char *plane = scratch + width * 4;
    const planes found = {plane, width * size};
    cpr_core *cast = NULL;
    if (op->tensor[SCALE])
        cast = ((const cpr_linear_ops *)CPR_PICK(cpr_linear))->quantize[0];
    else if (in->dtype != out->dtype)
        cast = CPR_PICK(cpr_cast)->from_to[cpr_cast_index(CPR_F32)][cpr_cast_index(CPR_BF16)];
    static const uint8_t none;
    for (int64_t c = 0; c < in->dim[1]; c++, plane += width * size) {
        const char *line = x + c * in->stride[1] * from_size;
        if (!is_dense) {
            char *gathered = cast ? scratch : plane;
            for (int64_t i = 0; i < width; i++)
                memcpy(gathered + i * from_size, line + i * in->stride[3] * from_size, (size_t)from_size);
            line = gathered;
        } else if (!cast)
            memcpy(plane, line, (size_t)(width * size));
        if (op->tensor[SCALE])
            cast(NULL, width, (char *const[]){(char *)line, op->data[SCALE], op->tensor[ZERO] ? op->data[ZERO] : (char *)&none, plane}, 6);
        else if (cast)
            cast(NULL, width, (char *const[]){(char *)line, plane}, 0);
    }
    memset(plane, (int)op->args[FILL], (size_t)((out->dim[1] - in->dim[1]) * width * size));
    return found;
}

/* A picture comes from far away, a short line of each channel at a time: fetch what is some lines ahead.
 * In ResNet50 a frame of codes takes 28 us instead of 70.  Not inline it would have no effect at all: GCC
 * drops calls of functions that only fetch. */
static inline __attribute__((always_inline)) void fetch(const cpr_tensor *in, const char *x)
{
    enum { LINES = 4, LINE = 64 };
    const int64_t size = size_of(in->dtype), bytes = in->dim[3] * size;
    if (in->stride[3] != 1)
        return;
    for (int64_t c = 0; c < in->dim[1]; c++) {
        const uintptr_t ahead = (uintptr_t)x + (uintptr_t)((c * in->stride[1] + LINES * in->stride[2]) * size);
        for (int64_t i = 0; i < bytes; i += LINE)
            __builtin_prefetch((const void *)(ahead + (uintptr_t)i));
    }
}

/* Four bytes of a pixel, wherever they may lie. */
typedef uint32_t word_of __attribute__((may_alias, aligned(1)));

static void lay_f32(planes p, int64_t width, int64_t words, word_of *restrict y)
{
    if (words == 3) {
        const word_of *a = (const word_of *)p.at, *b = (const word_of *)(p.at + p.step), *c = (const word_of *)(p.at + 2 * p.step);
        for (int64_t i = 0; i < width; i++) {
            y[3 * i] = a[i];
            y[3 * i + 1] = b[i];
            y[3 * i + 2] = c[i];
        }
        return;
    }
    for (int64_t q = 0; q < words; q++) {
        const word_of *a = (const word_of *)(p.at + q * p.step);
        for (int64_t i = 0; i < width; i++)
            y[i * words + q] = a[i];
    }
}

static void lay_bf16(planes p, int64_t width, int64_t words, word_of *restrict y)
{
    for (int64_t q = 0; q < words; q++) {
        const uint16_t *a = (const uint16_t *)(p.at + 2 * q * p.step), *b = a + width;
        if (words == 2)
            for (int64_t i = 0; i < width; i++)
                y[2 * i + q] = a[i] | (uint32_t)b[i] << 16;
        else
            for (int64_t i = 0; i < width; i++)
                y[i * words + q] = a[i] | (uint32_t)b[i] << 16;
    }
}

static void lay_u8(planes p, int64_t width, int64_t words, word_of *restrict y)
{
    for (int64_t q = 0; q < words; q++) {
        const uint8_t *a = (const uint8_t *)p.at + 4 * q * p.step, *b = a + width, *c = b + width, *d = c + width;
        if (words == 1)
            for (int64_t i = 0; i < width; i++)
                y[i] = a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
        else
            for (int64_t i = 0; i < width; i++)
                y[i * words + q] = a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;
    }
}

/* Channels that fill no words, a byte of each. */
static void lay_apart_u8(planes p, int64_t width, int64_t channels, char *y)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < width; i++)
            y[i * channels + c] = p.at[c * p.step + i];
}

#if defined(__x86_64__)
/* Where the bytes of 16 pixels come from, by register of the result and channel. */
static const int8_t three_from[3][3][16] = {
    {{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
     {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
     {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1}},
    {{-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
     {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
     {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1}},
    {{-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
     {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
     {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}}};

__attribute__((target("ssse3"))) static int64_t lay_three_vectors(const uint8_t *a, const uint8_t *b, const uint8_t *c,
                                                                  int64_t width, char *y)
{
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(a + i)), z = _mm_loadu_si128((const __m128i *)(b + i));
        const __m128i v = _mm_loadu_si128((const __m128i *)(c + i));
        for (int32_t part = 0; part < 3; part++) {
            const __m128i *from = (const __m128i *)three_from[part];
            const __m128i two = _mm_or_si128(_mm_shuffle_epi8(x, _mm_loadu_si128(from)), _mm_shuffle_epi8(z, _mm_loadu_si128(from + 1)));
            _mm_storeu_si128((__m128i *)(y + 3 * i + 16 * part), _mm_or_si128(two, _mm_shuffle_epi8(v, _mm_loadu_si128(from + 2))));
        }
    }
    return i;
}
#endif

/* Three channels: the usual picture. */
static void lay_three_u8(planes p, int64_t width, char *y)
{
    const uint8_t *a = (const uint8_t *)p.at, *b = a + p.step, *c = b + p.step;
    int64_t i = 0;
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX2)
        i = lay_three_vectors(a, b, c, width, y);
#endif
    for (; i < width; i++) {
        y[3 * i] = (char)a[i];
        y[3 * i + 1] = (char)b[i];
        y[3 * i + 2] = (char)c[i];
    }
}

/* One line's pixels, as the frame has them. */
static void lay(const cpr_tensor *out, planes p, int64_t width, char *y)
{
    const int64_t channels = out->dim[1], words = channels * size_of(out->dtype) / 4;
    if (out->dtype == CPR_F32)
        lay_f32(p, width, words, (word_of *)y);
    else if (out->dtype == CPR_BF16)
        lay_bf16(p, width, words, (word_of *)y);
    else if (channels % 4 == 0)
        lay_u8(p, width, words, (word_of *)y);
    else
        channels == 3 ? lay_three_u8(p, width, y) : lay_apart_u8(p, width, channels, y);
}

/* Lines [begin, end) of the frame, counted over n and oh. */
static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[IN], *out = op->tensor[OUT];
    const int64_t size = size_of(out->dtype), pixel = out->dim[1] * size, line = out->dim[3] * pixel;
    const int64_t left = op->args[LEFT] * pixel, inner = in->dim[3] * pixel;
    const int fill = (int)op->args[FILL];
    const bool is_laid = in->dtype == out->dtype && in->dim[1] == out->dim[1] && (in->stride[1] == 1 || in->dim[1] == 1) &&
                         in->stride[3] == in->dim[1];
    for (int64_t unit = begin; unit < end; unit++) {
        char *y = (char *)op->data[OUT] + unit * line;
        const int64_t ih = unit % out->dim[2] - op->args[TOP];
        if (ih < 0 || ih >= in->dim[2] || !inner) {
            memset(y, fill, (size_t)line);
            continue;
        }
        const char *x = (const char *)op->data[IN] + (unit / out->dim[2] * in->stride[0] + ih * in->stride[2]) * size_of(in->dtype);
        memset(y, fill, (size_t)left);
        if (is_laid)
            memcpy(y + left, x, (size_t)inner);
        else {
            fetch(in, x);
            const planes p = convert(op, x, op->scratch + worker * op->scratch_stride);
            lay(out, p, in->dim[3], y + left);
        }
        memset(y + left + inner, fill, (size_t)(line - left - inner));
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    if (cpr_elements(out) > 0)
        cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 8), out->dim[0] * out->dim[2], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_frame = {"frame", check, run};
