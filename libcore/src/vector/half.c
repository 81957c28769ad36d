/* half.c - the operator unary_bf16. */
#include "vector/half.h"

#include "vector/cast.h"

enum { CHUNK = 256 }; /* floats at a time: 1 KB of stack */

typedef struct {
    cpr_half_fn *half;
    cpr_unary_fn *full; /* where half is NULL, between two casts */
    cpr_core *widen, *narrow;
    float alpha, beta;
} unary_context;

/* unary_bf16: operands in, out, both bf16; args: function, alpha, beta, as of unary_f32. */
static cpr_status check_unary_bf16(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    const char *name = "unary_bf16";
    const cpr_status status = cpr_check_walk(name, op, 2);
    if (status)
        return status;
    CPR_REQUIRE(name, op->n_tensors == 2 && op->n_args == 3);
    CPR_REQUIRE(name, op->tensor[0]->dtype == CPR_BF16 && op->tensor[1]->dtype == CPR_BF16);
    CPR_REQUIRE(name, op->args[0] >= 0 && op->args[0] < CPR_UNARY_COUNT);
    return CPR_OK;
}

static void unary_core(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    const unary_context *c = context;
    if (c->half) {
        c->half(n, (const uint16_t *)data[0], (uint16_t *)data[1], c->alpha, c->beta);
        return;
    }
    _Alignas(64) float buffer[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t part = n - i < CHUNK ? n - i : CHUNK;
        char *const in[2] = {data[0] + 2 * i, (char *)buffer}, *const out[2] = {(char *)buffer, data[1] + 2 * i};
        c->widen(NULL, part, in, scalars);
        c->full(part, buffer, buffer, c->alpha, c->beta);
        c->narrow(NULL, part, out, scalars);
    }
}

static cpr_status run_unary_bf16(const cpr_op *op)
{
    const int64_t code = op->args[0];
    const cpr_cast_ops *casts = CPR_PICK(cpr_cast);
    const int32_t half = cpr_cast_index(CPR_BF16), full = cpr_cast_index(CPR_F32);
    const unary_context context = {
        CPR_PICK(cpr_half)->unary[code], cpr_unary()->f[code],       casts->from_to[half][full],
        casts->from_to[full][half],      (float)cpr_arg_float(op, 1), (float)cpr_arg_float(op, 2)};
    cpr_walk_op(op, 2, &(cpr_elementwise){unary_core, &context, 0, CPR_GRAIN_HEAVY});
    return CPR_OK;
}

const cpr_kernel cpr_k_unary_bf16 = {"unary_bf16", check_unary_bf16, run_unary_bf16};
