/* wide_loops.h - products by AMX: tiles of 16 rows by 64 bytes.
 *
 * Packed B is what a tile register takes: 16 units of k (quads of bytes, pairs of bfloat16) times 16
 * columns are 1 KB in a row.  32 rows times 32 columns at a time: four tiles of sums, two of A, two
 * of B.
 *
 *     16 or 32 rows of A evenly apart, one tap of whole tiles:  read where they are
 *     else:                                                     gathered, CHUNK bytes of k at a time
 *
 * What is left of k (less than 64 bytes) is put into tiles with zeros behind it.  The including
 * file defines the instruction, DOT(sums, a, b), and finish_rows(MR, NP, p, sums), which makes C of
 * MR rows of sums (32 apart) of NP panels; p->c and p->residual are those of the first row.
 *
 * A row's sums do not depend on the other rows, nor on how they are cut.
 */
#include <immintrin.h>
#include <string.h>

#include "product/product.h"

enum {
    STEP = 64,            /* bytes of k in a tile */
    TILE = 16,            /* rows */
    ROWS = 2 * TILE,
    COLUMNS = 2 * CPR_PANEL,
    GROUPS = 8,           /* of 32 columns, whose sums are kept while A is gathered, and whose B stays in L2 */
    CHUNK = 4096,         /* bytes of k of a row that are gathered at a time */
    WIDTH = CHUNK + STEP, /* of a gathered row; not a multiple of 4096, so that rows lie in other sets of L1 */
    TILE_BYTES = TILE * STEP,
    AHEAD = 4096,         /* bytes of a panel that the first rows fetch into L2 meanwhile */
};

typedef int32_t sums[ROWS][COLUMNS]; /* or floats */

/* Everything that a row block needs. */
typedef struct {
    _Alignas(64) char a[ROWS][WIDTH + STEP]; /* copies end anywhere in 64 bytes */
    _Alignas(64) char last_b[2 * GROUPS][TILE_BYTES];
    _Alignas(64) sums c[GROUPS];
} workspace;

/* All tiles: 16 rows of 64 bytes. */
static void configure(void)
{
    _Alignas(64) struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        all.bytes[i] = STEP;
        all.rows[i] = TILE;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(all));
}

#define LOAD(tile, from, step) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((int64_t)(step)) : "memory")
#define STORE(tile, to, step) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((int64_t)(step)) : "memory")
#define ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : :)

/* Where A lies: rows `step` bytes apart. */
typedef struct {
    const char *at;
    int64_t step;
} source;

/* One step of k: RT tiles of rows times NB panels.  B `fetch` bytes ahead is brought to L2, if not 0. */
static inline __attribute__((always_inline)) void one_step(const int RT, const int NB, source a, const char *b0,
                                                           const char *b1, int64_t fetch)
{
    for (int64_t i = 0; fetch && i < TILE_BYTES; i += 64) {
        _mm_prefetch(b0 + fetch + i, _MM_HINT_T1);
        if (NB == 2)
            _mm_prefetch(b1 + fetch + i, _MM_HINT_T1);
    }
    LOAD(4, a.at, a.step);
    LOAD(6, b0, STEP);
    DOT(0, 4, 6);
    if (NB == 2) {
        LOAD(7, b1, STEP);
        DOT(1, 4, 7);
    }
    if (RT == 2) {
        LOAD(5, a.at + TILE * a.step, a.step);
        DOT(2, 5, 6);
        if (NB == 2)
            DOT(3, 5, 7);
    }
}

