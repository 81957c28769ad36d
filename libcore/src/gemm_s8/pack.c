/* pack.c - bringing signed bytes into quads of k and panels of 16 columns: pack_s8. */
#include <string.h>

#include "gemm_s8/gemm_s8.h"

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
        if (op->n_tensors == 3) {
            int32_t sums[CPR_PANEL] = {0};
            for (int64_t q = 0; q < taps * quads; q++)
                for (int64_t j = 0; j < CPR_PANEL * 4; j++)
                    sums[j / 4] += panel[q * CPR_PANEL * 4 + j];
            for (int64_t j = 0; j < CPR_PANEL; j++)
                ((int32_t *)op->data[2])[unit * CPR_PANEL + j] = -(int32_t)op->args[0] * sums[j];
        }
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(op->pool, out->dim[0] * out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_s8 = {"pack_s8", check, run};
