/* product.c - cutting a block of rows and columns into tiles. */
#include "product/product.h"

#include <string.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
enum { FLUSH = 0x8040 }; /* of MXCSR: subnormal results and operands are zeros */

uint32_t cpr_flush_begin(const cpr_product_kind *kind)
{
    const uint32_t state = _mm_getcsr();
    if (kind->flush)
        _mm_setcsr(state | FLUSH);
    return state;
}

void cpr_flush_end(const cpr_product_kind *kind, uint32_t state)
{
    if (kind->flush)
        _mm_setcsr(state);
}
#else
uint32_t cpr_flush_begin(const cpr_product_kind *kind)
{
    (void)kind;
    return 0;
}

void cpr_flush_end(const cpr_product_kind *kind, uint32_t state)
{
    (void)kind;
    (void)state;
}
#endif

void *cpr_wide_memory(void)
{
    static _Thread_local _Alignas(64) char memory[CPR_WIDE_BYTES];
    return memory;
}

/* The widest tile for `panels` panels left and at most `rows` rows. */
static int64_t choose_panels(const cpr_tiles *tiles, int64_t panels, int64_t rows)
{
    if (panels >= 4 && rows <= tiles->max_rows[4])
        return 4;
    if (panels >= 2 && tiles->max_rows[2] > 0)
        return 2;
    return 1;
}

cpr_pool *cpr_product_pool(cpr_pool *pool, const cpr_product_kind *kind, int64_t m, int64_t k, int64_t n)
{
    const double nanoseconds = (double)m * (double)k * (double)n / (double)kind->speed;
    return cpr_pool_for(pool, nanoseconds < 1e9 ? (int64_t)nanoseconds : 1000000000);
}

int64_t cpr_panel_bytes(const cpr_product_kind *kind, int64_t taps, int64_t kc)
{
    return taps * ((kc + kind->k_unit - 1) / kind->k_unit * kind->k_unit) * CPR_PANEL * kind->b_bytes;
}

/* Whether cpr_product leaves all to `wide`. */
static bool is_wide(const cpr_product_kind *kind, int64_t m, int64_t taps, int64_t kc)
{
    return kind->wide && m >= kind->wide_rows && taps * kc >= kind->wide_k && (taps == 1 || kc >= kind->wide_run);
}

int64_t cpr_whole_rows(const cpr_product_kind *kind, int64_t m, int64_t k, int64_t panels)
{
    return is_wide(kind, m, 1, k) ? CPR_WIDE_ROWS : kind->tiles->max_rows[choose_panels(kind->tiles, panels, m)];
}

int64_t cpr_block_rows(const cpr_tiles *tiles, int64_t m, int64_t panels, int64_t line)
{
    const int64_t most = tiles->max_rows[choose_panels(tiles, panels, m)];
    if (line <= most && 2 * line >= most)
        return line;
    const int64_t blocks = (m + most - 1) / most;
    return blocks > 0 ? (m + blocks - 1) / blocks : 1;
}

/* Whether a tap reads nothing but padding. */
static bool reads_zeros(const cpr_block *p, int64_t rows, int64_t tap)
{
    for (int64_t i = 0; i < rows; i++)
        if (p->rows[tap * rows + i] != p->zeros)
            return false;
    return true;
}

/* Leave out the first and the last taps that read nothing but padding. */
static void trim(cpr_block *p, int64_t rows, int64_t tap_bytes)
{
    while (p->taps > 0 && reads_zeros(p, rows, p->taps - 1))
        p->taps--;
    for (; p->taps > 0 && reads_zeros(p, rows, 0); p->taps--) {
        p->rows += rows;
        p->b = (const char *)p->b + tap_bytes;
    }
}

/* Go on by so many blocks of rows. */
static void advance(cpr_block *p, int64_t rows, int64_t blocks)
{
    p->rows += blocks * rows * p->taps;
    p->c = (char *)p->c + blocks * p->c_step;
    p->residual = p->residual ? (const char *)p->residual + blocks * p->residual_step : NULL;
    p->ahead += blocks * p->ahead_block;
}

/* `count` blocks of `rows` rows; those that have taps to be left out come alone. */
static void do_blocks(cpr_tile *tile, cpr_block *p, int64_t rows, int64_t count)
{
    while (p->zeros && p->taps > 0 && count > 0) {
        int64_t n = 0;
        cpr_block at = *p;
        for (; n < count && !reads_zeros(&at, rows, 0) && !reads_zeros(&at, rows, at.taps - 1); n++)
            at.rows += rows * at.taps;
        if (n > 0)
            tile(p, n);
        advance(p, rows, n);
        count -= n;
        if (count > 0) {
            cpr_block inside = *p;
            trim(&inside, rows, p->panel / p->taps);
            tile(&inside, 1);
            advance(p, rows, 1);
            count--;
        }
    }
    if (count > 0) {
        tile(p, count);
        advance(p, rows, count);
    }
}

/* Bytes of a block's rows per unit of k, if they lie close together; or 0.  Those of the next block are
 * fetched meanwhile: they come from L2 or L3, 14 lines at once and in no order that the processor fetches
 * ahead: a float32 product of 3136 x 256 x 64 takes a Xeon 711 us without, 617 with it. */
static int64_t rows_step(const cpr_product_kind *kind, const cpr_block *p, int64_t rows)
{
    const int64_t apart = rows > 1 ? (const char *)p->rows[1] - (const char *)p->rows[0] : 0;
    const bool close = apart > 0 && apart <= p->kc * kind->a_bytes;
    return close ? (rows * apart * kind->k_unit + p->kc - 1) / p->kc : 0;
}