/* Add `steps` whole steps and, if last_b is not NULL, one of what is left, to c. */
static inline __attribute__((always_inline)) void add(const int RT, const int NB, const void *start, bool resume, source a,
                                                      const char *b, int64_t panel, int64_t steps, const char *last_b, int64_t fetch, sums c)
{
    const int64_t c_step = sizeof c[0];
    int32_t *lower = c[RT == 2 ? TILE : 0];
    if (resume) {
        LOAD(0, c[0], c_step);
        if (NB == 2)
            LOAD(1, c[0] + CPR_PANEL, c_step);
        if (RT == 2)
            LOAD(2, lower, c_step);
        if (RT == 2 && NB == 2)
            LOAD(3, lower + CPR_PANEL, c_step);
    } else if (start) { /* every row the same */
        const int32_t *first = start;
        LOAD(0, first, 0);
        if (NB == 2)
            LOAD(1, first + CPR_PANEL, 0);
        if (RT == 2)
            LOAD(2, first, 0);
        if (RT == 2 && NB == 2)
            LOAD(3, first + CPR_PANEL, 0);
    } else {
        ZERO(0);
        ZERO(1);
        ZERO(2);
        ZERO(3);
    }
    for (int64_t s = 0; s < steps; s++)
        one_step(RT, NB, (source){a.at + s * STEP, a.step}, b + s * TILE_BYTES, b + panel + s * TILE_BYTES, fetch);
    if (last_b)
        one_step(RT, NB, (source){a.at + steps * STEP, a.step}, last_b, last_b + TILE_BYTES, 0);
    STORE(0, c[0], c_step);
    if (NB == 2)
        STORE(1, c[0] + CPR_PANEL, c_step);
    if (RT == 2)
        STORE(2, lower, c_step);
    if (RT == 2 && NB == 2)
        STORE(3, lower + CPR_PANEL, c_step);
}

/* Whether rows of one tap, n from the first on, can be read where they are: evenly apart, and not so
 * that they meet in a few sets of L1. */
static bool in_place(const void *const *rows, int64_t n)
{
    const int64_t step = (const char *)rows[1] - (const char *)rows[0];
    for (int64_t i = 2; i < n; i++)
        if ((const char *)rows[i] - (const char *)rows[i - 1] != step)
            return false;
    return step % 2048 != 0;
}

/* Copy n bytes, and behind them 64 zeros. */
static inline void copy(char *to, const char *from, int64_t n)
{
    _mm512_storeu_si512(to + n, _mm512_setzero_si512());
    for (; n >= STEP; n -= STEP, from += STEP, to += STEP)
        _mm512_storeu_si512(to, _mm512_loadu_si512(from));
    if (n > 0)
        _mm512_mask_storeu_epi8(to, ~0ull >> (STEP - n), _mm512_maskz_loadu_epi8(~0ull >> (STEP - n), from));
}

/* Bytes [from, from + n) of a row and zeros behind: taps (`apart` pointers from one to the next) one
 * after the other, each `padded` bytes of which `bytes` exist. */
static void gather(const void *const *taps, int64_t apart, int64_t bytes, int64_t padded, int64_t from, int64_t n, char *to)
{
    if (n == 0)
        return;
    int64_t at = from % padded;
    for (taps += from / padded * apart; n > 0; taps += apart) {
        const int64_t run = padded - at < n ? padded - at : n, left = at < bytes ? bytes - at : 0;
        copy(to, (const char *)*taps + at, left < run ? left : run);
        to += run;
        n -= run;
        at = 0;
    }
}

/* What is left of B behind whole steps of k, for n columns: tiles with zeros behind it. */
static void gather_last(const cpr_block *p, int64_t column, int64_t n, int64_t all, int64_t left, char (*to)[TILE_BYTES])
{
    for (int64_t j = 0; j < n; j += CPR_PANEL) {
        const char *b = (const char *)p->b + (column + j) / CPR_PANEL * p->panel + (all - left) * CPR_PANEL;
        memcpy(to[j / CPR_PANEL], b, (size_t)(left * CPR_PANEL));
        memset(to[j / CPR_PANEL] + left * CPR_PANEL, 0, (size_t)(TILE_BYTES - left * CPR_PANEL));
    }
}

/* m rows of sums of n <= 32 columns become C. */
static inline __attribute__((always_inline)) void finish_panels(const int NP, const cpr_product_kind *kind, cpr_block *p,
                                                                const int32_t (*c)[COLUMNS], int64_t m)
{
    const int64_t to = p->ldc * kind->c_bytes, from = p->residual ? p->ldr * kind->c_bytes : 0;
    while (m > 0) {
        const int64_t rows = m >= 4 ? 4 : 1;
        if (rows == 4)
            finish_rows(4, NP, p, c);
        else
            finish_rows(1, NP, p, c);
        p->c = (char *)p->c + rows * to;
        p->residual = (const char *)p->residual + rows * from;
        c += rows;
        m -= rows;
    }
}

