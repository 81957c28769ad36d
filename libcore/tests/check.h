/* check.h - random cases for the kernels of libcore, and what they must satisfy.
 *
 * Every case runs on each instruction set, with one thread and with three, with every operand
 * against a page that must not be touched (after it, then before it), and must give the same
 * bytes each time (any NaN equals any NaN).  A family of kernels is one cases_<family>.c with
 * functions that fill in a `test_case`, and a table of them that check.c lists.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "compress_core.h"

enum {
    F32 = 1, U8 = 2, S8 = 3, U16 = 4, S16 = 5, S32 = 6, S64 = 7, BOOL = 9, F16 = 10, F64 = 11,
    U32 = 12, U64 = 13, BF16 = 16
};

enum { PANEL = 16 /* columns of a packed matrix that lie together */ };

static inline int64_t panels_of(int64_t n)
{
    return (n + PANEL - 1) / PANEL;
}

enum { AMX = 5 /* the highest instruction set */ };

enum { MAX_ARGS = 64, AREA = 1 << 20 /* bytes that an operand may span */ };

typedef struct {
    uint64_t state;
} rng;

typedef enum { ABSENT, INPUT, OUTPUT } role;

typedef struct {
    role role;
    int32_t dtype, rank;
    int64_t dim[CPR_MAX_RANK], stride[CPR_MAX_RANK];
    bool bounded; /* integers from low to high */
    bool tame;    /* floats of ordinary size */
    bool small;   /* floats, a 4096th of that */
    int64_t low, high;
    int32_t same_as; /* shares memory with this operand; -1: its own */
} operand;

typedef struct {
    const char *kernel;
    int32_t n, n_args;
    operand operand[CPR_MAX_OPERANDS];
    int64_t args[MAX_ARGS];
} test_case;

typedef struct {
    const char *kernel;
    void (*make)(rng *r, test_case *t);
} generator;

/* A family's generators, ended by {NULL, NULL}. */
extern const generator cases_vector[], cases_reduce[], cases_norm[], cases_pool[], cases_gather[], cases_quant[],
    cases_recurrent[], cases_pack[], cases_product[], cases_grad[], cases_attention[];

/* ---- chance --------------------------------------------------------------------------- */

uint64_t next(rng *r);

/* An integer from low to high. */
int64_t between(rng *r, int64_t low, int64_t high);

/* True once in n. */
bool one_in(rng *r, int64_t n);

/* One of a list of dtypes ended by 0. */
int32_t one_of(rng *r, const int32_t *list);

/* Rank and dims; about `elements` elements at most, now and then none. */
int32_t random_dims(rng *r, int32_t least, int32_t most, int64_t elements, int64_t *dim);

/* ---- building a case -------------------------------------------------------------------- */

/* Append an operand with random strides: any order, gaps, signs; repeats only in inputs. */
operand *add(rng *r, test_case *t, role role, int32_t dtype, int32_t rank, const int64_t *dim);

/* The same in row-major order without gaps. */
operand *add_dense(test_case *t, role role, int32_t dtype, int32_t rank, const int64_t *dim);

/* Append an absent operand. */
void add_absent(test_case *t);

/* Make an operand dense. */
void make_dense(operand *o);

void arg_int(test_case *t, int64_t value);
void arg_float(test_case *t, double value);

int64_t dtype_bytes(int32_t dtype);

/* ---- fuzz.c: records that no planner would write ------------------------------------------- */

/* Elements [low, high) that an operand spans, in elements from element (0, ..., 0). */
void extent_of(const operand *o, int64_t *low, int64_t *high);

/* Where memory of `bytes` bytes begins in slot i, against the page after it or before it. */
char *place(int32_t slot, int64_t bytes, bool after);

/* Fill n bytes with elements of a dtype. */
void fill(rng *r, char *bytes, int64_t n, const operand *o);

/* Spoil a case in a few places and run it as a program; it may be refused, never crash. */
void fuzz_mutation(rng *r, test_case *t);

/* A program of random words. */
void fuzz_words(rng *r);

/* Runs of a repeated program against one after the other; prints and returns false if they differ. */
bool check_repeat(rng *r, void *pool, int64_t threads, int64_t cases);

#endif
