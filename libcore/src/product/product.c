/* product.c - cutting a block of rows and columns into tiles. */
#include "product/product.h"

/* The widest tile for `panels` panels left and at most `rows` rows. */
static int64_t choose_panels(const cpr_tiles *tiles, int64_t panels, int64_t rows)
{
    if (panels >= 4 && rows <= tiles->max_rows[4])
        return 4;
    if (panels >= 2 && tiles->max_rows[2] > 0)
        return 2;
    return 1;
}

int64_t cpr_panel_bytes(const cpr_product_kind *kind, int64_t taps, int64_t kc)
{
    return taps * ((kc + kind->k_unit - 1) / kind->k_unit * kind->k_unit) * CPR_PANEL * kind->b_bytes;
}

int64_t cpr_block_rows(const cpr_tiles *tiles, int64_t m, int64_t panels)
{
    const int64_t most = tiles->max_rows[choose_panels(tiles, panels, m)];
    const int64_t blocks = (m + most - 1) / most;
    return blocks > 0 ? (m + blocks - 1) / blocks : 1;
}

void cpr_product(const cpr_product_kind *kind, const cpr_block *block, int64_t m, int64_t block_rows, int64_t n)
{
    const int64_t panel = cpr_panel_bytes(kind, block->taps, block->kc);
    for (int64_t j = 0; j < n;) {
        const int64_t left = (n - j + CPR_PANEL - 1) / CPR_PANEL;
        const int64_t panels = choose_panels(kind->tiles, left, block_rows);
        for (int64_t i = 0; i < m; i += block_rows) {
            const int64_t rows = m - i < block_rows ? m - i : block_rows;
            cpr_block part = *block;
            part.rows += i * block->taps;
            part.b = (const char *)part.b + j / CPR_PANEL * panel;
            part.start = block->start ? (const char *)block->start + j * 4 : NULL;
            part.scale = block->scale ? block->scale + j : NULL;
            if (block->residual)
                part.residual = (const char *)block->residual + (i * block->ldr + j) * kind->c_bytes;
            part.c = (char *)block->c + (i * block->ldc + j) * kind->c_bytes;
            part.n = n - j;
            kind->tiles->tile[panels][rows](&part);
        }
        j += panels * CPR_PANEL;
    }
}
