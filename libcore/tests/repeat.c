/* repeat.c - a program that is run over and over: every run where it belongs, on any threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { ROWS = 5, WIDTH = 24, MOST_RUNS = 23, TABLE = 7 };

/* Words of a contiguous tensor; rank 2 if columns is not 0. */
static void describe_tensor(int64_t *w, int64_t base, int32_t dtype, int64_t rows, int64_t columns)
{
    memset(w, 0, CPR_TENSOR_WORDS * sizeof *w);
    w[0] = base;
    w[2] = dtype;
    w[3] = columns ? 2 : 1;
    w[4] = rows;
    w[5] = columns ? columns : 0;
    w[4 + CPR_MAX_RANK] = columns ? columns : 1;
    w[5 + CPR_MAX_RANK] = columns ? 1 : 0;
}

/* Rows of a table (base 1) by indices (base 2), by way of the arena, to base 3. */
static void *make_program(void)
{
    int64_t tensors[4][CPR_TENSOR_WORDS];
    int32_t gather, copy;
    void *program = NULL;
    if (cpr_find_op("gather", &gather) || cpr_find_op("copy", &copy))
        return NULL;
    describe_tensor(tensors[0], 1, F32, TABLE, WIDTH);
    describe_tensor(tensors[1], 2, S64, ROWS, 0);
    describe_tensor(tensors[2], 0, F32, ROWS, WIDTH);
    describe_tensor(tensors[3], 3, F32, ROWS, WIDTH);
    const int64_t axis = 0, records[] = {gather, 3, 1, 0, 1, 2, axis, copy, 2, 0, 2, 3};
    const int64_t sizes[] = {ROWS * WIDTH * 4, TABLE * WIDTH * 4, ROWS * 8, ROWS * WIDTH * 4};
    if (cpr_program_create(4, tensors[0], sizeof records / sizeof *records, records, 4, sizes, &program))
        return NULL;
    return program;
}

/* One run after the other, of rows chosen at random, is what all at once must give. */
static bool same_rows(rng *r, const void *program, void *pool, int64_t threads)
{
    static float table[TABLE * WIDTH], out[(MOST_RUNS + 1) * ROWS * WIDTH];
    static int64_t indices[MOST_RUNS * ROWS];
    const int64_t count = between(r, 0, MOST_RUNS), spoilt = one_in(r, 3) && count ? between(r, 0, count - 1) : -1;
    int64_t one, all;
    if (cpr_program_arena_bytes(program, 1, &one) || cpr_program_arena_bytes(program, (int32_t)threads, &all))
        return false;
    for (int i = 0; i < TABLE * WIDTH; i++)
        table[i] = (float)between(r, -1000, 1000);
    for (int i = 0; i < MOST_RUNS * ROWS; i++)
        indices[i] = between(r, -TABLE, TABLE - 1);
    if (spoilt >= 0)
        indices[spoilt * ROWS + between(r, 0, ROWS - 1)] = TABLE;
    memset(out, 0, sizeof out);
    char *arena = aligned_alloc(64, (size_t)(one * threads > all ? one * threads : all));
    void *bases[] = {arena, table, indices, out};
    const int64_t steps[] = {0, 0, ROWS * 8, ROWS * WIDTH * 4};
    cpr_job job = {.program = program, .bases = bases, .n_bases = 4, .pool = pool, .steps = steps, .count = count};
    const cpr_status status = cpr_run_job(&job);
    bool good = (status != CPR_OK) == (spoilt >= 0);
    for (int64_t i = 0; good && spoilt < 0 && i < count * ROWS; i++) {
        const int64_t row = indices[i] < 0 ? indices[i] + TABLE : indices[i];
        good = !memcmp(out + i * WIDTH, table + row * WIDTH, WIDTH * sizeof *out);
    }
    for (int64_t i = count * ROWS * WIDTH; good && i < (MOST_RUNS + 1) * ROWS * WIDTH; i++)
        good = out[i] == 0;
    job.count = -1;
    good = good && cpr_run_job(&job) == CPR_ERR_ARGUMENT;
    job.count = count;
    job.n_bases = 3;
    good = good && cpr_run_job(&job) == CPR_ERR_ARGUMENT && cpr_run_job(NULL) == CPR_ERR_ARGUMENT;
    free(arena);
    return good;
}

bool check_repeat(rng *r, void *pool, int64_t threads, int64_t cases)
{
    void *program = make_program();
    bool good = program != NULL;
    for (int64_t i = 0; good && i < cases; i++) {
        good = same_rows(r, program, i % 2 ? pool : NULL, i % 2 ? threads : 1);
        if (!good)
            printf("repeat: case %lld\n", (long long)i);
    }
    cpr_program_destroy(program);
    return good;
}
