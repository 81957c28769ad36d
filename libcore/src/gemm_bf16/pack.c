/* pack.c - bringing floats into pairs of bfloat16 and panels of 16 columns: pack_bf16. */
#include <string.h>

#include "gemm_bf16/gemm_bf16.h"
#include "vector/brain.h"
#include "vector/copy.h"

/* pack_bf16: operands B [batch, taps, k, n] f32 any strides |
 *            packed bf16 [batch, panels, taps, pairs, 16, 2] contiguous.
 * Rounded to the nearest, half to even.  Columns past n and k past the last are zeros. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_bf16";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && in->rank == 4 && out->dtype == CPR_BF16 && out->rank == 6);
    CPR_REQUIRE(name, cpr_is_contiguous(out) && out->dim[4] == CPR_PANEL && out->dim[5] == 2);
    CPR_REQUIRE(name, out->dim[0] == in->dim[0] && out->dim[2] == in->dim[1]);
    CPR_REQUIRE(name, out->dim[3] == (in->dim[2] + 1) / 2 && out->dim[1] == (in->dim[3] + CPR_PANEL - 1) / CPR_PANEL);
    return CPR_OK;
}

/* k rows of one tap, n columns. */
static void pack_tap(const float *b, int64_t k, int64_t n, int64_t k_step, int64_t n_step, uint16_t *out)
{
    for (int64_t i = 0; i < k; i++, b += k_step) {
        uint16_t *to = out + i / 2 * CPR_PANEL * 2 + i % 2;
        if (n_step == 1)
            for (int64_t j = 0; j < n; j++)
                to[2 * j] = brain_of_float(b[j]);
        else
            for (int64_t j = 0; j < n; j++)
                to[2 * j] = brain_of_float(b[j * n_step]);
    }
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t panels = out->dim[1], taps = in->dim[1], tap = out->dim[3] * CPR_PANEL * 2;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first = unit % panels * CPR_PANEL;
        const int64_t n = in->dim[3] - first < CPR_PANEL ? in->dim[3] - first : CPR_PANEL;
        const float *b = (const float *)op->data[0] + unit / panels * in->stride[0] + first * in->stride[3];
        uint16_t *panel = (uint16_t *)op->data[1] + unit * taps * tap;
        if (n < CPR_PANEL || in->dim[2] % 2)
            memset(panel, 0, (size_t)(taps * tap) * sizeof *panel);
        for (int64_t t = 0; t < taps; t++)
            pack_tap(b + t * in->stride[1], in->dim[2], n, in->stride[2], in->stride[3], panel + t * tap);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 4), out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

/* One pair of k, n columns. */
static void interleave(const uint16_t *even, const uint16_t *odd, int64_t n, int64_t n_stride, uint16_t *out)
{
    if (n == CPR_PANEL && n_stride == 1)
        for (int j = 0; j < CPR_PANEL; j++) {
            out[2 * j] = even[j];
            out[2 * j + 1] = odd[j];
        }
    else
        for (int64_t j = 0; j < n; j++) {
            out[2 * j] = even[j * n_stride];
            out[2 * j + 1] = odd[j * n_stride];
        }
}

static void pack_panel(const uint16_t *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, uint16_t *out)
{
    const int64_t pairs = k / 2, step = CPR_PANEL * 2;
    if (n < CPR_PANEL || k % 2)
        memset(out, 0, (size_t)((pairs + k % 2) * step) * sizeof *out);
    if (k_stride == 1 && n_stride % 2 == 0 && (uintptr_t)b % 4 == 0) /* a pair is one word */
        cpr_copy_in_use()->bytes[2]((const char *)b, n_stride * 2, (char *)out, step * 2, n, pairs);
    else
        for (int64_t i = 0; i < pairs; i++)
            interleave(b + 2 * i * k_stride, b + (2 * i + 1) * k_stride, n, n_stride, out + i * step);
    for (int64_t j = 0; k % 2 && j < n; j++)
        out[pairs * step + 2 * j] = b[(k - 1) * k_stride + j * n_stride];
}

void cpr_pack_bf16(const uint16_t *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, uint16_t *packed)
{
    for (int64_t j = 0; j < n; j += CPR_PANEL, packed += (k + 1) / 2 * CPR_PANEL * 2)
        pack_panel(b + j * n_stride, k, n - j < CPR_PANEL ? n - j : CPR_PANEL, k_stride, n_stride, packed);
}

const cpr_kernel cpr_k_pack_bf16 = {"pack_bf16", check, run};
