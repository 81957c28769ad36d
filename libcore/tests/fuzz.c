/* fuzz.c - programs that no planner would write: they may be refused, and must never crash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { MOST_WORK = 1 << 18, MOST_SCRATCH = 1 << 24 };

static int64_t wild(rng *r)
{
    static const int64_t numbers[] = {0, 1, -1, 2, 3, 5, 7, 8, 63, 64, 255, -2, 1000, INT32_MAX, INT32_MIN,
                                      (int64_t)1 << 40, INT64_MAX, INT64_MIN, INT64_MAX / 8};
    return one_in(r, 3) ? between(r, -9, 9) : numbers[between(r, 0, sizeof numbers / sizeof *numbers - 1)];
}

/* Create a program of one record and run it if it is accepted. */
static void attempt(rng *r, int32_t opcode, int32_t n, int64_t (*tensors)[CPR_TENSOR_WORDS],
                    const int64_t *base_bytes, int32_t n_args, const int64_t *args, const test_case *t)
{
    int64_t record[3 + CPR_MAX_OPERANDS + MAX_ARGS], n_words = 0;
    int64_t sizes[CPR_MAX_OPERANDS + 1] = {0};
    int64_t kept[CPR_MAX_OPERANDS + 1][CPR_TENSOR_WORDS];
    int32_t n_tensors = 0;
    record[n_words++] = opcode;
    record[n_words++] = n;
    record[n_words++] = n_args;
    for (int32_t i = 0; i < n; i++) {
        sizes[i + 1] = base_bytes[i];
        record[n_words++] = tensors[i][0] < 0 ? -1 : n_tensors;
        if (tensors[i][0] >= 0)
            memcpy(kept[n_tensors++], tensors[i], sizeof *kept);
    }
    for (int32_t i = 0; i < n_args; i++)
        record[n_words++] = args[i];
    void *program = NULL;
    if (cpr_program_create(n_tensors, kept[0], n_words, record, CPR_MAX_OPERANDS + 1, sizes, &program))
        return;
    bool small = true;
    for (int32_t i = 0; i < n_tensors; i++) {
        int64_t elements = 1;
        for (int64_t k = 0; k < kept[i][3]; k++)
            small &= !__builtin_mul_overflow(elements, kept[i][4 + k], &elements);
        small &= elements <= MOST_WORK;
    }
    int64_t arena_bytes = 0;
    const cpr_status status = cpr_program_arena_bytes(program, 1, &arena_bytes);
    char *arena = small && !status && arena_bytes <= MOST_SCRATCH ? aligned_alloc(64, (size_t)(arena_bytes + 63) / 64 * 64 + 64) : NULL;
    if (arena) {
        void *bases[CPR_MAX_OPERANDS + 1] = {arena};
        const bool after = one_in(r, 2);
        for (int32_t i = 0; i < n; i++) {
            bases[i + 1] = place(i, base_bytes[i], after);
            fill(r, bases[i + 1], base_bytes[i], &t->operand[i]);
        }
        for (int32_t i = n; i < CPR_MAX_OPERANDS; i++)
            bases[i + 1] = place(i, 0, true);
        cpr_program_run(program, CPR_MAX_OPERANDS + 1, bases, NULL, NULL, NULL);
    }
    free(arena);
    cpr_program_destroy(program);
}

