/* gemm_bf16.c - the operators gemm_bf16 and conv_bf16. */
#include "gemm_bf16/gemm_bf16.h"

#include "product/image.h"
#include "vector/walk.h"

cpr_product_kind cpr_bf16_kind(int32_t store)
{
    cpr_product_kind kind = {
        .tiles = &cpr_bf16_tiles_scalar,
        .a_bytes = 2,
        .b_bytes = 2,
        .c_bytes = cpr_dtype_bytes(store),
        .k_unit = 2,
        .floats = store == CPR_F32,
        .ahead = 5 << 16,
        .speed = 1,
    };
#if defined(__x86_64__)
    const int32_t isa = cpr_isa();
    kind.flush = isa >= CPR_AVX2;
    if (isa >= CPR_AVX512BF16) {
        kind.tiles = &cpr_bf16_tiles_avx512bf16;
        kind.speed = 100;
        if (isa >= CPR_AMX) { /* other sums: by k alone, not by how many rows there are */
            kind.wide = cpr_bf16_wide_amx;
            kind.wide_k = 8;
            kind.speed = 300;
        }
    } else if (isa >= CPR_AVX512) {
        kind.tiles = &cpr_bf16_tiles_avx512;
        kind.speed = 45;
    } else if (isa >= CPR_AVX2) {
        kind.tiles = &cpr_bf16_tiles_avx2;
        kind.speed = 20;
    }
#endif
    return kind;
}

static bool is_packed(const cpr_tensor *b)
{
    return b->dtype == CPR_BF16 && b->rank == 6 && b->dim[4] == CPR_PANEL && b->dim[5] == 2 && cpr_is_contiguous(b);
}

static bool is_result(const cpr_tensor *c)
{
    return c->dtype == CPR_F32 || c->dtype == CPR_BF16;
}

/* gemm_bf16: C[b] = clip(A[b] * B[b] + bias + residual[b])
 * operands  A bf16 [batch, m, k] k-stride 1 | B packed bf16 [batch or 1, panels, 1, pairs, 16, 2] |
 *           bias f32 [panels * 16] or absent | residual as C (a bf16 one may be C itself) or absent |
 *           C f32 or bf16 [batch, m, n] n-stride 1
 * args      low, high (floats) */
enum { A, B, BIAS, RESIDUAL, C };

static bool rows_of(const cpr_tensor *t)
{
    return t->rank == 3 && (t->stride[2] == 1 || t->dim[2] <= 1);
}

static cpr_status check_gemm(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "gemm_bf16";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == 2);
    const cpr_tensor *a = op->tensor[A], *b = op->tensor[B], *bias = op->tensor[BIAS];
    const cpr_tensor *residual = op->tensor[RESIDUAL], *c = op->tensor[C];
    CPR_REQUIRE(name, a && b && c && a->dtype == CPR_BF16 && rows_of(a) && is_result(c) && rows_of(c) && cpr_is_output(c));
    CPR_REQUIRE(name, is_packed(b) && b->dim[2] == 1 && b->dim[1] * CPR_PANEL >= c->dim[2]);
    CPR_REQUIRE(name, a->dim[0] == c->dim[0] && a->dim[1] == c->dim[1] && b->dim[3] == (a->dim[2] + 1) / 2);
    CPR_REQUIRE(name, b->dim[0] == 1 || b->dim[0] == c->dim[0]);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 1 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == b->dim[1] * CPR_PANEL));
    CPR_REQUIRE(name, !residual || (residual->dtype == c->dtype && rows_of(residual) && cpr_same_dims(residual, c)));
    *scratch_bytes = cpr_stage_bytes(a->stride[1] * 2, a->dim[2], 2);
    return CPR_OK;
}

static cpr_status run_gemm(const cpr_op *op)
{
    const cpr_tensor *b = op->tensor[B], *c = op->tensor[C];
    const cpr_product_kind kind = cpr_bf16_kind(c->dtype);
    const cpr_block block = {
        .start = op->data[BIAS],
        .residual = op->data[RESIDUAL],
        .low = (float)cpr_arg_float(op, 0),
        .high = (float)cpr_arg_float(op, 1),
        .store = c->dtype,
        .c = op->data[C],
    };
    cpr_matrix_product(op, &kind, &block, op->tensor[A], op->data[A], op->data[B], b->dim[0], b->dim[1],
                       op->tensor[RESIDUAL], c);
    return CPR_OK;
}

const cpr_kernel cpr_k_gemm_bf16 = {"gemm_bf16", check_gemm, run_gemm};

/* conv_bf16: out = clip(conv(in, weights) + bias + residual)
 * operands  in bf16 [N, C, H, W] channel stride 1 |
 *           weights packed bf16 [groups, panels, taps, pairs of C / groups, 16, 2] |
 *           bias f32 [groups, panels * 16] or absent | residual as out or absent |
 *           out f32 or bf16 [N, OC, OH, OW] channel stride 1; W, H and N strides free
 * args      the eight of window.h, groups, low, high, finite as of conv_f32 */
enum { IN, WEIGHTS, CONV_BIAS, CONV_RESIDUAL, OUT };
enum { GROUPS = CPR_WINDOW_ARGS, LOW, HIGH, FINITE, N_ARGS };

static cpr_status check_conv(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_bf16";
    CPR_REQUIRE(name, op->n_tensors == 5 && op->n_args == N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *bias = op->tensor[CONV_BIAS];
    const cpr_tensor *residual = op->tensor[CONV_RESIDUAL], *out = op->tensor[OUT];
    CPR_REQUIRE(name, in && weights && out && cpr_channels_last(in, CPR_BF16));
    CPR_REQUIRE(name, is_result(out) && cpr_channels_last(out, out->dtype) && cpr_is_output(out));
    CPR_REQUIRE(name, !residual || cpr_channels_last(residual, out->dtype));
    const cpr_window w = cpr_window_read(op, 0);
    const int64_t groups = op->args[GROUPS];
    const cpr_status status = cpr_image_check(name, &w, groups, in, residual, out, 2, 2, scratch_bytes);
    if (status)
        return status;
    CPR_REQUIRE(name, is_packed(weights) && weights->dim[0] == groups && weights->dim[2] == w.kernel_h * w.kernel_w);
    CPR_REQUIRE(name, weights->dim[3] == (in->dim[1] / groups + 1) / 2);
    CPR_REQUIRE(name, weights->dim[1] * CPR_PANEL >= out->dim[1] / groups);
    CPR_REQUIRE(name, !bias || (bias->dtype == CPR_F32 && bias->rank == 2 && cpr_is_contiguous(bias) &&
                                bias->dim[0] == groups && bias->dim[1] == weights->dim[1] * CPR_PANEL));
    return CPR_OK;
}

static cpr_status run_conv(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    const cpr_product_kind kind = cpr_bf16_kind(out->dtype);
    const cpr_block block = {
        .low = (float)cpr_arg_float(op, LOW),
        .high = (float)cpr_arg_float(op, HIGH),
        .store = out->dtype,
    };
    const cpr_image_product product = {
        .in = op->tensor[IN],
        .start = op->tensor[CONV_BIAS],
        .residual = op->tensor[CONV_RESIDUAL],
        .out = out,
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

const cpr_kernel cpr_k_conv_bf16 = {"conv_bf16", check_conv, run_conv};
