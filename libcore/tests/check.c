/* check.c - see check.h.   check [--seed S] [--cases N] [--fuzz N] [--only KERNEL] [--case I] */
#include "check.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATTERN = 0x5a };

static char *slots[CPR_MAX_OPERANDS + 1];
static void *pools[2];
static int64_t failures;

/* The case that runs now, for the report of a crash. */
static struct {
    const char *kernel;
    long long seed, index;
} now;

static void report_crash(int number)
{
    char text[200];
    const int n = snprintf(text, sizeof text, "signal %d: --seed %lld --only %s --case %lld\n", number, now.seed,
                           now.kernel, now.index);
    if (write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(3);
    signal(number, SIG_DFL);
    raise(number);
}

static void make_slots(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int32_t i = 0; i <= CPR_MAX_OPERANDS; i++) {
        char *p = mmap(NULL, AREA + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + page, AREA, PROT_READ | PROT_WRITE))
            exit(2);
        slots[i] = p + page;
    }
}

char *place(int32_t slot, int64_t bytes, bool after)
{
    return after ? slots[slot] + AREA - bytes : slots[slot];
}

static void words_of(const operand *o, int64_t *word)
{
    memset(word, 0, CPR_TENSOR_WORDS * sizeof *word);
    word[0] = o->role == ABSENT ? -1 : 0;
    word[2] = o->dtype;
    word[3] = o->rank;
    for (int32_t k = 0; k < o->rank; k++) {
        word[4 + k] = o->dim[k];
        word[4 + CPR_MAX_RANK + k] = o->stride[k];
    }
}

static void describe(const test_case *t)
{
    for (int32_t i = 0; i < t->n; i++) {
        const operand *o = &t->operand[i];
        if (o->role == ABSENT) {
            printf("  %d: absent\n", i);
            continue;
        }
        printf("  %d: %s dtype %d dims", i, o->role == INPUT ? "in " : "out", o->dtype);
        for (int32_t k = 0; k < o->rank; k++)
            printf(" %lld", (long long)o->dim[k]);
        printf(" strides");
        for (int32_t k = 0; k < o->rank; k++)
            printf(" %lld", (long long)o->stride[k]);
        printf(o->same_as >= 0 ? " in place of %d\n" : "\n", o->same_as);
    }
    printf("  args");
    for (int32_t i = 0; i < t->n_args; i++)
        printf(" %lld", (long long)t->args[i]);
    printf("\n");
}

/* ---- one run ------------------------------------------------------------------------------ */

typedef struct {
    int64_t bytes[CPR_MAX_OPERANDS], first[CPR_MAX_OPERANDS]; /* span; bytes before element 0 */
    char *before[CPR_MAX_OPERANDS];                           /* contents */
    char *expected[CPR_MAX_OPERANDS];                         /* after the first run */
} memory;

static bool is_nan(const char *p, int32_t dtype)
{
    double d;
    float f;
    uint16_t h;
    switch (dtype) {
    case F64: memcpy(&d, p, 8); return isnan(d);
    case F32: memcpy(&f, p, 4); return isnan(f);
    case F16: memcpy(&h, p, 2); return (h & 0x7fff) > 0x7c00;
    case BF16: memcpy(&h, p, 2); return (h & 0x7fff) > 0x7f80;
    default: return false;
    }
}

/* The first differing byte, -1 if none. */
static int64_t difference(const char *a, const char *b, int64_t n, int32_t dtype)
{
    if (memcmp(a, b, (size_t)n) == 0)
        return -1;
    const int64_t size = dtype_bytes(dtype);
    for (int64_t i = 0; i + size <= n; i += size)
        if (memcmp(a + i, b + i, (size_t)size) && !(is_nan(a + i, dtype) && is_nan(b + i, dtype)))
            return i;
    return -1;
}

static cpr_status run(const test_case *t, const memory *m, bool after, void *pool)
{
    int64_t words[CPR_MAX_OPERANDS][CPR_TENSOR_WORDS];
    void *data[CPR_MAX_OPERANDS];
    for (int32_t i = 0; i < t->n; i++) {
        const operand *o = &t->operand[i];
        words_of(o, words[i]);
        if (o->role == ABSENT)
            continue;
        const int32_t slot = o->same_as >= 0 ? o->same_as : i;
        char *at = place(slot, m->bytes[slot], after);
        if (slot == i)
            memcpy(at, m->before[i], (size_t)m->bytes[i]);
        data[i] = at + m->first[slot];
    }
    int32_t opcode;
    const cpr_status status = cpr_find_op(t->kernel, &opcode);
    return status ? status : cpr_call(opcode, t->n, words[0], data, t->n_args, t->args, pool);
}

/* Compare all memory with the first run's. */
static bool same(const test_case *t, memory *m, bool after, bool first, const char *how)
{
    for (int32_t i = 0; i < t->n; i++) {
        const operand *o = &t->operand[i];
        if (o->role == ABSENT || o->same_as >= 0)
            continue;
        const char *at = place(i, m->bytes[i], after);
        if (first) {
            memcpy(m->expected[i], at, (size_t)m->bytes[i]);
            continue;
        }
        const int64_t byte = difference(m->expected[i], at, m->bytes[i], o->dtype);
        if (byte >= 0) {
            printf("%s: operand %d differs at byte %lld on %s\n", t->kernel, i, (long long)byte, how);
            return false;
        }
    }
    return true;
}

