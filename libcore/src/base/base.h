/* base.h - what every family of libcore shares: errors, instruction sets, threads.
 *
 * Tile files (tile_<isa>.c, loops_<isa>.c) may include it: it holds no inline function that
 * the linker could merge across instruction sets.
 */
#ifndef CPR_BASE_H
#define CPR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compress_core.h"

/* ---- errors --------------------------------------------------------------------- */

/* Store the text for cpr_last_error and return the status. */
cpr_status cpr_fail(cpr_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Return an argument error naming the operator and the condition that does not hold. */
#define CPR_REQUIRE(op, condition)                                              \
    do {                                                                        \
        if (!(condition))                                                       \
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: requires %s", op, #condition); \
    } while (0)

/* ---- instruction sets -------------------------------------------------------------- */

enum { CPR_SCALAR = 0, CPR_AVX2 = 1, CPR_AVX512 = 2, CPR_AVX512VNNI = 3, CPR_AVX512BF16 = 4, CPR_AMX = 5 };

/* The instruction set to use now: detected (CPUID and XGETBV), then limited. */
int32_t cpr_isa(void);

/* Whether CPR_AVX512 is in use and the processor permutes bytes too (since Ice Lake and Zen 4):
 * where results are the same without it. */
bool cpr_has_vbmi(void);

/* ---- threads ----------------------------------------------------------------------- */

typedef struct cpr_pool cpr_pool;

/* Work on [begin, end) of the range.  worker is 0..n_threads-1, for scratch memory. */
typedef void cpr_task(void *context, int64_t begin, int64_t end, int32_t worker);

/* Split [0, n) into at most n_threads equal runs of whole grains, run them, wait.
 * pool may be NULL.  A result must never depend on where the range was cut. */
void cpr_parallel(cpr_pool *pool, int64_t n, int64_t grain, cpr_task *task, void *context);

/* The pool if that much work is worth handing out, else NULL: starting a loop and waiting for
 * it takes a microsecond or two, and more where other programs run. */
cpr_pool *cpr_pool_for(cpr_pool *pool, int64_t nanoseconds);

/* Threads of a pool; 1 for NULL. */
int32_t cpr_pool_threads(const cpr_pool *pool);

#endif