void fuzz_mutation(rng *r, test_case *t)
{
    int64_t words[CPR_MAX_OPERANDS][CPR_TENSOR_WORDS], bytes[CPR_MAX_OPERANDS] = {0};
    memset(words, 0, sizeof words);
    for (int32_t i = 0; i < t->n; i++) {
        operand *o = &t->operand[i];
        int64_t low = 0, high = 0;
        if (o->role != ABSENT)
            extent_of(o, &low, &high);
        bytes[i] = (high - low) * dtype_bytes(o->dtype);
        if (bytes[i] > AREA)
            return;
        words[i][0] = o->role == ABSENT ? -1 : i + 1;
        words[i][1] = -low * dtype_bytes(o->dtype);
        words[i][2] = o->dtype;
        words[i][3] = o->rank;
        memcpy(&words[i][4], o->dim, sizeof o->dim);
        memcpy(&words[i][4 + CPR_MAX_RANK], o->stride, sizeof o->stride);
        if (o->bounded && one_in(r, 4)) { /* contents out of range too */
            o->low -= between(r, 0, 2);
            o->high += between(r, 0, 2);
        }
    }
    int32_t n = t->n, n_args = t->n_args;
    int32_t opcode;
    if (cpr_find_op(t->kernel, &opcode))
        return;
    for (int64_t changes = between(r, 1, 3); changes > 0; changes--) {
        int64_t *w = words[between(r, 0, n > 0 ? n - 1 : 0)];
        const int64_t k = between(r, 0, CPR_MAX_RANK - 1);
        switch (between(r, 0, 9)) {
        case 0: {
            int64_t *dim = &w[4 + k % (w[3] > 0 ? w[3] : 1)];
            *dim = one_in(r, 2) ? wild(r) : (int64_t)((uint64_t)*dim + (uint64_t)between(r, -1, 1));
            break;
        }
        case 1: w[4 + CPR_MAX_RANK + k] = wild(r); break;
        case 2: w[2] = between(r, 0, 17); break;
        case 3: w[3] = between(r, 0, 8); break;
        case 4: w[0] = -1; break;
        case 5: n = (int32_t)between(r, 0, n); break;
        case 6: n_args = (int32_t)between(r, 0, n_args); break;
        case 7: w[1] = (int64_t)((uint64_t)w[1] + (uint64_t)between(r, -8, 8)); break;
        case 8: opcode = one_in(r, 4) ? (int32_t)between(r, -1, 100) : opcode; break;
        default:
            if (n_args > 0)
                t->args[between(r, 0, n_args - 1)] = wild(r);
        }
    }
    for (int32_t i = 0; i < t->n; i++) { /* the caller's duty: elements are aligned */
        bytes[i] = (bytes[i] + 7) / 8 * 8;
        words[i][1] -= words[i][1] % dtype_bytes((int32_t)words[i][2]);
    }
    attempt(r, opcode, n, words, bytes, n_args, t->args, t);
}

/* Small tensors of any kind under any opcode: checks must stand on their own. */
void fuzz_words(rng *r)
{
    static const int32_t dtypes[] = {F32, F32, F32, U8, S8, S32, S64, BOOL, F16, F64, 0};
    test_case t = {.n = (int32_t)between(r, 0, 8)};
    int64_t words[CPR_MAX_OPERANDS][CPR_TENSOR_WORDS], bytes[CPR_MAX_OPERANDS] = {0};
    memset(words, 0, sizeof words);
    int64_t shared[CPR_MAX_RANK];
    const int32_t rank = random_dims(r, 0, 4, 60, shared), dtype = one_of(r, dtypes);
    for (int32_t i = 0; i < t.n; i++) {
        operand *o = &t.operand[i];
        *o = (operand){.role = INPUT, .dtype = one_in(r, 3) ? one_of(r, dtypes) : dtype, .rank = rank, .same_as = -1,
                       .bounded = one_in(r, 2), .low = -3, .high = 3};
        memcpy(o->dim, shared, sizeof shared);
        if (one_in(r, 3))
            o->rank = random_dims(r, 0, 4, 60, o->dim);
        make_dense(o);
        bytes[i] = one_in(r, 10) ? 8 : 1024;
        words[i][0] = one_in(r, 8) ? -1 : i + 1;
        words[i][2] = o->dtype;
        words[i][3] = o->rank;
        memcpy(&words[i][4], o->dim, sizeof o->dim);
        memcpy(&words[i][4 + CPR_MAX_RANK], o->stride, sizeof o->stride);
    }
    const int32_t n_args = (int32_t)between(r, 0, 14);
    for (int32_t i = 0; i < n_args; i++)
        t.args[i] = one_in(r, 4) ? wild(r) : between(r, 0, 3);
    attempt(r, (int32_t)between(r, -1, 90), t.n, words, bytes, n_args, t.args, &t);
}
