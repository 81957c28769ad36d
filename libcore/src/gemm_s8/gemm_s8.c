/* gemm_s8.c - the operators gemm_s8 and conv_s8. */
#include "gemm_s8/gemm_s8.h"

#include "product/image.h"

cpr_product_kind cpr_s8_kind(int32_t store)
{
    cpr_product_kind kind = {
        .tiles = &cpr_s8_tiles_scalar,
        .a_bytes = 1,
        .b_bytes = 1,
        .c_bytes = cpr_dtype_bytes(store),
        .k_unit = 4,
        .ahead = 1 << 18,
        .speed = 1,
    };
#if defined(__x86_64__)
    const int32_t isa = cpr_isa();
    if (isa >= CPR_AVX512VNNI) {
        kind.tiles = &cpr_s8_tiles_avx512vnni;
        kind.speed = 200;
        if (isa >= CPR_AMX) { /* the sums are the same: rows enough to be worth a tile of 16 */
            kind.wide = cpr_s8_wide_amx;
            kind.wide_rows = 12;
            kind.wide_k = 48;
            kind.wide_run = 48; /* a first layer of 7 x 7 x 3: 740 us, of which most is gathering; 590 without */
            kind.speed = 600;
        }
    } else if (isa >= CPR_AVX512) {
        kind.tiles = &cpr_s8_tiles_avx512;
        kind.speed = 60;
    } else if (isa >= CPR_AVX2) {
        kind.tiles = &cpr_s8_tiles_avx2;
        kind.speed = 30;
    }
#endif
    return kind;
}

bool cpr_s8_bounds_fit(int32_t dtype, double low, double high, int64_t zero_point)
{
    if (zero_point < -128 || zero_point > 255)
        return false;
    if (dtype != CPR_U8 && dtype != CPR_S8)
        return true;
    const double least = dtype == CPR_U8 ? 0.0 : -128.0;
    return low >= least - (double)zero_point && high <= least + 255.0 - (double)zero_point && low <= high;
}

/* What both operators share: C is s32 without scale, else f32, u8 or s8; start and scale have
 * `groups` x panels * 16 elements. */
static cpr_status check_epilogue(const char *name, const cpr_tensor *start, const cpr_tensor *scale,
                                 const cpr_tensor *residual, const cpr_tensor *c, int64_t columns, double low,
                                 double high, int64_t zero_point)
{
    CPR_REQUIRE(name, scale ? c->dtype == CPR_F32 || c->dtype == CPR_U8 || c->dtype == CPR_S8 : c->dtype == CPR_S32);
    CPR_REQUIRE(name, !start || (start->dtype == CPR_S32 && cpr_is_contiguous(start) && cpr_elements(start) == columns));
    CPR_REQUIRE(name, !scale || (scale->dtype == CPR_F32 && cpr_is_contiguous(scale) && cpr_elements(scale) == columns));
    CPR_REQUIRE(name, !residual || (c->dtype != CPR_S32 && c->dtype != CPR_S8 && residual->dtype == c->dtype));
    CPR_REQUIRE(name, cpr_s8_bounds_fit(c->dtype, low, high, zero_point));
    return CPR_OK;
}

/* gemm_s8: operands
 *   A u8 [batch, m, k], or f32, also [rows, columns, k] of the m = rows * columns of C, k-stride 1 | B packed s8 [batch or 1, panels, 1, quads, 16, 4] |
 *   start s32 [panels * 16] or absent | scale f32 [panels * 16] or absent |
 *   residual as C (f32 or u8) or absent | C [batch, m, n] s32, f32, u8 or s8, n-stride 1 |
 *   and that of after.h
 * args low, high (floats), zero_point, inner_low, inner_high, inner_scale, residual_scale (floats),
 *      residual_zero; where A is f32: scale (float), zero_point of the bytes that it becomes; and
 *      those of after.h */
enum { A, B, START, SCALE, RESIDUAL, C, N_OPERANDS };
enum { EPILOGUE_ARGS = 8, CODES_ARGS = 2 };

static int32_t gemm_args(const cpr_op *op)
{
    return EPILOGUE_ARGS + (op->tensor[A]->dtype == CPR_F32 ? CODES_ARGS : 0);
}

