/* chain.c - chain_f32: several elementwise operators in one loop.  What lies between them stays in
 * the L1 cache, a chunk at a time; every element is what the operators one by one would give. */
#include "vector/binary.h"
#include "vector/unary.h"

enum { CHUNK = 512, MOST = 8, INPUTS = CPR_WALK_MAX - 1, WORDS = 5, BINARY = 64 };

/* One operator; sources: inputs from 0 on, results of earlier ones from INPUTS on. */
typedef struct {
    cpr_unary_fn *unary;
    cpr_core *binary;
    int32_t a, b;
    float alpha, beta;
} link;

typedef struct {
    int32_t n, inputs;
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

static void apply(const link *l, const source *from, int64_t part, float *out, float *spare)
{
    const source *a = from + l->a, *b = from + l->b;
    if (l->unary) {
        l->unary(part, spread(a, part, spare), out, l->alpha, l->beta);
        return;
    }
    const uint32_t scalars = (uint32_t)a->scalar | (uint32_t)b->scalar << 1;
    char *data[] = {scalars == 3 ? (char *)(uintptr_t)spread(a, part, spare) : a->data, b->data, (char *)out};
    l->binary(NULL, part, data, scalars == 3 ? 2 : scalars);
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
            from[i] = (source){data[i] + (scalar ? 0 : done * (int64_t)sizeof(float)), scalar};
        }
        for (int32_t k = 0; k < c->n; k++) {
            float *out = k + 1 < c->n ? result[k] : (float *)data[c->inputs] + done;
            apply(c->link + k, from, part, out, spare);
            from[INPUTS + k] = (source){(char *)out, false};
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

/* operands: 1 to 4 inputs, out; args: per operator its function (of unary_f32; 64 and more: of
 * binary), two sources, alpha, beta. */
static cpr_status check(const cpr_op *op, int64_t *scratch_bytes)
{
    (void)scratch_bytes;
    static const char name[] = "chain_f32";
    CPR_REQUIRE(name, op->n_tensors >= 2 && op->n_tensors <= CPR_WALK_MAX);
    const cpr_status status = cpr_check_walk(name, op, op->n_tensors);
    if (status)
        return status;
    for (int32_t i = 0; i < op->n_tensors; i++)
        CPR_REQUIRE(name, op->tensor[i]->dtype == CPR_F32);
    CPR_REQUIRE(name, op->n_args >= WORDS && op->n_args <= MOST * WORDS && op->n_args % WORDS == 0);
    for (int32_t k = 0; k < op->n_args / WORDS; k++) {
        const int64_t *words = op->args + k * WORDS, inputs = op->n_tensors - 1;
        const bool unary = words[0] >= 0 && words[0] < CPR_UNARY_COUNT;
        CPR_REQUIRE(name, unary || (words[0] >= BINARY && binary_of(words[0] - BINARY)));
        CPR_REQUIRE(name, is_source(words[1], inputs, k) && (unary || is_source(words[2], inputs, k)));
    }
    return CPR_OK;
}

static bool is_cheap(int64_t code)
{
    if (code >= BINARY)
        return code - BINARY != CPR_POW && code - BINARY != CPR_MOD && code - BINARY != CPR_FMOD;
    return cpr_unary_is_cheap((int32_t)code);
}

static cpr_status run(const cpr_op *op)
{
    chain c = {.n = op->n_args / WORDS, .inputs = op->n_tensors - 1};
    bool cheap = true;
    for (int32_t k = 0; k < c.n; k++) {
        const int64_t *words = op->args + k * WORDS;
        link *l = c.link + k;
        if (words[0] < BINARY)
            l->unary = cpr_unary()->f[words[0]];
        else
            l->binary = binary_of(words[0] - BINARY);
        l->a = (int32_t)words[1];
        l->b = l->unary ? l->a : (int32_t)words[2];
        l->alpha = (float)cpr_arg_float(op, k * WORDS + 3);
        l->beta = (float)cpr_arg_float(op, k * WORDS + 4);
        cheap &= is_cheap(words[0]);
    }
    const uint32_t any = UINT32_MAX; /* set of scalar inputs */
    const int64_t grain = cheap ? CPR_GRAIN_CHEAP / 2 : CPR_GRAIN_HEAVY;
    cpr_walk_op(op, op->n_tensors, &(cpr_elementwise){core, &c, any, grain});
    return CPR_OK;
}

const cpr_kernel cpr_k_chain_f32 = {"chain_f32", check, run};
