/* lut.c - lut_u8: operands in, table [256], out, all of one byte: out = table[in]. */
#include "quant/lut.h"

#include "vector/walk.h"

void cpr_lut_scalar(const uint8_t *table, int64_t n, const uint8_t *x, uint8_t *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = table[x[i]];
}

cpr_lut *cpr_lut_now(void)
{
#if defined(__x86_64__)
    if (cpr_has_vbmi())
        return cpr_lut_avx512vbmi;
    if (cpr_isa() >= CPR_AVX2)
        return cpr_lut_avx2;
#endif
    return cpr_lut_scalar;
}

bool cpr_is_table(const cpr_tensor *t)
{
    return cpr_dtype_bytes(t->dtype) == 1 && t->rank == 1 && t->dim[0] == 256 && cpr_is_contiguous(t);
}

typedef struct {
    cpr_lut *look_up;
    const uint8_t *table;
} job;

static void core(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    (void)scalars;
    const job *j = context;
    j->look_up(j->table, n, (const uint8_t *)data[0], (uint8_t *)data[1]);
}

static cpr_status check_lut_u8(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    CPR_REQUIRE("lut_u8", op->n_tensors == 3 && op->n_args == 0 && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *in = op->tensor[0], *table = op->tensor[1], *out = op->tensor[2];
    CPR_REQUIRE("lut_u8", cpr_same_dims(in, out) && cpr_is_output(out));
    CPR_REQUIRE("lut_u8", cpr_dtype_bytes(in->dtype) == 1 && cpr_dtype_bytes(out->dtype) == 1);
    CPR_REQUIRE("lut_u8", cpr_is_table(table));
    return CPR_OK;
}

static cpr_status run_lut_u8(const cpr_op *op)
{
    const cpr_tensor *tensors[] = {op->tensor[0], op->tensor[2]};
    void *data[] = {op->data[0], op->data[2]};
    const job j = {cpr_lut_now(), op->data[1]};
    cpr_walk(op->pool, 2, tensors, data, &(cpr_elementwise){core, &j, 0, CPR_GRAIN_CHEAP});
    return CPR_OK;
}

const cpr_kernel cpr_k_lut_u8 = {"lut_u8", check_lut_u8, run_lut_u8};
