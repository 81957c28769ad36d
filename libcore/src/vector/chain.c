/* chain.c - chain_f32: several elementwise operators in one loop, the first of which may read codes
 * and the last of which may make them.  What lies between them stays in the L1 cache, a chunk at a
 * time; every element is what the operators one by one would give. */
#include "quant/linear.h"
#include "vector/binary.h"
#include "vector/unary.h"

enum { CHUNK = 512, MOST = 8, INPUTS = CPR_WALK_MAX - 1, WORDS = 6, BINARY = 64, QUANTIZE = 128, DEQUANTIZE };

/* One operator; sources: inputs from 0 on, results of earlier ones from INPUTS on. */
typedef struct {
    cpr_unary_fn *unary;
    cpr_core *binary;   /* or */
    cpr_conversion linear; /* or, if it has a core */
    int32_t a, b;
    int32_t to;         /* the operand that it writes, or -1 */
    float alpha, beta;
} link;

typedef struct {
    int32_t n, inputs;
    int64_t bytes[CPR_WALK_MAX]; /* of an element of an operand */
    link link[MOST];
} chain;

/* A source: where this chunk of it lies, or its one element. */
typedef struct {
    char *data;
    bool scalar;
} source;

/* The source as `part` elements. */
static const float *spread(const source *s, int64_t part, float *spare)
{
    if (!s->scalar)
        return (const float *)s->data;
    const float value = *(const float *)s->data;
    for (int64_t i = 0; i < part; i++)
        spare[i] = value;
    return spare;
}

/* Its result in `out`: of one element where it is made of one. */
static bool apply(const link *l, const source *from, int64_t part, char *out, float *spare)
{
    const source *a = from + l->a, *b = from + l->b;
    if (l->linear.core) {
        const bool one = a->scalar && l->to < 0;
        cpr_convert(&l->linear, one ? 1 : part, one ? (const void *)a->data : spread(a, part, spare), out);
        return one;
    }
    if (l->unary) {
        l->unary(part, spread(a, part, spare), (float *)out, l->alpha, l->beta);
        return false;
    }
    const uint32_t scalars = (uint32_t)a->scalar | (uint32_t)b->scalar << 1;
    char *data[] = {scalars == 3 ? (char *)(uintptr_t)spread(a, part, spare) : a->data, b->data, out};
    l->binary(NULL, part, data, scalars == 3 ? 2 : scalars);
    return false;
}

static void core(const void *context, int64_t n, char *const *data, uint32_t scalars)
{
    const chain *c = context;
    _Alignas(64) float result[MOST][CHUNK], spare[CHUNK];
    source from[INPUTS + MOST];
    for (int64_t done = 0; done < n; done += CHUNK) {
        const int64_t part = n - done < CHUNK ? n - done : CHUNK;
        for (int32_t i = 0; i < c->inputs; i++) {
            const bool scalar = scalars >> i & 1;
            from[i] = (source){data[i] + (scalar ? 0 : done * c->bytes[i]), scalar};
        }
        for (int32_t k = 0; k < c->n; k++) {
            const int32_t to = c->link[k].to;
            char *out = to < 0 ? (char *)result[k] : data[to] + done * c->bytes[to];
            const bool scalar = apply(c->link + k, from, part, out, spare);
            from[INPUTS + k] = (source){out, scalar};
        }
    }
}

/* A float32 function of two that gives float32. */
static cpr_core *binary_of(int64_t code)
{
    return code >= 0 && code < CPR_EQUAL ? cpr_binary_loops(CPR_F32)[code] : NULL;
}

static bool is_source(int64_t s, int64_t inputs, int64_t links)
{
    return (s >= 0 && s < inputs) || (s >= INPUTS && s < INPUTS + links);
}

/* Whether a result that is not the last can be written as the last is: element by element, densely. */
static bool lies_as(const cpr_tensor *kept, const cpr_tensor *out)
{
    bool dense = false;
    if (cpr_elements(out) <= 1)
        return true;
    for (int32_t i = 0; i < out->rank; i++) {
        if (out->dim[i] > 1 && kept->stride[i] != out->stride[i])
            return false;
        dense |= out->dim[i] > 1 && out->stride[i] == 1;
    }
    return dense;
}

