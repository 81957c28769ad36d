/* index.h - what the operators that move by index share. */
#ifndef CPR_INDEX_H
#define CPR_INDEX_H

#include "vector/walk.h"

/* Whether the dtype is one of indices: s32, s64. */
bool cpr_is_index(const cpr_tensor *t);

/* Element at an offset in elements. */
int64_t cpr_index_at(const cpr_tensor *t, const void *data, int64_t offset);

/* Offset in elements of the element with row-major number `flat` over dims [0, rank). */
int64_t cpr_flat_offset(const cpr_tensor *t, int32_t rank, int64_t flat);

/* Every index lies in [-bound, bound), or an error that names the first other one. */
cpr_status cpr_check_indices(const char *name, const cpr_tensor *t, const void *data, int64_t bound);

/* A block of elements that is moved whole: the dims of one tensor from `first` on. */
typedef struct {
    int32_t n;
    cpr_dims dims;
    cpr_elementwise what;
    int64_t size; /* bytes of an element */
} cpr_slab;

/* in's dims from in_first on, out's from out_first on. */
void cpr_slab_copy(cpr_slab *slab, const cpr_tensor *in, int32_t in_first, const cpr_tensor *out, int32_t out_first);

/* out = function(out, updates) on the same kind of block; reduction: 1 add, 2 mul, 3 max, 4 min. */
void cpr_slab_combine(cpr_slab *slab, const cpr_tensor *updates, int32_t first, const cpr_tensor *out,
                      int32_t out_first, int64_t reduction);

/* Move one block on the calling thread. */
void cpr_slab_run(const cpr_slab *slab, const void *in, void *out);

/* The core of binary.h behind a reduction, NULL for 0 or what has none. */
cpr_core *cpr_reduction_core(int32_t dtype, int64_t reduction);

/* Whether the scatters can do this reduction on this dtype. */
bool cpr_can_scatter(int32_t dtype, int64_t reduction);

/* Copy data to out unless they are the same memory: how scatters begin. */
void cpr_begin_scatter(const cpr_op *op, const cpr_tensor *data, const void *from, const cpr_tensor *out, void *to);

#endif
