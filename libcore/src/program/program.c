/* program.c - check a planned list of records once; run.c runs it any number of times.
 *
 * Nothing that comes in is trusted: every tensor must lie inside its base, every record
 * inside the words, every kernel must accept its operands.
 */
#include <stdlib.h>
#include <string.h>

#include "program/program.h"
#include "program/table.h"

enum { MAX_BASES = 1 << 20 };

static int64_t round_up(int64_t bytes)
{
    return (bytes + CPR_ALIGN - 1) / CPR_ALIGN * CPR_ALIGN;
}

/* A stride that leads nowhere, its dimension having one element, may be any number.  Kernels may
 * multiply it all the same: those beyond this become 0. */
static const int64_t FARTHEST = (int64_t)1 << 40;

/* Decode one tensor and prove that every element lies in [0, bytes) of its base. */
static cpr_status read_tensor(const int64_t *word, int32_t index, int32_t n_bases,
                              const int64_t *base_bytes, cpr_tensor *t)
{
    const int64_t base = word[0], offset = word[1], dtype = word[2], rank = word[3];
    if (base < 0 || base >= n_bases || rank < 0 || rank > CPR_MAX_RANK || dtype < 1 || dtype > 26)
        return cpr_fail(CPR_ERR_ARGUMENT, "tensor %d: base, dtype or rank out of range", index);
    *t = (cpr_tensor){.base = (int32_t)base, .dtype = (int32_t)dtype, .rank = (int32_t)rank, .offset = offset};
    const int64_t size = cpr_dtype_bytes(t->dtype);
    if (size == 0)
        return cpr_fail(CPR_ERR_UNSUPPORTED, "tensor %d: no kernels for dtype %d", index, t->dtype);
    if (offset % size)
        return cpr_fail(CPR_ERR_ARGUMENT, "tensor %d: its offset is not a whole number of elements", index);
    int64_t low = 0, high = 0, count = 1;
    bool bad = false, empty = false;
    for (int32_t i = 0; i < t->rank; i++) {
        const int64_t dim = word[4 + i], stride = word[4 + CPR_MAX_RANK + i];
        t->dim[i] = dim;
        t->stride[i] = dim <= 1 && (stride > FARTHEST || stride < -FARTHEST) ? 0 : stride;
        if (dim < 0)
            return cpr_fail(CPR_ERR_ARGUMENT, "tensor %d: dimension %d is negative", index, i);
        if (dim == 0)
            empty = true;
        int64_t reach;
        bad |= __builtin_mul_overflow(count, dim > 0 ? dim : 1, &count);
        bad |= __builtin_mul_overflow(dim > 0 ? dim - 1 : 0, stride, &reach);
        bad |= __builtin_add_overflow(*(stride < 0 ? &low : &high), reach, stride < 0 ? &low : &high);
    }
    int64_t first, past;
    bad |= __builtin_mul_overflow(low, size, &first) || __builtin_add_overflow(first, offset, &first);
    bad |= __builtin_add_overflow(high, 1, &past) || __builtin_mul_overflow(past, size, &past) ||
           __builtin_add_overflow(past, offset, &past);
    if (empty && !bad)
        return CPR_OK;
    if (bad || first < 0 || past > base_bytes[base])
        return cpr_fail(CPR_ERR_ARGUMENT, "tensor %d: elements lie outside its memory", index);
    return CPR_OK;
}

/* Check one record's operands with its kernel. */
static cpr_status check_record(const cpr_record *r, int64_t *scratch)
{
    *scratch = 0;
    const cpr_status status = r->kernel->check(&r->op, scratch);
    if (status == CPR_OK && *scratch < 0)
        return cpr_fail(CPR_ERR_ARGUMENT, "%s: scratch size overflows", r->kernel->name);
    return status;
}

