/* pack.c - bringing signed bytes into quads of k and panels of 16 columns: pack_s8. */
#include <string.h>

#include "gemm_s8/gemm_s8.h"

/* pack_s8: operands B [batch, taps, k, n] s8 any strides |
 *          packed s8 [batch, panels, taps, quads, 16, 4] contiguous.
 * Columns past n and k past the last are zeros. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_s8";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    CPR_REQUIRE(name, in->dtype == CPR_S8 && in->rank == 4 && out->dtype == CPR_S8 && out->rank == 6);
    CPR_REQUIRE(name, cpr_is_contiguous(out) && out->dim[4] == CPR_PANEL && out->dim[5] == 4);
    CPR_REQUIRE(name, out->dim[0] == in->dim[0] && out->dim[2] == in->dim[1]);
    CPR_REQUIRE(name, out->dim[3] == (in->dim[2] + 3) / 4 && out->dim[1] == (in->dim[3] + CPR_PANEL - 1) / CPR_PANEL);
    return CPR_OK;
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
        memset(panel, 0, (size_t)(taps * quads * CPR_PANEL * 4));
        for (int64_t t = 0; t < taps; t++)
            for (int64_t i = 0; i < k; i++)
                for (int64_t j = 0; j < n; j++)
                    panel[((t * quads + i / 4) * CPR_PANEL + j) * 4 + i % 4] =
                        b[t * in->stride[1] + i * in->stride[2] + j * in->stride[3]];
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(op->pool, out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_s8 = {"pack_s8", check, run};
