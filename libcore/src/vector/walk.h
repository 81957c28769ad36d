/* walk.h - running an elementwise operator over operands of any strides.
 *
 * The dims are sorted by the output's strides, dims of one element dropped and neighbours
 * merged, so dense operands arrive as one row.  The elements are split over the threads; each
 * run of a row goes to a `core`, which sees only dense operands and scalars: anything else is
 * staged through a small buffer on the stack.
 */
#ifndef CPR_WALK_H
#define CPR_WALK_H

#include "program/kernel.h"

enum {
    CPR_WALK_MAX = 5,       /* operands */
    CPR_GRAIN_CHEAP = 16384, /* elements that are worth a thread: a few ns per hundred */
    CPR_GRAIN_HEAVY = 2048   /* the same for exp and its kind */
};

/* Elements [0, n): operand i is dense at data[i], or one element if bit i of scalars is set.
 * The last operand is the output. */
typedef void cpr_core(const void *context, int64_t n, char *const *data, uint32_t scalars);

typedef struct {
    cpr_core *core;
    const void *context;
    uint32_t accept; /* bit m: the core takes the set m of scalar operands; bit 0 is implied */
    int64_t grain;
} cpr_elementwise;

/* Sorted and merged dims; rank >= 1. */
typedef struct {
    int32_t n, rank;
    int64_t total; /* elements */
    int64_t dim[CPR_MAX_RANK];
    int64_t step[CPR_WALK_MAX][CPR_MAX_RANK]; /* bytes */
    int64_t size[CPR_WALK_MAX];
    char *data[CPR_WALK_MAX];
    const cpr_elementwise *what;
} cpr_dims;

/* The dims of n operands, the last one being the output; all have its dims. */
cpr_dims cpr_merge(int32_t n, const cpr_tensor *const *tensor, void *const *data);

/* Run over them; nothing happens if there are no elements. */
void cpr_walk_dims(cpr_pool *pool, cpr_dims *dims, const cpr_elementwise *what);

/* Both at once. */
void cpr_walk(cpr_pool *pool, int32_t n, const cpr_tensor *const *tensor, void *const *data,
              const cpr_elementwise *what);

/* Operands 0..n-1 of op. */
void cpr_walk_op(const cpr_op *op, int32_t n, const cpr_elementwise *what);

/* Whether no element is reached twice through a stride of 0: what an output must be. */
bool cpr_is_output(const cpr_tensor *t);

/* The condition of an elementwise operator: n operands of the same dims, the last one an output. */
cpr_status cpr_check_walk(const char *name, const cpr_op *op, int32_t n);

/* The table of a family for the instruction set in use. */
#if defined(__x86_64__)
#define CPR_PICK(table) \
    (cpr_isa() >= CPR_AVX512 ? &table##_avx512 : cpr_isa() >= CPR_AVX2 ? &table##_avx2 : &table##_scalar)
#else
#define CPR_PICK(table) (&table##_scalar)
#endif

#endif