/* m rows times columns [column, end), GROUPS groups at most: their B stays in L2 for all rows. */
static void product_of(const cpr_product_kind *kind, const cpr_block *p, int64_t m, int64_t block_rows, int64_t n,
                       int64_t column, int64_t end, workspace *w)
{
    const int64_t bytes = p->kc * kind->a_bytes, padded = (bytes + 3) / 4 * 4, all = p->taps * padded;
    const int64_t left = all % STEP;
    if (left)
        gather_last(p, column, end - column, all, left, w->last_b);
    for (int64_t row = 0; row < m; row += ROWS) {
        const int64_t height = m - row < ROWS ? m - row : ROWS, tiles = height > TILE ? 2 : 1;
        const bool there = p->taps == 1 && left == 0 && bytes == padded && height == tiles * TILE && in_place(p->rows + row, height);
        const int64_t chunk = there ? all : CHUNK, fetch = row == 0 ? AHEAD : 0;
        int64_t k = 0;
        do {
            const int64_t whole = (all - k < chunk ? all - k : chunk) / STEP;
            const bool final = k + whole * STEP + left >= all;
            source a = {w->a[0], sizeof w->a[0]};
            if (there)
                a = (source){p->rows[row], (const char *)p->rows[row + 1] - (const char *)p->rows[row]};
            else
                for (int64_t i = 0; i < height; i++) {
                    const int64_t first = (row + i) / block_rows * block_rows;
                    const int64_t apart = m - first < block_rows ? m - first : block_rows;
                    gather(p->rows + first * p->taps + row + i - first, apart, bytes, padded, k,
                           whole * STEP + (final ? left : 0), w->a[i]);
                }
            for (int64_t j = column; j < end; j += COLUMNS) {
                const int64_t panels = n - j > CPR_PANEL ? 2 : 1;
                const char *b = (const char *)p->b + j / CPR_PANEL * p->panel + k * CPR_PANEL;
                const void *start = p->start ? (const char *)p->start + j * 4 : NULL;
                const char *last_b = final && left ? w->last_b[(j - column) / CPR_PANEL] : NULL;
                int32_t(*c)[COLUMNS] = w->c[(j - column) / COLUMNS];
                if (tiles == 2 && panels == 2)
                    add(2, 2, start, k > 0, a, b, p->panel, whole, last_b, fetch, c);
                else if (tiles == 2)
                    add(2, 1, start, k > 0, a, b, p->panel, whole, last_b, fetch, c);
                else if (panels == 2)
                    add(1, 2, start, k > 0, a, b, p->panel, whole, last_b, fetch, c);
                else
                    add(1, 1, start, k > 0, a, b, p->panel, whole, last_b, fetch, c);
            }
            for (int64_t j = column; final && j < end; j += COLUMNS) {
                const int32_t(*c)[COLUMNS] = (const int32_t(*)[COLUMNS])w->c[(j - column) / COLUMNS];
                cpr_block part = *p;
                part.scale = p->scale ? p->scale + j : NULL;
                part.residual = p->residual ? (const char *)p->residual + (row * p->ldr + j) * kind->c_bytes : NULL;
                part.c = (char *)p->c + (row * p->ldc + j) * kind->c_bytes;
                part.n = n - j < COLUMNS ? n - j : COLUMNS;
                if (n - j > CPR_PANEL)
                    finish_panels(2, kind, &part, c, height);
                else
                    finish_panels(1, kind, &part, c, height);
            }
            k += final ? all : whole * STEP;
        } while (k < all);
    }
}

/* m rows times n columns, as cpr_product does them. */
static void product(const cpr_product_kind *kind, const cpr_block *p, int64_t m, int64_t block_rows, int64_t n)
{
    _Static_assert(sizeof(workspace) <= CPR_WIDE_BYTES, "the workspace fits");
    workspace *w = cpr_wide_memory();
    configure();
    for (int64_t column = 0; column < n; column += GROUPS * COLUMNS)
        product_of(kind, p, m, block_rows, n, column, n - column < GROUPS * COLUMNS ? n : column + GROUPS * COLUMNS, w);
    __asm__ volatile("tilerelease" : :);
}
