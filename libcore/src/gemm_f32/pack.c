/* pack.c - bringing B into panels of 16 columns: the operator pack_f32. */
#include <string.h>

#include "gemm_f32/gemm_f32.h"
#include "vector/copy.h"

/* pack_f32: operands B [batch, k, n] any strides | packed [batch, panels, k, 16] contiguous; or
 * B [batch, taps, k, n] | packed [batch, panels, taps * k, 16].  Columns past n are zeros. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_f32";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && (in->rank == 3 || in->rank == 4) && out->dtype == CPR_F32 && out->rank == 4);
    CPR_REQUIRE(name, cpr_is_contiguous(out) && out->dim[3] == CPR_PANEL);
    int64_t k;
    CPR_REQUIRE(name, !__builtin_mul_overflow(in->dim[1], in->rank == 4 ? in->dim[2] : 1, &k));
    CPR_REQUIRE(name, out->dim[0] == in->dim[0] && out->dim[2] == k);
    CPR_REQUIRE(name, out->dim[1] == (in->dim[in->rank - 1] + CPR_PANEL - 1) / CPR_PANEL);
    return CPR_OK;
}

/* One panel: n columns, at most 16. */
static void pack_panel(const float *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, float *out)
{
    const int64_t word = sizeof *out;
    if (n < CPR_PANEL)
        memset(out, 0, (size_t)(k * CPR_PANEL * word));
    if (n_stride == 1)
        for (int64_t i = 0; i < k; i++)
            if (n == CPR_PANEL)
                memcpy(out + i * CPR_PANEL, b + i * k_stride, CPR_PANEL * sizeof *out);
            else
                memcpy(out + i * CPR_PANEL, b + i * k_stride, (size_t)(n * word));
    else if (k_stride == 1)
        cpr_copy_in_use()->bytes[2]((const char *)b, n_stride * word, (char *)out, CPR_PANEL * word, n, k);
    else
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++)
                out[i * CPR_PANEL + j] = b[i * k_stride + j * n_stride];
}

void cpr_pack_f32(const float *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, float *packed)
{
    for (int64_t j = 0; j < n; j += CPR_PANEL, packed += k * CPR_PANEL)
        pack_panel(b + j * n_stride, k, n - j < CPR_PANEL ? n - j : CPR_PANEL, k_stride, n_stride, packed);
}

enum { MOST_TAPS = 128 }; /* of a kernel whose taps lie side by side; its rows pass through the stack */

/* One panel of a kernel [n, k, taps], as convolutions have it: each column is one run of numbers. */
static void pack_kernel(const float *b, int64_t taps, int64_t k, int64_t n, int64_t n_stride, float *out)
{
    float rows[MOST_TAPS * CPR_PANEL];
    const int64_t word = sizeof *out, most = MOST_TAPS / taps;
    if (n < CPR_PANEL)
        memset(out, 0, (size_t)(taps * k * CPR_PANEL * word));
    for (int64_t i = 0; i < k; i += most) {
        const int64_t count = k - i < most ? k - i : most;
        cpr_copy_in_use()->bytes[2]((const char *)(b + i * taps), n_stride * word, (char *)rows, CPR_PANEL * word, n,
                                    count * taps);
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < count; c++)
                memcpy(out + (t * k + i + c) * CPR_PANEL, rows + (c * taps + t) * CPR_PANEL, (size_t)(n * word));
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int32_t last = in->rank - 1;
    const int64_t panels = out->dim[1], taps = in->rank == 4 ? in->dim[1] : 1, k = in->dim[last - 1];
    const int64_t tap_stride = in->rank == 4 ? in->stride[1] : 0, k_stride = in->stride[last - 1];
    const int64_t n_stride = in->stride[last];
    const bool side_by_side = taps > 1 && taps <= MOST_TAPS && tap_stride == 1 && k_stride == taps && n_stride != 1;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t batch = unit / panels, first = unit % panels * CPR_PANEL;
        const int64_t n = in->dim[last] - first < CPR_PANEL ? in->dim[last] - first : CPR_PANEL;
        const float *b = (const float *)op->data[0] + batch * in->stride[0] + first * n_stride;
        float *to = (float *)op->data[1] + unit * taps * k * CPR_PANEL;
        if (side_by_side)
            pack_kernel(b, taps, k, n, n_stride, to);
        else
            for (int64_t t = 0; t < taps; t++)
                pack_panel(b + t * tap_stride, k, n, k_stride, n_stride, to + t * k * CPR_PANEL);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 4), out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_f32 = {"pack_f32", check, run};
