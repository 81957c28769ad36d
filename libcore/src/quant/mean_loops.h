/* mean_loops.h - the loop behind mean.h; the including file defines TABLE. */
#include "quant/mean.h"

static void add_bytes(int64_t n, const uint8_t *row, int32_t *sums)
{
    _Pragma("GCC ivdep") for (int64_t c = 0; c < n; c++) sums[c] += row[c];
}

const cpr_mean_ops TABLE = {.add = add_bytes};