static cpr_status read_operands(cpr_record *r, int64_t opcode, int64_t n_operands, const int64_t *operands,
                                int32_t n_tensors, const cpr_tensor *tensors)
{
    r->kernel = cpr_kernel_at(opcode);
    if (!r->kernel)
        return cpr_fail(CPR_ERR_ARGUMENT, "record: opcode %lld does not exist", (long long)opcode);
    if (n_operands < 0 || n_operands > CPR_MAX_OPERANDS)
        return cpr_fail(CPR_ERR_ARGUMENT, "%s: too many operands", r->kernel->name);
    r->op.n_tensors = (int32_t)n_operands;
    for (int64_t i = 0; i < n_operands; i++) {
        const int64_t t = operands ? operands[i] : i;
        if (t < -1 || t >= n_tensors)
            return cpr_fail(CPR_ERR_ARGUMENT, "%s: operand %lld does not exist", r->kernel->name, (long long)i);
        r->op.tensor[i] = t < 0 ? NULL : &tensors[t];
    }
    return CPR_OK;
}

cpr_status cpr_call(int32_t opcode, int32_t n_tensors, const int64_t *words, void *const *data,
                    int32_t n_args, const int64_t *args, void *pool)
{
    CPR_REQUIRE("cpr_call", n_tensors >= 0 && n_tensors <= CPR_MAX_OPERANDS);
    CPR_REQUIRE("cpr_call", n_args >= 0 && (args || n_args == 0));
    CPR_REQUIRE("cpr_call", (words && data) || n_tensors == 0);
    cpr_tensor tensors[CPR_MAX_OPERANDS];
    cpr_record r = {0};
    int64_t operands[CPR_MAX_OPERANDS];
    for (int32_t i = 0; i < n_tensors; i++) {
        /* The caller vouches for its arrays: any extent inside half the address space passes. */
        const int64_t whole = INT64_MAX / 2;
        int64_t word[CPR_TENSOR_WORDS];
        memcpy(word, words + (int64_t)i * CPR_TENSOR_WORDS, sizeof word);
        operands[i] = word[0] < 0 ? -1 : i; /* base -1: absent */
        word[0] = 0;
        word[1] = whole / 2 / CPR_ALIGN * CPR_ALIGN;
        const cpr_status status = operands[i] < 0 ? CPR_OK : read_tensor(word, i, 1, &whole, &tensors[i]);
        if (status)
            return status;
    }
    cpr_status status = read_operands(&r, opcode, n_tensors, operands, n_tensors, tensors);
    if (status)
        return status;
    r.op.n_args = n_args;
    r.op.args = args;
    r.op.pool = pool;
    int64_t scratch;
    status = check_record(&r, &scratch);
    if (status)
        return status;
    for (int32_t i = 0; i < n_tensors; i++)
        r.op.data[i] = operands[i] < 0 ? NULL : data[i];
    r.op.scratch_stride = round_up(scratch);
    if (scratch > 0) {
        r.op.scratch = aligned_alloc(CPR_ALIGN, (size_t)(r.op.scratch_stride * cpr_pool_threads(pool)));
        if (!r.op.scratch)
            return cpr_fail(CPR_ERR_MEMORY, "%s: out of memory for scratch", r.kernel->name);
    }
    status = r.kernel->run(&r.op);
    free(r.op.scratch);
    return status;
}

/* Walk the records; with `out` NULL only count them. */
static cpr_status read_records(cpr_program *p, int64_t n_words, const int64_t *words, int64_t *n_records, bool store)
{
    int64_t at = 0, count = 0;
    while (at < n_words) {
        if (n_words - at < 3)
            return cpr_fail(CPR_ERR_ARGUMENT, "record %lld is cut off", (long long)count);
        const int64_t opcode = words[at], n_operands = words[at + 1], n_args = words[at + 2];
        const int64_t left = n_words - at - 3;
        if (n_operands < 0 || n_operands > CPR_MAX_OPERANDS || n_args < 0 || n_args > left - n_operands)
            return cpr_fail(CPR_ERR_ARGUMENT, "record %lld is cut off", (long long)count);
        if (store) {
            cpr_record *r = &p->records[count];
            cpr_status status = read_operands(r, opcode, n_operands, words + at + 3, p->n_tensors, p->tensors);
            if (status)
                return status;
            r->op.n_args = (int32_t)n_args;
            r->op.args = p->args + at + 3 + n_operands;
            int64_t scratch;
            status = check_record(r, &scratch);
            if (status)
                return status;
            if (round_up(scratch) > p->scratch_bytes)
                p->scratch_bytes = round_up(scratch);
        }
        at += 3 + n_operands + n_args;
        count++;
    }
    *n_records = count;
    return CPR_OK;
}