/* Whether bfloat16 takes part: AMX alone adds its products in an order of its own. */
static bool has_halves(const test_case *t)
{
    for (int32_t i = 0; i < t->n; i++)
        if (t->operand[i].role != ABSENT && t->operand[i].dtype == BF16)
            return true;
    return false;
}

static bool check_case(rng *r, const test_case *t)
{
    memory m = {0};
    int64_t total = 0;
    for (int32_t i = 0; i < t->n; i++) {
        const operand *o = &t->operand[i];
        if (o->role == ABSENT || o->same_as >= 0)
            continue;
        int64_t low, high;
        extent_of(o, &low, &high);
        m.bytes[i] = (high - low) * dtype_bytes(o->dtype);
        m.first[i] = -low * dtype_bytes(o->dtype);
        if (m.bytes[i] > AREA)
            return true; /* too large for a slot: not a case */
        total += m.bytes[i];
    }
    char *all = malloc(2 * (size_t)total + 1), *at = all;
    for (int32_t i = 0; i < t->n; i++) {
        m.before[i] = at;
        m.expected[i] = at + m.bytes[i];
        at += 2 * m.bytes[i];
        if (t->operand[i].role == OUTPUT)
            memset(m.before[i], PATTERN, (size_t)m.bytes[i]);
        else if (t->operand[i].role == INPUT && t->operand[i].same_as < 0)
            fill(r, m.before[i], m.bytes[i], &t->operand[i]);
    }
    int32_t best;
    bool good = true;
    cpr_limit_isa(AMX);
    cpr_get_isa(&best);
    cpr_status expected = CPR_OK;
    for (int32_t variant = 0; good && variant < 4 * (best + 1); variant++) {
        const int32_t isa = variant / 4;
        const bool after = variant & 1, threads = variant & 2;
        char how[80];
        snprintf(how, sizeof how, "instruction set %d, %d threads, page %s", isa, threads ? 3 : 1, after ? "after" : "before");
        cpr_limit_isa(isa);
        const cpr_status status = run(t, &m, after, threads ? pools[1] : NULL);
        if (variant == 0)
            expected = status;
        if (status != expected || status == CPR_ERR_UNSUPPORTED || status == CPR_ERR_MEMORY) {
            printf("%s: status %d (%s) on %s\n", t->kernel, status, cpr_last_error(), how);
            good = false;
        } else
            good = status || same(t, &m, after, variant == 0 || (variant == 4 * AMX && has_halves(t)), how);
    }
    cpr_limit_isa(AMX);
    if (good && expected != CPR_OK) {
        printf("%s: refused: %s\n", t->kernel, cpr_last_error());
        good = false;
    }
    free(all);
    return good;
}

/* ---- main ----------------------------------------------------------------------------------- */

static const generator *const families[] = {cases_vector, cases_reduce, cases_norm, cases_pool,
                                            cases_gather, cases_quant, cases_recurrent, cases_pack, cases_product,
                                            cases_grad, cases_attention};

static rng stream(uint64_t seed, uint64_t kernel, uint64_t index)
{
    rng r = {seed * 0x9e3779b97f4a7c15u + kernel * 0xbf58476d1ce4e5b9u + index};
    next(&r);
    return r;
}

static uint64_t hash(const char *name)
{
    uint64_t h = 1469598103934665603u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

static test_case make_case(rng *r, const generator *g)
{
    test_case t = {.kernel = g->kernel};
    for (int32_t i = 0; i < CPR_MAX_OPERANDS; i++)
        t.operand[i].same_as = -1;
    g->make(r, &t);
    return t;
}

int main(int argc, char **argv)
{
    long long seed = 1, cases = 100, fuzz = 200, one = -1;
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seed")) seed = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--cases")) cases = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--fuzz")) fuzz = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--only")) only = argv[i + 1];
        else if (!strcmp(argv[i], "--case")) one = atoll(argv[i + 1]);
    }
    make_slots();
    signal(SIGSEGV, report_crash);
    signal(SIGBUS, report_crash);
    signal(SIGFPE, report_crash);
    if (cpr_pool_create(3, &pools[1]))
        return 2;
    long long done = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const generator *g = families[f]; g->kernel; g++) {
            if (only && strcmp(only, g->kernel))
                continue;
            for (long long i = 0; i < (cases > fuzz ? cases : fuzz); i++) {
                if (one >= 0 && i != one)
                    continue;
                rng r = stream((uint64_t)seed, hash(g->kernel), (uint64_t)i);
                test_case t = make_case(&r, g);
                now.kernel = g->kernel;
                now.seed = seed;
                now.index = i;
                fflush(stdout);
                if (i < cases && !check_case(&r, &t)) {
                    printf("%s: case %lld of seed %lld\n", g->kernel, i, seed);
                    describe(&t);
                    if (++failures >= 10)
                        return 1;
                }
                if (i < fuzz)
                    fuzz_mutation(&r, &t);
                done++;
            }
        }
    rng r = stream((uint64_t)seed, 0, 0);
    for (long long i = 0; !only && i < fuzz * 100; i++)
        fuzz_words(&r);
    if (!only || !strcmp(only, "repeat"))
        failures += !check_repeat(&r, pools[1], 3, cases);
    cpr_pool_destroy(pools[1]);
    printf("%lld cases, %lld failures (seed %lld)\n", done, (long long)failures, seed);
    return failures ? 1 : 0;
}
