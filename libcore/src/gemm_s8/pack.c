/* pack.c - bringing signed bytes into quads of k and panels of 16 columns: pack_s8. */
#include <string.h>

#include "gemm_s8/gemm_s8.h"

#if defined(__SSE2__) /* every x86-64 */
#include <emmintrin.h>
#endif

/* pack_s8: operands B [batch, taps, k, n] s8 any strides |
 *          packed s8 [batch, panels, taps, quads, 16, 4] contiguous |
 *          start s32 [panels * 16] (batch 1 only) or left out: -zero * the sum of each column
 * args     zero (with start)
 * Columns past n and k past the last are zeros. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_s8";
    (void)scratch_bytes;
    CPR_REQUIRE(name, (op->n_tensors == 2 || op->n_tensors == 3) && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_S8 && in->rank == 4 && out->dtype == CPR_S8 && out->rank == 6);
    CPR_REQUIRE(name, cpr_is_contiguous(out) && out->dim[4] == CPR_PANEL && out->dim[5] == 4);
    CPR_REQUIRE(name, out->dim[0] == in->dim[0] && out->dim[2] == in->dim[1]);
    CPR_REQUIRE(name, out->dim[3] == (in->dim[2] + 3) / 4 && out->dim[1] == (in->dim[3] + CPR_PANEL - 1) / CPR_PANEL);
    if (op->n_tensors == 3) {
        const cpr_tensor *start = op->tensor[2];
        CPR_REQUIRE(name, start && start->dtype == CPR_S32 && cpr_is_contiguous(start) && op->n_args == 1);
        CPR_REQUIRE(name, in->dim[0] == 1 && start->rank == 1 && start->dim[0] == out->dim[1] * CPR_PANEL);
        CPR_REQUIRE(name, op->args[0] >= 0 && op->args[0] <= 255 && in->dim[1] * in->dim[2] <= CPR_S8_MAX_K);
    }
    return CPR_OK;
}

#if defined(__SSE2__)
static __m128i load(const int8_t *from)
{
    return _mm_loadu_si128((const __m128i *)from);
}

static void store(int8_t *to, __m128i x)
{
    _mm_storeu_si128((__m128i *)to, x);
}

/* A whole panel of columns that lie one after another. */
static void pack_panel_rows(const int8_t *b, int64_t quads, int64_t k_step, int8_t *out)
{
    for (int64_t q = 0; q < quads; q++, b += 4 * k_step, out += CPR_PANEL * 4) {
        const __m128i r0 = load(b), r1 = load(b + k_step), r2 = load(b + 2 * k_step), r3 = load(b + 3 * k_step);
        const __m128i low01 = _mm_unpacklo_epi8(r0, r1), low23 = _mm_unpacklo_epi8(r2, r3);
        const __m128i high01 = _mm_unpackhi_epi8(r0, r1), high23 = _mm_unpackhi_epi8(r2, r3);
        store(out, _mm_unpacklo_epi16(low01, low23));
        store(out + 16, _mm_unpackhi_epi16(low01, low23));
        store(out + 32, _mm_unpacklo_epi16(high01, high23));
        store(out + 48, _mm_unpackhi_epi16(high01, high23));
    }
}

/* A whole panel of quads that lie one after another: four columns by four quads are transposed. */
static int64_t pack_panel_columns(const int8_t *b, int64_t quads, int64_t n_step, int8_t *out)
{
    for (int64_t j = 0; j < CPR_PANEL; j += 4)
        for (int64_t q = 0; q + 4 <= quads; q += 4) {
            const int8_t *from = b + j * n_step + 4 * q;
            int8_t *to = out + (q * CPR_PANEL + j) * 4;
            const __m128i c0 = load(from), c1 = load(from + n_step), c2 = load(from + 2 * n_step), c3 = load(from + 3 * n_step);
            const __m128i low01 = _mm_unpacklo_epi32(c0, c1), low23 = _mm_unpacklo_epi32(c2, c3);
            const __m128i high01 = _mm_unpackhi_epi32(c0, c1), high23 = _mm_unpackhi_epi32(c2, c3);
            store(to, _mm_unpacklo_epi64(low01, low23));
            store(to + CPR_PANEL * 4, _mm_unpackhi_epi64(low01, low23));
            store(to + 2 * CPR_PANEL * 4, _mm_unpacklo_epi64(high01, high23));
            store(to + 3 * CPR_PANEL * 4, _mm_unpackhi_epi64(high01, high23));
        }
    return quads / 4 * 4;
}

/* The sum of each column of a panel. */
static void sum_columns(const int8_t *panel, int64_t quads, int32_t *sums)
{
    const __m128i ones = _mm_set1_epi16(1);
    for (int64_t j = 0; j < CPR_PANEL; j += 4) {
        __m128i low = _mm_setzero_si128(), high = low;
        for (int64_t q = 0; q < quads; q++) {
            const __m128i x = load(panel + (q * CPR_PANEL + j) * 4);
            low = _mm_add_epi32(low, _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8), ones));
            high = _mm_add_epi32(high, _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8), ones));
        }
        int32_t parts[8];
        _mm_storeu_si128((__m128i *)parts, low);
        _mm_storeu_si128((__m128i *)(parts + 4), high);
        for (int64_t i = 0; i < 4; i++)
            sums[j + i] = parts[2 * i] + parts[2 * i + 1];
    }
}
#else
static int64_t pack_panel_columns(const int8_t *b, int64_t quads, int64_t n_step, int8_t *out)
{
    (void)b, (void)quads, (void)n_step, (void)out;
    return 0;
}

