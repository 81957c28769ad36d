/* split.h - an input seen as kept dims (the outputs) and reduced dims. */
#ifndef CPR_SPLIT_H
#define CPR_SPLIT_H

#include "program/kernel.h"

typedef struct {
    int32_t n_kept, n_reduced;                 /* at least 1 each */
    int64_t kept_dim[CPR_MAX_RANK], kept_in[CPR_MAX_RANK], kept_out[CPR_MAX_RANK]; /* steps in bytes */
    int64_t reduced_dim[CPR_MAX_RANK], reduced_in[CPR_MAX_RANK];
    int64_t outputs, count;                    /* products of the dims */
} cpr_split;

/* A dim is reduced where out has one element.  Reduced dims keep their order, dims that can be
 * merged are; a kept dim along which the input is dense comes last. */
cpr_split cpr_split_dims(const cpr_tensor *in, const cpr_tensor *out);

/* in's and out's offsets of an output. */
void cpr_split_at(const cpr_split *s, int64_t output, int64_t *in, int64_t *out);

/* Moves through the reduced dims but the last; start from zeros. */
typedef struct {
    int64_t index[CPR_MAX_RANK];
    int64_t offset;
} cpr_odometer;

/* Step to the next row of reduced elements. */
void cpr_split_next(const cpr_split *s, cpr_odometer *at);

#endif