enum { FINISHED = 1 << 16 }; /* bytes of results, in the cache still, that are finished together */

static void finish(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t first, int64_t end)
{
    cpr_after_rows(block->finish, m, end - first, block->ldc, kind->c_bytes, (char *)block->c + first * kind->c_bytes);
}

/* B comes from main memory where the weights of a network do not fit into L3.  The blocks of rows
 * fetch the next columns' B into L2, each its part, if it fits there beside what is in use.  Most
 * float32 tiles take long enough for the processor to fetch ahead by itself.
 *
 * One block of k: all tiles of m rows and n columns. */
static void do_tiles(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t block_rows, int64_t n)
{
    int64_t finished = 0; /* columns */
    const int64_t blocks = (m + block_rows - 1) / block_rows, whole = m / block_rows, rest = m % block_rows;
    const int64_t near = blocks > 1 && block->taps == 1 ? rows_step(kind, block, block_rows) : 0;
    for (int64_t j = 0; j < n;) {
        const int64_t left = (n - j + CPR_PANEL - 1) / CPR_PANEL;
        int64_t panels = choose_panels(kind->tiles, left, block_rows);
        while (kind->most && panels > 1 && panels * block->panel > kind->most)
            panels /= 2;
        const char *next = left > panels ? (const char *)block->b + (j / CPR_PANEL + panels) * block->panel : block->after;
        const int64_t used = panels * cpr_panel_bytes(kind, block->taps, block->kc); /* bytes of B */
        const bool fetch = next && blocks > 1 && used >= kind->least_ahead && used <= kind->ahead;
        const int64_t step = fetch ? (panels * CPR_PANEL * 4 + blocks - 1) / blocks : 0;
        const void *first = left > panels ? block->rows[0] : NULL; /* row of the tile after the last */
        cpr_block part = *block;
        part.b = (const char *)block->b + j / CPR_PANEL * block->panel;
        part.start = block->start ? (const char *)block->start + j * 4 : NULL;
        part.scale = block->scale ? block->scale + j : NULL;
        part.n = n - j < panels * CPR_PANEL ? n - j : panels * CPR_PANEL;
        part.ahead = step ? next : part.b;
        part.ahead_step = step;
        part.ahead_block = used / (panels * CPR_PANEL * 4) * step;
        part.next_step = fetch ? 0 : near;
        part.next = rest ? block->rows[whole * block_rows * block->taps] : first;
        part.residual = block->residual ? (const char *)block->residual + j * kind->c_bytes : NULL;
        part.residual_step = block_rows * block->ldr * kind->c_bytes;
        part.c = (char *)block->c + j * kind->c_bytes;
        part.c_step = block_rows * block->ldc * kind->c_bytes;
        do_blocks(kind->tiles->tile[panels][block_rows], &part, block_rows, whole);
        part.next = first;
        if (rest)
            do_blocks(kind->tiles->tile[panels][rest], &part, rest, 1);
        j += panels * CPR_PANEL;
        if (block->finish && !block->more && (j >= n || (j - finished) * m * kind->c_bytes >= FINISHED)) {
            finish(kind, block, m, finished, j < n ? j : n);
            finished = j;
        }
    }
}

/* Rows that lie a multiple of 4096 bytes apart meet in one set of the L1 cache: 14 of them drive
 * each other out (85 instead of 113 GFLOP/s).  They are copied, STAGED bytes at a time, to rows
 * an odd number of cache lines apart; so few that they stay in L2 for all columns. */
enum { STAGED = 4096, LEAST_STAGED = 1024, COLLISION = 4096, LINE = 64, STAGE_STEP = STAGED + LINE };

int64_t cpr_stage_bytes(int64_t step, int64_t kc, int64_t a_bytes)
{
    if (step == 0 || step % COLLISION || kc * a_bytes < LEAST_STAGED)
        return 0;
    return CPR_STAGED_ROWS * (STAGE_STEP + (int64_t)sizeof(void *));
}

void cpr_product(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t block_rows, int64_t n,
                 char *stage)
{
    cpr_block part = *block;
    part.panel = cpr_panel_bytes(kind, block->taps, block->kc);
    if (!block->resume && !block->more && is_wide(kind, m, block->taps, block->kc)) {
        kind->wide(kind, &part, m, block_rows, n);
        if (block->finish)
            finish(kind, block, m, 0, n);
        return;
    }
    if (!stage) {
        do_tiles(kind, &part, m, block_rows, n);
        return;
    }
    const int64_t most = STAGED / kind->a_bytes;
    const void **rows = (const void **)(stage + CPR_STAGED_ROWS * STAGE_STEP);
    for (int64_t i = 0; i < m; i++)
        rows[i] = stage + i * STAGE_STEP;
    part.taps = 1;
    part.rows = rows;
    part.row_step = STAGE_STEP;
    for (int64_t tap = 0; tap < block->taps; tap++)
        for (int64_t k = 0; k < block->kc; k += most) {
            part.kc = block->kc - k < most ? block->kc - k : most;
            for (int64_t i = 0; i < m; i++) {
                const int64_t first = i / block_rows * block_rows;
                const int64_t height = m - first < block_rows ? m - first : block_rows;
                const char *row = block->rows[first * block->taps + tap * height + i - first];
                memcpy(stage + i * STAGE_STEP, row + k * kind->a_bytes, (size_t)(part.kc * kind->a_bytes));
            }
            part.resume = tap + k > 0;
            part.more = tap + 1 < block->taps || k + most < block->kc;
            do_tiles(kind, &part, m, block_rows, n);
            part.b = (const char *)part.b + cpr_panel_bytes(kind, 1, part.kc);
        }
}