static bool rows_of(const cpr_tensor *t)
{
    return t->rank == 3 && (t->stride[2] == 1 || t->dim[2] <= 1);
}

static bool is_packed(const cpr_tensor *b)
{
    return b->dtype == CPR_S8 && b->rank == 6 && b->dim[4] == CPR_PANEL && b->dim[5] == 4 && cpr_is_contiguous(b);
}

static cpr_status check_gemm(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "gemm_s8";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->tensor[A] && op->n_args >= gemm_args(op));
    const cpr_tensor *a = op->tensor[A], *b = op->tensor[B], *c = op->tensor[C], *residual = op->tensor[RESIDUAL];
    CPR_REQUIRE(name, b && c && (a->dtype == CPR_U8 || a->dtype == CPR_F32) && rows_of(a) && rows_of(c) && is_packed(b) && cpr_is_output(c));
    const bool in_two = a->dtype == CPR_F32 && c->dim[0] == 1 && a->dim[1] > 0 && c->dim[1] % a->dim[1] == 0 &&
                        c->dim[1] / a->dim[1] == a->dim[0];
    CPR_REQUIRE(name, in_two || (a->dim[0] == c->dim[0] && a->dim[1] == c->dim[1]));
    CPR_REQUIRE(name, a->dim[2] <= CPR_S8_MAX_K);
    CPR_REQUIRE(name, b->dim[2] == 1 && b->dim[3] == (a->dim[2] + 3) / 4 && b->dim[1] * CPR_PANEL >= c->dim[2]);
    CPR_REQUIRE(name, b->dim[0] == 1 || b->dim[0] == c->dim[0]);
    CPR_REQUIRE(name, !residual || (rows_of(residual) && cpr_same_dims(residual, c)));
    const cpr_status after = cpr_after_check(name, op, gemm_args(op), N_OPERANDS, c);
    if (after)
        return after;
    if (a->dtype == CPR_F32) {
        CPR_REQUIRE(name, op->args[EPILOGUE_ARGS + 1] >= 0 && op->args[EPILOGUE_ARGS + 1] <= 255);
        *scratch_bytes = cpr_codes_bytes(a->dim[2]);
    }
    return check_epilogue(name, op->tensor[START], op->tensor[SCALE], residual, c, b->dim[1] * CPR_PANEL,
                          cpr_arg_float(op, 0), cpr_arg_float(op, 1), op->args[2]);
}

static cpr_block block_of(const cpr_op *op, const cpr_tensor *c, int32_t first_arg)
{
    return (cpr_block){
        .low = (float)cpr_arg_float(op, first_arg),
        .high = (float)cpr_arg_float(op, first_arg + 1),
        .zero_point = (int32_t)op->args[first_arg + 2],
        .store = c->dtype,
        .inner_low = (float)cpr_arg_float(op, first_arg + 3),
        .inner_high = (float)cpr_arg_float(op, first_arg + 4),
        .inner_scale = (float)cpr_arg_float(op, first_arg + 5),
        .residual_scale = (float)cpr_arg_float(op, first_arg + 6),
        .residual_zero = (int32_t)op->args[first_arg + 7],
    };
}

static cpr_status run_gemm(const cpr_op *op)
{
    const cpr_tensor *b = op->tensor[B], *c = op->tensor[C];
    const cpr_product_kind kind = cpr_s8_kind(c->dtype);
    const cpr_after after = cpr_after_of(op, gemm_args(op), N_OPERANDS);
    cpr_block block = block_of(op, c, 0);
    cpr_conversion codes;
    if (op->tensor[A]->dtype == CPR_F32) {
        codes = cpr_conversion_of(CPR_F32, CPR_U8, cpr_arg_float(op, EPILOGUE_ARGS), op->args[EPILOGUE_ARGS + 1]);
        block.codes = &codes;
    }
    block.finish = cpr_after_is_any(&after) ? &after : NULL;
    block.start = op->data[START];
    block.scale = op->data[SCALE];
    block.residual = op->data[RESIDUAL];
    block.c = op->data[C];
    cpr_matrix_product(op, &kind, &block, op->tensor[A], op->data[A], op->data[B], b->dim[0], b->dim[1],
                       op->tensor[RESIDUAL], c);
    return CPR_OK;
}

