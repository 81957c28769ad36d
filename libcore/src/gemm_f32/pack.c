/* pack.c - bringing B into panels of 16 columns: the operator pack_f32. */
#include <string.h>

#include "gemm_f32/gemm_f32.h"
#include "vector/copy.h"

/* pack_f32: operands B [batch, k, n] any strides | packed [batch, panels, k, 16] contiguous.
 * Columns past n are zeros. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_f32";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && in->rank == 3 && out->dtype == CPR_F32 && out->rank == 4);
    CPR_REQUIRE(name, cpr_is_contiguous(out) && out->dim[3] == CPR_PANEL);
    CPR_REQUIRE(name, out->dim[0] == in->dim[0] && out->dim[2] == in->dim[1]);
    CPR_REQUIRE(name, out->dim[1] == (in->dim[2] + CPR_PANEL - 1) / CPR_PANEL);
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
        cpr_copy_now()->bytes[2]((const char *)b, n_stride * word, (char *)out, CPR_PANEL * word, n, k);
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

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t panels = out->dim[1], k = in->dim[1];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t batch = unit / panels, first = unit % panels * CPR_PANEL;
        const int64_t left = in->dim[2] - first;
        pack_panel((const float *)op->data[0] + batch * in->stride[0] + first * in->stride[2], k,
                   left < CPR_PANEL ? left : CPR_PANEL, in->stride[1], in->stride[2],
                   (float *)op->data[1] + unit * k * CPR_PANEL);
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 4), out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_f32 = {"pack_f32", check, run};
