/* table.c - every kernel of the library, in the order of the opcodes. */
#include "program/table.h"

#include <string.h>

#define KERNELS(X) \
    X(fill)        \
    X(copy)        \
    X(cast)        \
    X(unary_f32)   \
    X(chain_f32)   \
    X(unary_bf16)  \
    X(unary_int)   \
    X(not_bool)    \
    X(is_nan)      \
    X(is_inf)      \
    X(binary)      \
    X(where)       \
    X(scale_shift) \
    X(reduce)      \
    X(argmax)      \
    X(argmin)      \
    X(cumsum)      \
    X(top_k)       \
    X(softmax)     \
    X(log_softmax) \
    X(lp_norm)     \
    X(lrn)         \
    X(layer_norm)  \
    X(rms_norm)    \
    X(group_norm)  \
    X(attention_f32) \
    X(attention_bf16) \
    X(attention_s8) \
    X(max_pool)    \
    X(average_pool) \
    X(gather)      \
    X(gather_nd)   \
    X(gather_elements) \
    X(scatter_nd)  \
    X(scatter_elements) \
    X(one_hot)     \
    X(trilu)       \
    X(resize_nearest) \
    X(resize_weights) \
    X(quantize_linear) \
    X(requantize)  \
    X(dequantize_linear) \
    X(dynamic_quantize_linear) \
    X(lut_u8)      \
    X(lstm)        \
    X(gru)         \
    X(rnn) \
    X(pack_f32)    \
    X(gemm_f32)    \
    X(conv_f32)    \
    X(pack_winograd_f32) \
    X(conv_winograd_f32) \
    X(depthwise_f32) \
    X(depthwise_bf16) \
    X(pack_s8)     \
    X(gemm_s8)     \
    X(conv_s8)     \
    X(depthwise_s8) \
    X(pack_bf16)   \
    X(frame) \
    X(gemm_bf16)   \
    X(conv_bf16)   \
    X(add_q8)      \
    X(mul_q8)      \
    X(mean_q8)     \
    X(histogram)   \
    X(row_extremes) \
    X(fake_quantize) \
    X(fake_quantize_grad) \
    X(conv_weight_grad) \
    X(batch_norm) \
    X(batch_norm_grad) \
    X(unary_grad) \
    X(recurrent_grad) \
    X(sgd_step) \
    X(adam_step) \
    X(cross_entropy) \
    X(cross_entropy_grad) \
    X(layer_norm_grad) \
    X(softmax_grad) \
    X(attention_grad_f32) \
    X(max_pool_grad)

#define DECLARE(name) extern const cpr_kernel cpr_k_##name;
#define ENTRY(name) &cpr_k_##name,
KERNELS(DECLARE)

static const cpr_kernel *const table[] = {KERNELS(ENTRY)};

enum { N_KERNELS = sizeof table / sizeof *table };

const cpr_kernel *cpr_kernel_at(int64_t opcode)
{
    return opcode >= 0 && opcode < N_KERNELS ? table[opcode] : NULL;
}

cpr_status cpr_find_op(const char *name, int32_t *opcode)
{
    CPR_REQUIRE("cpr_find_op", name && opcode);
    for (int32_t i = 0; i < N_KERNELS; i++)
        if (strcmp(table[i]->name, name) == 0) {
            *opcode = i;
            return CPR_OK;
        }
    return cpr_fail(CPR_ERR_UNSUPPORTED, "there is no kernel named %.64s", name);
}

cpr_status cpr_op_name(int32_t opcode, const char **name)
{
    CPR_REQUIRE("cpr_op_name", name && opcode >= 0 && opcode < N_KERNELS);
    *name = table[opcode]->name;
    return CPR_OK;
}
