/* program.h - a checked program, between the file that makes it and the one that runs it. */
#ifndef CPR_PROGRAM_H
#define CPR_PROGRAM_H

#include "program/kernel.h"

enum { CPR_ALIGN = 64 };

typedef struct {
    const cpr_kernel *kernel;
    cpr_op op; /* without data, pool, scratch */
} cpr_record;

typedef struct {
    int32_t n_tensors, n_bases;
    int64_t n_records;
    int64_t value_bytes;   /* base 0 without scratch, rounded up to CPR_ALIGN */
    int64_t scratch_bytes; /* per worker, rounded up to CPR_ALIGN */
    int64_t *base_bytes;
    cpr_tensor *tensors;
    cpr_record *records;
    int64_t *args;
} cpr_program;

#endif
