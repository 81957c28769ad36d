/* table.h - the list of all kernels; the opcode is the position in it. */
#ifndef CPR_TABLE_H
#define CPR_TABLE_H

#include "program/kernel.h"

/* The kernel with this opcode, NULL past the ends. */
const cpr_kernel *cpr_kernel_at(int64_t opcode);

#endif