static void sum_columns(const int8_t *panel, int64_t quads, int32_t *sums)
{
    memset(sums, 0, CPR_PANEL * sizeof *sums);
    for (int64_t q = 0; q < quads; q++)
        for (int64_t j = 0; j < CPR_PANEL * 4; j++)
            sums[j / 4] += panel[q * CPR_PANEL * 4 + j];
}
#endif

/* Whole quads of k for n columns that lie one after another: rows are interleaved. */
static void pack_rows(const int8_t *b, int64_t quads, int64_t k_step, int64_t n, int8_t *out)
{
#if defined(__SSE2__)
    if (n == CPR_PANEL) {
        pack_panel_rows(b, quads, k_step, out);
        return;
    }
#endif
    for (int64_t q = 0; q < quads; q++, b += 4 * k_step, out += CPR_PANEL * 4) {
        const int8_t *r0 = b, *r1 = b + k_step, *r2 = b + 2 * k_step, *r3 = b + 3 * k_step;
        for (int64_t j = 0; j < n; j++) {
            int8_t *to = out + 4 * j;
            to[0] = r0[j];
            to[1] = r1[j];
            to[2] = r2[j];
            to[3] = r3[j];
        }
    }
}

/* Whole quads of k that lie one after another: four bytes at a time. */
static void pack_columns(const int8_t *b, int64_t quads, int64_t n, int64_t n_step, int8_t *out)
{
    const int64_t done = n == CPR_PANEL ? pack_panel_columns(b, quads, n_step, out) : 0;
    for (int64_t j = 0; j < n; j++)
        for (int64_t q = done; q < quads; q++)
            memcpy(out + (q * CPR_PANEL + j) * 4, b + j * n_step + 4 * q, 4);
}

/* Rows first..k, one byte at a time. */
static void pack_bytes(const int8_t *b, int64_t first, int64_t k, int64_t k_step, int64_t n, int64_t n_step, int8_t *out)
{
    for (int64_t i = first; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            out[(i / 4 * CPR_PANEL + j) * 4 + i % 4] = b[i * k_step + j * n_step];
}

/* One panel of one tap, which is all zeros where columns or k are missing. */
static void pack_tap(const int8_t *b, int64_t k, int64_t n, int64_t k_step, int64_t n_step, int8_t *out)
{
    if (n_step == 1)
        pack_rows(b, k / 4, k_step, n, out);
    else if (k_step == 1)
        pack_columns(b, k / 4, n, n_step, out);
    pack_bytes(b, n_step == 1 || k_step == 1 ? k / 4 * 4 : 0, k, k_step, n, n_step, out);
}

static void start_of(const int8_t *panel, int64_t quads, int64_t zero, int32_t *start)
{
    int32_t sums[CPR_PANEL] = {0};
    if (zero)
        sum_columns(panel, quads, sums);
    for (int64_t j = 0; j < CPR_PANEL; j++)
        start[j] = -(int32_t)zero * sums[j];
}

void cpr_pack_s8(const int8_t *b, int64_t k, int64_t n, int64_t k_step, int64_t n_step, int8_t *packed, int64_t zero,
                 int32_t *start)
{
    const int64_t quads = (k + 3) / 4, bytes = quads * CPR_PANEL * 4;
    for (int64_t j = 0; j < n; j += CPR_PANEL, packed += bytes, start += CPR_PANEL) {
        const int64_t columns = n - j < CPR_PANEL ? n - j : CPR_PANEL;
        if (columns < CPR_PANEL || k % 4)
            memset(packed, 0, (size_t)bytes);
        pack_tap(b + j * n_step, k, columns, k_step, n_step, packed);
        start_of(packed, quads, zero, start);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t panels = out->dim[1], taps = in->dim[1], k = in->dim[2], quads = out->dim[3];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first = unit % panels * CPR_PANEL;
        const int64_t n = in->dim[3] - first < CPR_PANEL ? in->dim[3] - first : CPR_PANEL;
        const int8_t *b = (const int8_t *)op->data[0] + unit / panels * in->stride[0] + first * in->stride[3];
        int8_t *panel = (int8_t *)op->data[1] + unit * taps * quads * CPR_PANEL * 4;
        if (n < CPR_PANEL || k % 4)
            memset(panel, 0, (size_t)(taps * quads * CPR_PANEL * 4));
        for (int64_t t = 0; t < taps; t++)
            pack_tap(b + t * in->stride[1], k, n, in->stride[2], in->stride[3], panel + t * quads * CPR_PANEL * 4);
        if (op->n_tensors == 3)
            start_of(panel, taps * quads, op->args[0], (int32_t *)op->data[2] + unit * CPR_PANEL);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 4), out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_s8 = {"pack_s8", check, run};
