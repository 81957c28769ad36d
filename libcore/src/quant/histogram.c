/* histogram.c - extremes of rows, and how often values fall into bins of a width that is a power of two. */
#include "quant/histogram.h"

#include <math.h>
#include <string.h>

#include "reduce/slices.h"

/* histogram: operands in f32 (rank 1 or more, any strides), counts s64 [bins] contiguous, zeros s64 [1]
 *     counts[b] = number of x with floor(x / 2^exponent) - first = b, b cut to 0 .. bins - 1
 * Zeros are counted apart, NaN nowhere.  Runs on one thread.
 * args exponent, first */
enum { EXPONENT, FIRST, N_ARGS };
enum {
    TABLES = 4, /* neighbours go to different tables: no increment waits for the one before it */
    CHUNK = 512,
    MOST_BINS = 1 << 20,
    MOST_FIRST = 1 << 24,
    SPECIAL = 2 /* entries behind the bins: zeros, NaN */
};

static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "histogram";
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == N_ARGS && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *in = op->tensor[0], *counts = op->tensor[1], *zeros = op->tensor[2];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && counts->dtype == CPR_S64 && zeros->dtype == CPR_S64);
    CPR_REQUIRE(name, in->rank >= 1 && counts->rank == 1 && zeros->rank == 1 && zeros->dim[0] == 1);
    CPR_REQUIRE(name, cpr_is_contiguous(counts) && counts->dim[0] >= 1 && counts->dim[0] <= MOST_BINS);
    CPR_REQUIRE(name, cpr_elements(in) <= UINT32_MAX); /* what an entry holds */
    CPR_REQUIRE(name, op->args[EXPONENT] >= -200 && op->args[EXPONENT] <= 200);
    CPR_REQUIRE(name, op->args[FIRST] >= -MOST_FIRST && op->args[FIRST] <= MOST_FIRST);
    *scratch_bytes = TABLES * (counts->dim[0] + SPECIAL) * (int64_t)sizeof(uint32_t);
    return CPR_OK;
}

/* Count n values that lie `step` bytes apart. */
static void count_row(const cpr_op *op, const char *x, int64_t step, int64_t n, uint32_t *tables)
{
    const cpr_histogram_ops *ops = CPR_PICK(cpr_histogram);
    const int32_t bins = (int32_t)op->tensor[1]->dim[0];
    const int64_t width = bins + SPECIAL;
    const double inverse = ldexp(1.0, -(int32_t)op->args[EXPONENT]), first = (double)op->args[FIRST];
    cpr_bin_row *bins_of = op->args[EXPONENT] >= -126 && op->args[EXPONENT] <= 0 ? ops->bin_fine : ops->bin;
    float values[CHUNK];
    int32_t bin[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t part = n - i < CHUNK ? n - i : CHUNK;
        const float *from = (const float *)(x + i * step);
        if (step != (int64_t)sizeof(float)) {
            for (int64_t j = 0; j < part; j++)
                memcpy(&values[j], x + (i + j) * step, sizeof *values);
            from = values;
        }
        bins_of(part, from, inverse, first, bins, bin);
        int64_t j = 0;
        for (; j + TABLES <= part; j += TABLES)
            for (int64_t t = 0; t < TABLES; t++)
                tables[t * width + bin[j + t]]++;
        for (; j < part; j++)
            tables[bin[j]]++;
    }
}

static cpr_status run(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0];
    const int32_t axis = in->rank - 1;
    const int64_t bins = op->tensor[1]->dim[0], width = bins + SPECIAL;
    uint32_t *tables = (uint32_t *)op->scratch;
    int64_t *counts = op->data[1], *zeros = op->data[2];
    memset(tables, 0, (size_t)(TABLES * width) * sizeof *tables);
    if (cpr_elements(in) > 0) {
        const cpr_slices slices = cpr_slices_of(axis, 1, &in);
        for (int64_t s = 0; s < slices.count; s++) {
            int64_t offset;
            cpr_slices_at(&slices, s, &offset);
            count_row(op, (const char *)op->data[0] + offset, cpr_axis_step(in, axis), in->dim[axis], tables);
        }
    }
    for (int64_t b = 0; b < width - 1; b++) {
        int64_t sum = 0;
        for (int64_t t = 0; t < TABLES; t++)
            sum += tables[t * width + b];
        *(b < bins ? &counts[b] : zeros) = sum;
    }
    return CPR_OK;
}

const cpr_kernel cpr_k_histogram = {"histogram", check, run};

/* row_extremes: operands in f32 [rows, n] with n >= 1 dense, lows f32 [rows], highs f32 [rows]
 *     NaN for a row that has one.  No args. */
static cpr_status check_extremes(const cpr_op *op, int64_t *scratch_bytes)
{
    const char *name = "row_extremes";
    (void)scratch_bytes;
    CPR_REQUIRE(name, op->n_tensors == 3 && op->n_args == 0 && op->tensor[0] && op->tensor[1] && op->tensor[2]);
    const cpr_tensor *in = op->tensor[0];
    CPR_REQUIRE(name, in->dtype == CPR_F32 && in->rank == 2 && in->dim[1] >= 1);
    CPR_REQUIRE(name, in->stride[1] == 1 || in->dim[1] == 1);
    for (int32_t i = 1; i < 3; i++) {
        const cpr_tensor *out = op->tensor[i];
        CPR_REQUIRE(name, out->dtype == CPR_F32 && out->rank == 1 && out->dim[0] == in->dim[0]);
        CPR_REQUIRE(name, cpr_is_output(out));
    }
    return CPR_OK;
}

static void extremes_of_rows(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)worker;
    const cpr_op *op = context;
    const cpr_tensor *in = op->tensor[0];
    for (int64_t row = begin; row < end; row++)
        CPR_PICK(cpr_histogram)->extremes(in->dim[1], (const float *)op->data[0] + row * in->stride[0],
                                          (float *)op->data[1] + row * op->tensor[1]->stride[0],
                                          (float *)op->data[2] + row * op->tensor[2]->stride[0]);
}

static cpr_status run_extremes(const cpr_op *op)
{
    const cpr_tensor *in = op->tensor[0];
    cpr_parallel(op->pool, in->dim[0], CPR_GRAIN_CHEAP / in->dim[1] + 1, extremes_of_rows, (void *)op);
    return CPR_OK;
}

const cpr_kernel cpr_k_row_extremes = {"row_extremes", check_extremes, run_extremes};
