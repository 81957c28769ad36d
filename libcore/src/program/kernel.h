/* kernel.h - what an operator's kernel is: a name, a check and a run.
 *
 * `check` sees the tensors without their data, once per program: it returns an error for
 * every combination of ranks, dims, strides, dtypes and args that `run` could not execute
 * safely, and says how much scratch memory one worker needs.  `run` may then assume all of
 * it; only the *contents* of tensors (an index out of range) can still be wrong there.
 * That each tensor's elements lie inside its memory has been proven before `check`.
 */
#ifndef CPR_KERNEL_H
#define CPR_KERNEL_H

#include "base/base.h"

/* ONNX TensorProto.DataType numbers. */
enum {
    CPR_F32 = 1, CPR_U8 = 2, CPR_S8 = 3, CPR_U16 = 4, CPR_S16 = 5, CPR_S32 = 6, CPR_S64 = 7,
    CPR_BOOL = 9, CPR_F16 = 10, CPR_F64 = 11, CPR_U32 = 12, CPR_U64 = 13, CPR_BF16 = 16,
    CPR_U4 = 21, CPR_S4 = 22
};

typedef struct {
    int32_t base;      /* which memory, see compress_core.h */
    int32_t dtype;
    int32_t rank;
    int64_t offset;    /* bytes */
    int64_t dim[CPR_MAX_RANK];
    int64_t stride[CPR_MAX_RANK]; /* elements */
} cpr_tensor;

typedef struct {
    int32_t n_tensors;
    int32_t n_args;
    const cpr_tensor *tensor[CPR_MAX_OPERANDS]; /* NULL: absent */
    void *data[CPR_MAX_OPERANDS];               /* element (0, ..., 0); NULL during check */
    const int64_t *args;
    cpr_pool *pool;
    char *scratch;          /* of worker 0, 64-byte aligned */
    int64_t scratch_stride; /* bytes from one worker's scratch to the next one's */
} cpr_op;

typedef struct {
    const char *name; /* snake_case, e.g. "gemm_f32"; unique */
    cpr_status (*check)(const cpr_op *op, int64_t *scratch_bytes);
    cpr_status (*run)(const cpr_op *op);
} cpr_kernel;

/* Argument i as a float64. */
double cpr_arg_float(const cpr_op *op, int32_t i);

/* Bytes of one element; 0 for the packed 4-bit types and unknown numbers. */
int64_t cpr_dtype_bytes(int32_t dtype);

/* Product of the dims. */
int64_t cpr_elements(const cpr_tensor *t);

/* Whether elements lie one after another in row-major order. */
bool cpr_is_contiguous(const cpr_tensor *t);

/* Whether both have the same rank and dims. */
bool cpr_same_dims(const cpr_tensor *a, const cpr_tensor *b);

#endif