const cpr_kernel cpr_k_gemm_s8 = {"gemm_s8", check_gemm, run_gemm};

/* conv_s8: operands
 *   in u8 [N, C, H, W] channel stride 1 |
 *   weights packed s8 [groups, panels, taps, quads of C / groups, 16, 4] |
 *   start s32 [groups, panels * 16] or absent | scale f32 [groups, panels * 16] or absent |
 *   residual as out (f32 or u8) or absent | out [N, OC, OH, OW] s32, f32, u8 or s8, channel stride 1 |
 *   and that of after.h
 * args the eight of window.h, groups, padding byte, then as gemm_s8 */
enum { IN, WEIGHTS, CONV_START, CONV_SCALE, CONV_RESIDUAL, OUT };
enum { GROUPS = CPR_WINDOW_ARGS, PADDING, LOW, HIGH, ZERO, N_ARGS = LOW + EPILOGUE_ARGS };

static cpr_status check_conv(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "conv_s8";
    CPR_REQUIRE(name, op->n_tensors >= N_OPERANDS && op->n_args >= N_ARGS);
    const cpr_tensor *in = op->tensor[IN], *weights = op->tensor[WEIGHTS], *out = op->tensor[OUT];
    const cpr_tensor *residual = op->tensor[CONV_RESIDUAL];
    CPR_REQUIRE(name, in && weights && out && cpr_channels_last(in, CPR_U8) && cpr_channels_last(out, out->dtype) && cpr_is_output(out));
    CPR_REQUIRE(name, !residual || cpr_channels_last(residual, residual->dtype));
    CPR_REQUIRE(name, op->args[PADDING] >= 0 && op->args[PADDING] <= 255);
    const cpr_window w = cpr_window_read(op, 0);
    const int64_t groups = op->args[GROUPS];
    const cpr_status status = cpr_image_check(name, &w, groups, in, residual, out, 1, 4, scratch_bytes);
    if (status)
        return status;
    const int64_t taps = w.kernel_h * w.kernel_w, kc = in->dim[1] / groups;
    CPR_REQUIRE(name, is_packed(weights) && weights->dim[0] == groups && weights->dim[2] == taps);
    CPR_REQUIRE(name, weights->dim[3] == (kc + 3) / 4 && weights->dim[1] * CPR_PANEL >= out->dim[1] / groups);
    CPR_REQUIRE(name, taps * kc <= CPR_S8_MAX_K);
    const cpr_status after = cpr_after_check(name, op, N_ARGS, N_OPERANDS, out);
    if (after)
        return after;
    return check_epilogue(name, op->tensor[CONV_START], op->tensor[CONV_SCALE], residual, out,
                          groups * weights->dim[1] * CPR_PANEL, cpr_arg_float(op, LOW), cpr_arg_float(op, HIGH),
                          op->args[ZERO]);
}

static cpr_status run_conv(const cpr_op *op)
{
    const cpr_tensor *out = op->tensor[OUT];
    const cpr_product_kind kind = cpr_s8_kind(out->dtype);
    const cpr_after after = cpr_after_of(op, N_ARGS, N_OPERANDS);
    cpr_block block = block_of(op, out, LOW);
    block.finish = cpr_after_is_any(&after) ? &after : NULL;
    const cpr_image_product product = {
        .in = op->tensor[IN],
        .start = op->tensor[CONV_START],
        .residual = op->tensor[CONV_RESIDUAL],
        .out = out,
        .in_data = op->data[IN],
        .weights = op->data[WEIGHTS],
        .start_data = op->data[CONV_START],
        .residual_data = op->data[CONV_RESIDUAL],
        .out_data = op->data[OUT],
        .scale = op->data[CONV_SCALE],
        .groups = op->args[GROUPS],
        .panels = op->tensor[WEIGHTS]->dim[1],
        .window = cpr_window_read(op, 0),
        .padding = (unsigned char)op->args[PADDING],
        .finite = true,
    };
    cpr_image_run(op, &kind, &block, &product);
    return CPR_OK;
}

const cpr_kernel cpr_k_conv_s8 = {"conv_s8", check_conv, run_conv};