static cpr_status fill(cpr_program *p, const int64_t *tensors, int64_t n_words, const int64_t *records)
{
    for (int32_t i = 0; i < p->n_tensors; i++) {
        const cpr_status status = read_tensor(tensors + (int64_t)i * CPR_TENSOR_WORDS, i, p->n_bases,
                                              p->base_bytes, &p->tensors[i]);
        if (status)
            return status;
    }
    return read_records(p, n_words, records, &p->n_records, true);
}

cpr_status cpr_program_create(int32_t n_tensors, const int64_t *tensors, int64_t n_words,
                              const int64_t *records, int32_t n_bases, const int64_t *base_bytes,
                              void **out)
{
    CPR_REQUIRE("cpr_program_create", n_tensors >= 0 && n_words >= 0 && n_bases >= 1 && n_bases <= MAX_BASES);
    CPR_REQUIRE("cpr_program_create", tensors && records && base_bytes && out);
    for (int32_t i = 0; i < n_bases; i++)
        CPR_REQUIRE("cpr_program_create", base_bytes[i] >= 0 && base_bytes[i] < INT64_MAX / 4);
    int64_t n_records;
    cpr_status status = read_records(NULL, n_words, records, &n_records, false);
    if (status)
        return status;
    cpr_program *p = calloc(1, sizeof *p);
    if (p) {
        p->n_tensors = n_tensors;
        p->n_bases = n_bases;
        p->value_bytes = round_up(base_bytes[0]);
        p->base_bytes = malloc((size_t)n_bases * sizeof *p->base_bytes);
        p->tensors = calloc((size_t)n_tensors + 1, sizeof *p->tensors);
        p->records = calloc((size_t)n_records + 1, sizeof *p->records);
        p->args = malloc(((size_t)n_words + 1) * sizeof *p->args);
    }
    if (!p || !p->base_bytes || !p->tensors || !p->records || !p->args) {
        cpr_program_destroy(p);
        return cpr_fail(CPR_ERR_MEMORY, "cpr_program_create: out of memory");
    }
    memcpy(p->base_bytes, base_bytes, (size_t)n_bases * sizeof *base_bytes);
    memcpy(p->args, records, (size_t)n_words * sizeof *records);
    status = fill(p, tensors, n_words, records);
    if (status) {
        cpr_program_destroy(p);
        return status;
    }
    *out = p;
    return CPR_OK;
}

cpr_status cpr_program_destroy(void *handle)
{
    cpr_program *p = handle;
    if (p) {
        free(p->base_bytes);
        free(p->tensors);
        free(p->records);
        free(p->args);
        free(p);
    }
    return CPR_OK;
}

cpr_status cpr_program_arena_bytes(const void *handle, int32_t n_threads, int64_t *bytes)
{
    const cpr_program *p = handle;
    CPR_REQUIRE("cpr_program_arena_bytes", p && bytes && n_threads >= 1);
    int64_t scratch;
    if (__builtin_mul_overflow(p->scratch_bytes, (int64_t)n_threads, &scratch) ||
        __builtin_add_overflow(p->value_bytes, scratch, bytes))
        return cpr_fail(CPR_ERR_MEMORY, "cpr_program_arena_bytes: scratch size overflows");
    return CPR_OK;
}
