/* gemm_f32.c - the operators gemm_f32 and conv_f32. */
#include "gemm_f32/gemm_f32.h"

#include "product/image.h"
#include "vector/walk.h"

cpr_product_kind cpr_f32_kind(void)
{
    cpr_product_kind kind = {
        .tiles = &cpr_f32_tiles_scalar,
        .a_bytes = sizeof(float),
        .b_bytes = sizeof(float),
        .c_bytes = sizeof(float),
        .k_unit = 1,
        .floats = true,
        .speed = 1,
    };
#if defined(__x86_64__)
    if (cpr_isa() >= CPR_AVX512) {
        kind.tiles = &cpr_f32_tiles_avx512;
        kind.speed = 50;
        kind.least_ahead = 1 << 16; /* shorter ones: the processor fetches ahead by itself */
        kind.ahead = 1 << 18;
    } else if (cpr_isa() >= CPR_AVX2) {
        kind.tiles = &cpr_f32_tiles_avx2;
        kind.speed = 25;
        kind.most = 1 << 15; /* L1: above, a panel at a time stays there for all rows */
    }
#endif
    return kind;
}

/* gemm_f32: C[b] = clip(A[b] * B[b] + bias + residual[b])
 * operands  A [batch, m, k] k-stride 1 | B packed [batch or 1, panels, k, 16] contiguous |
 *           bias [panels * 16] or absent | residual [batch, m, n] n-stride 1, may be C itself, or absent |
 *           C [batch, m, n] n-stride 1
 * args      low, high (floats), and those of after.h */
enum { A, B, BIAS, RESIDUAL, C, N_OPERANDS };

static bool rows_of_floats(const cpr_tensor *t)
{
    return t->dtype == CPR_F32 && t->rank == 3 && (t->stride[2] == 1 || t->dim[2] <= 1);
}

static cpr_status check_gemm(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "gemm_f32";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->n_args >= 2);
    const cpr_tensor *a = op->tensor[A], *b = op->tensor[B], *bias = op->tensor[BIAS];
    const cpr_tensor *residual = op->tensor[RESIDUAL], *c = op->tensor[C];
    CPR_REQUIRE(name, a && b && c && rows_of_floats(a) && rows_of_floats(c) && cpr_is_output(c));
    CPR_REQUIRE(name, b->dtype == CPR_F32 && b->rank == 4 && b->dim[3] == CPR_PANEL);
    CPR_REQUIRE(name, a->dim[0] == c->dim[0] && a->dim[1] == c->dim[1] && a->dim[2] == b->dim[2]);
    CPR_REQUIRE(name, b->dim[0] == 1 || b->dim[0] == c->dim[0]);
    CPR_REQUIRE(name, cpr_is_contiguous(b) && b->dim[1] * CPR_PANEL >= c->dim[2]);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 1 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == b->dim[1] * CPR_PANEL));
    CPR_REQUIRE(name, !residual || (rows_of_floats(residual) && cpr_same_dims(residual, c)));
    *scratch_bytes = cpr_stage_bytes(a->stride[1] * (int64_t)sizeof(float), a->dim[2], sizeof(float));
    return cpr_after_check(name, op, 2, N_OPERANDS, c);
}

static cpr_status run_gemm(const cpr_op *op)
{
    const cpr_product_kind kind = cpr_f32_kind();
    const cpr_after after = cpr_after_of(op, 2, N_OPERANDS);
    const cpr_block block = {
        .finish = cpr_after_is_any(&after) ? &after : NULL,
        .start = op->data[BIAS],
        .residual = op->data[RESIDUAL],
        .low = (float)cpr_arg_float(op, 0),
        .high = (float)cpr_arg_float(op, 1),
        .c = op->data[C],
    };
    const cpr_tensor *b = op->tensor[B];
    cpr_matrix_product(op, &kind, &block, op->tensor[A], op->data[A], op->data[B], b->dim[0], b->dim[1],
                       op->tensor[RESIDUAL], op->tensor[C]);
    return CPR_OK;
}

const cpr_kernel cpr_k_gemm_f32 = {"gemm_f32", check_gemm, run_gemm};

/* conv_f32: out = clip(conv(in, weights) + bias + residual)
 * operands  in [N, C, H, W] channel stride 1 |
 *           weights packed [groups, panels, kernel_h * kernel_w * C / groups, 16] contiguous,
 *           k ordered kernel row, kernel column, channel |
 *           bias [groups, panels * 16] or absent | residual as out, may be out itself, or absent |
 *           out [N, OC, OH, OW] channel stride 1; W, H and N strides free
 * args      the eight of window.h, groups, low, high, whether all weights are finite and no bias
 *           is -0: sums are then never -0, and those of after.h */
enum { IN, WEIGHTS, CONV_BIAS, CONV_RESIDUAL, OUT };
enum { GROUPS = CPR_WINDOW_ARGS, LOW, HIGH, FINITE, N_ARGS };

static cpr_status check_conv(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_f32";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->n_args >= N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[CONV_BIAS];
    const cpr_tensor *residual = op->tensor[CONV_RESIDUAL], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && cpr_channels_last(in, CPR_F32) && cpr_channels_last(out, CPR_F32) && cpr_is_output(out));
    CPR_REQUIRE(name, !residual || cpr_channels_last(residual, CPR_F32));
    const cpr_window w = cpr_window_read(op, 0);
    const int64_t groups = op->args[GROUPS];
    const cpr_status status = cpr_image_check(name, &w, groups, in, residual, out, sizeof(float), 1, scratch_bytes);
    if (status)
        return status;
    CPR_REQUIRE(name, weights->dtype == CPR_F32 && weights->rank == 4 && cpr_is_contiguous(weights));
    CPR_REQUIRE(name, weights->dim[0] == groups && weights->dim[3] == CPR_PANEL);
    CPR_REQUIRE(name, weights->dim[2] == w.kernel_h * w.kernel_w * (in->dim[1] / groups));
    CPR_REQUIRE(name, weights->dim[1] * CPR_PANEL >= out->dim[1] / groups);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 2 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == groups && bias->dim[1] == weights->dim[1] * CPR_PANEL));
    return cpr_after_check(name, op, N_ARGS, N_OPERANDS, out);
}

static cpr_status run_conv(const cpr_op *op)
{
    const cpr_product_kind kind = cpr_f32_kind();
    const cpr_after after = cpr_after_of(op, N_ARGS, N_OPERANDS);
    const cpr_block block = {
        .low = (float)cpr_arg_float(op, LOW),
        .high = (float)cpr_arg_float(op, HIGH),
        .finish = cpr_after_is_any(&after) ? &after : NULL,
    };
    const cpr_image_product product = {
        .in = op->tensor[IN],
        .start = op->tensor[CONV_BIAS],
        .residual = op->tensor[CONV_RESIDUAL],
        .out = op->tensor[OUT],
        .in_data = op->data[IN],
        .weights = op->data[WEIGHTS],
        .start_data = op->data[CONV_BIAS],
        .residual_data = op->data[CONV_RESIDUAL],
        .out_data = op->data[OUT],
        .groups = op->args[GROUPS],
        .panels = op->tensor[WEIGHTS]->dim[1],
        .window = cpr_window_read(op, 0),
        .finite = op->args[FINITE] != 0,
    };
    cpr_image_run(op, &kind, &block, &product);
    return CPR_OK;
}

const cpr_kernel cpr_k_conv_f32 = {"conv_f32", check_conv, run_conv};