/* Whether link k of n is one, given how many operands are read and whether one more is written. */
static bool is_link(const cpr_op *op, int32_t k, int32_t n, int64_t inputs)
{
    const int64_t *words = op->args + k * WORDS, to = words[5], last = op->n_tensors - 1;
    const int32_t from = words[1] >= 0 && words[1] < inputs ? op->tensor[words[1]]->dtype : CPR_F32;
    if (!is_source(words[1], inputs, k) || to != (k + 1 == n ? last : to < 0 ? -1 : inputs))
        return false;
    if (to == last && (words[0] == QUANTIZE) != cpr_is_code(op->tensor[last]->dtype))
        return false;
    if (words[0] == QUANTIZE || words[0] == DEQUANTIZE) {
        const double zero = cpr_arg_float(op, k * WORDS + 4);
        const bool whole = zero >= -128 && zero <= 255 && zero == (double)(int32_t)zero;
        return whole && (words[0] == QUANTIZE ? to == last && from == CPR_F32 : to < 0 && cpr_is_code(from));
    }
    const bool unary = words[0] >= 0 && words[0] < CPR_UNARY_COUNT;
    if (from != CPR_F32 || !(unary || (words[0] >= BINARY && binary_of(words[0] - BINARY))))
        return false;
    return unary || (is_source(words[2], inputs, k) && (words[2] >= inputs || op->tensor[words[2]]->dtype == CPR_F32));
}

/* operands: 1 to 4 inputs f32, u8 or s8, a result f32 that is kept, or none of these, out f32, u8 or
 * s8; args: per operator its function (of unary_f32; 64 and more: of binary; 128: quantize, the last
 * one; 129: dequantize), two sources, alpha and beta, or scale and zero point, the operand that it
 * writes or -1. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    static const char name[] = "chain_f32";
    CPR_REQUIRE(name, op->n_tensors >= 2 && op->n_tensors <= CPR_WALK_MAX);
    const cpr_status status = cpr_check_walk(name, op, op->n_tensors);
    if (status)
        return status;
    CPR_REQUIRE(name, op->n_args >= WORDS && op->n_args <= MOST * WORDS && op->n_args % WORDS == 0);
    const int32_t n = op->n_args / WORDS, last = op->n_tensors - 1;
    int32_t kept = 0;
    for (int32_t k = 0; k + 1 < n; k++)
        kept += op->args[k * WORDS + 5] >= 0;
    CPR_REQUIRE(name, kept <= 1 && last - kept >= 1);
    CPR_REQUIRE(name, !kept || (op->tensor[last - 1]->dtype == CPR_F32 && lies_as(op->tensor[last - 1], op->tensor[last])));
    for (int32_t i = 0; i <= last; i++)
        CPR_REQUIRE(name, op->tensor[i]->dtype == CPR_F32 || cpr_is_code(op->tensor[i]->dtype));
    for (int32_t k = 0; k < n; k++)
        CPR_REQUIRE(name, is_link(op, k, n, last - kept));
    return CPR_OK;
}

static bool is_cheap(int64_t code)
{
    if (code >= QUANTIZE)
        return true;
    if (code >= BINARY)
        return code - BINARY != CPR_POW && code - BINARY != CPR_MOD && code - BINARY != CPR_FMOD;
    return cpr_unary_is_cheap((int32_t)code);
}

static cpr_status run(const cpr_op *op)
{
    chain c = {.n = op->n_args / WORDS, .inputs = op->n_tensors - 1};
    bool cheap = true;
    for (int32_t i = 0; i < op->n_tensors; i++)
        c.bytes[i] = cpr_dtype_bytes(op->tensor[i]->dtype);
    for (int32_t k = 0; k < c.n; k++) {
        const int64_t *words = op->args + k * WORDS;
        link *l = c.link + k;
        l->a = l->b = (int32_t)words[1];
        l->alpha = (float)cpr_arg_float(op, k * WORDS + 3);
        l->beta = (float)cpr_arg_float(op, k * WORDS + 4);
        l->to = (int32_t)words[5];
        if (words[0] >= QUANTIZE) {
            const bool makes = words[0] == QUANTIZE;
            const int32_t from = makes ? CPR_F32 : op->tensor[words[1]]->dtype;
            const int32_t to = makes ? op->tensor[op->n_tensors - 1]->dtype : CPR_F32;
            l->linear = cpr_conversion_of(from, to, l->alpha, (int64_t)l->beta);
        } else if (words[0] >= BINARY) {
            l->binary = binary_of(words[0] - BINARY);
            l->b = (int32_t)words[2];
        } else {
            l->unary = cpr_unary()->f[words[0]];
        }
        c.inputs -= k + 1 < c.n && l->to >= 0;
        cheap &= is_cheap(words[0]);
    }
    const uint32_t any = UINT32_MAX; /* set of scalar inputs */
    const int64_t grain = cheap ? CPR_GRAIN_CHEAP / 2 : CPR_GRAIN_HEAVY;
    cpr_walk_op(op, op->n_tensors, &(cpr_elementwise){core, &c, any, grain});
    return CPR_OK;
}

const cpr_kernel cpr_k_chain_f32 = {"chain_f32", check, run};
