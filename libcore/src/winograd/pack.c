/* pack.c - the operator pack_winograd_f32: kernels of 3 x 3 taps as G g G' in panels of 16 columns. */
#include <string.h>

#include "gemm_f32/gemm_f32.h"
#include "vector/copy.h"
#include "winograd/winograd.h"

enum { TAPS = 9, MOST = 14 /* channels that pass through the stack at a time */ };

/* pack_winograd_f32: operands weights [OC, C, 3, 3] contiguous | packed [(tile + 2)^2, panels, C, 16] contiguous;
 * columns past OC are zeros.  Transformed in float64 and rounded once.
 * args      tile (2 or 4) */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "pack_winograd_f32";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == 1 && op->tensor[0] && op->tensor[1]);
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const int64_t tile = op->args[0];
    CPR_REQUIRE(name, tile == CPR_LEAST_TILE || tile == CPR_MOST_TILE);
    CPR_REQUIRE(name, in->dtype == CPR_F32 && in->rank == 4 && cpr_is_contiguous(in) && in->dim[2] == 3 && in->dim[3] == 3);
    CPR_REQUIRE(name, out->dtype == CPR_F32 && out->rank == 4 && cpr_is_contiguous(out) && cpr_is_output(out));
    CPR_REQUIRE(name, out->dim[0] == (tile + 2) * (tile + 2) && out->dim[1] == (in->dim[0] + CPR_PANEL - 1) / CPR_PANEL);
    CPR_REQUIRE(name, out->dim[2] == in->dim[1] && out->dim[3] == CPR_PANEL);
    return CPR_OK;
}

static void work(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0], *out = op->tensor[1];
    const cpr_winograd_transform *transform = cpr_winograd_of(op->args[0]);
    const int64_t channels = in->dim[1], step = channels * TAPS, panel = channels * CPR_PANEL;
    float taps[MOST * TAPS * CPR_PANEL] __attribute__((aligned(64)));
    for (int64_t p = begin; p < end; p++) {
        const int64_t left = in->dim[0] - p * CPR_PANEL, columns = left < CPR_PANEL ? left : CPR_PANEL;
        const float *from = (const float *)op->data[0] + p * CPR_PANEL * step;
        float *to = (float *)op->data[1] + p * panel;
        memset(taps, 0, sizeof taps);
        for (int64_t c = 0; c < channels; c += MOST) {
            const int64_t count = channels - c < MOST ? channels - c : MOST;
            cpr_copy_in_use()->bytes[2]((const char *)(from + c * TAPS), step * (int64_t)sizeof(float), (char *)taps,
                                        CPR_PANEL * sizeof(float), columns, count * TAPS);
            transform->kernel(taps, count, to + c * CPR_PANEL, out->dim[1] * panel);
        }
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[1];
    cpr_parallel(cpr_pool_for(op->pool, cpr_elements(out) / 2), out->dim[1], 1, work, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_pack_winograd_f32 = {"pack_winograd_f32", check, run};
