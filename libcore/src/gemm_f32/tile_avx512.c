/* tile_avx512.c - float32 tiles of up to 14 rows x 2 panels, 6 rows x 4 panels (AVX-512).
 *
 * Registers: 14 x 2 accumulators + 2 of B + 1 broadcast of A = 31 of 32.
 */
#include "gemm_f32/gemm_f32.h"
#include "product/zmm.h"

/* Rows of B: it comes from L2, where Intel's processors do not fetch far enough by themselves, and for the first
 * rows of A from L3 or main memory.  Few rows of A take less time for one of B. */
enum { AHEAD = 64, AHEAD_OF_FEW = 16 };

/* One k of all rows and panels. */
static inline __attribute__((always_inline)) void step(const int MR, const int NP, __m512 acc[14][4], const float *const *a,
                                                       int64_t k, const float *b, int64_t panel)
{
    __m512 bk[4];
    EACH_PANEL bk[j] = _mm512_loadu_ps(b + j * panel);
    EACH_PANEL _mm_prefetch((const char *)(b + j * panel + (NP == 2 ? AHEAD : AHEAD_OF_FEW) * CPR_PANEL), _MM_HINT_T0);
    EACH_ROW {
        const __m512 ak = _mm512_set1_ps(a[i][k]);
        EACH_PANEL acc[i][j] = _mm512_fmadd_ps(ak, bk[j], acc[i][j]);
    }
}

/* Rows of A that lie evenly: five have their addresses from one and two steps, so that a tile of one panel
 * neither loads 14 addresses nor goes without registers for them.  With few k that is 5 % of its time, with
 * more nothing, and on Intel's processors 3 % more. */
enum { FEW_K = 48 };
typedef struct {
    const char *at[3];
    int64_t step, step3;
} even_rows;

static inline __attribute__((always_inline)) even_rows even_rows_of(const cpr_block *p)
{
    const int64_t step = cpr_here(p->row_step);
    const char *at = p->rows[0];
    return (even_rows){{at, at + 5 * step, at + 10 * step}, step, 3 * step};
}

static inline __attribute__((always_inline)) void even_rows_on(even_rows *e, int64_t bytes)
{
    for (int i = 0; i < 3; i++)
        e->at[i] += bytes;
}

/* The float at a distance from the start of row i, in all lanes: both are constants. */
static inline __attribute__((always_inline)) __m512 even_float(const even_rows *e, const int i, const int bytes)
{
    __m512 word;
    const char *at = e->at[i / 5];
    if (i % 5 == 0)
        __asm__("vbroadcastss %c2(%1), %0" : "=v"(word) : "r"(at), "i"(bytes));
    else if (i % 5 == 1)
        __asm__("vbroadcastss %c2(%1,%3), %0" : "=v"(word) : "r"(at), "i"(bytes), "r"(e->step));
    else if (i % 5 == 2)
        __asm__("vbroadcastss %c2(%1,%3,2), %0" : "=v"(word) : "r"(at), "i"(bytes), "r"(e->step));
    else if (i % 5 == 3)
        __asm__("vbroadcastss %c2(%1,%3), %0" : "=v"(word) : "r"(at), "i"(bytes), "r"(e->step3));
    else
        __asm__("vbroadcastss %c2(%1,%3,4), %0" : "=v"(word) : "r"(at), "i"(bytes), "r"(e->step));
    return word;
}

/* All k of one panel and evenly spaced rows. */
static inline __attribute__((always_inline)) void even(const int MR, const cpr_block *p, __m512 acc[14][4])
{
    even_rows rows = even_rows_of(p);
    const float *b = p->b;
    int64_t k = p->kc;
    for (; k >= 8; k -= 8, b += 8 * CPR_PANEL, even_rows_on(&rows, 32))
        _Pragma("GCC unroll 8") for (int u = 0; u < 8; u++) {
            const __m512 bk = _mm512_loadu_ps(b + u * CPR_PANEL);
            EACH_ROW acc[i][0] = _mm512_fmadd_ps(even_float(&rows, i, 4 * u), bk, acc[i][0]);
        }
    for (; k > 0; k--, b += CPR_PANEL, even_rows_on(&rows, 4)) {
        const __m512 bk = _mm512_loadu_ps(b);
        EACH_ROW acc[i][0] = _mm512_fmadd_ps(even_float(&rows, i, 0), bk, acc[i][0]);
    }
}

/* All k of all taps, wherever rows lie. */
static inline __attribute__((always_inline)) void any(const int MR, const int NP, const cpr_block *p, __m512 acc[14][4])
{
    const int64_t taps = p->taps, kc = p->kc, panel = p->panel / (int64_t)sizeof(float);
    const float *b = p->b;
    const char *ahead = p->ahead;
    const int64_t ahead_step = p->ahead_step;
    for (int64_t t = 0; t < taps; t++) {
        const float *a[14];
        EACH_ROW a[i] = p->rows[t * MR + i];
        int64_t k = 0;
        for (; NP == 1 && k + 8 <= kc; k += 8, b += 8 * CPR_PANEL) /* more than 14 pointers: reload them less */
            _Pragma("GCC unroll 8") for (int u = 0; u < 8; u++) step(MR, NP, acc, a, k + u, b + u * CPR_PANEL, panel);
        if (NP == 2 && p->next) {
            const char *next = p->next; /* there is one tap */
            for (const int64_t next_step = p->next_step; k < kc; k++, b += CPR_PANEL, next += next_step) {
                _mm_prefetch(next, _MM_HINT_T0);
                step(MR, NP, acc, a, k, b, panel);
            }
        }
        for (; NP == 2 && ahead_step && k < kc; k++, b += CPR_PANEL, ahead += ahead_step) {
            step(MR, NP, acc, a, k, b, panel);
            _mm_prefetch(ahead, _MM_HINT_T1);
        }
        for (; k < kc; k++, b += CPR_PANEL)
            step(MR, NP, acc, a, k, b, panel);
    }
}

static inline __attribute__((always_inline)) void tile(const int MR, const int NP, const cpr_block *p)
{
    __m512 acc[14][4];
    EACH_PANEL {
        const __m512 start = p->start ? _mm512_loadu_ps((const float *)p->start + 16 * j) : _mm512_setzero_ps();
        EACH_ROW acc[i][j] = start;
    }
    if (__builtin_expect(p->resume, 0))
        load_sums(MR, NP, p, acc);

    const bool added = p->residual && !p->more;
    if (added)
        fetch_residual(MR, NP, p, sizeof(float));

    if (NP == 1 && p->row_step && p->kc <= FEW_K)
        even(MR, p, acc);
    else
        any(MR, NP, p, acc);

    if (p->zeros && !p->more)
        EACH_PANEL EACH_ROW acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_setzero_ps());
    if (added)
        add_floats(MR, NP, p, acc);
    if (!p->more)
        clip_floats(MR, NP, p, acc);
    store_rows(MR, NP, p, acc);
}

FOURTEEN(1)
FOURTEEN(2)
SIX(4)

const cpr_tiles cpr_f32_tiles_avx512 = {
    .max_rows = {0, 14, 14, 0, 6},
    .tile = {[1] = {NULL, NAMES14(1)}, [2] = {NULL, NAMES14(2)}, [4] = {NULL, NAMES6(4)}},
};
