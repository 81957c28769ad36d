/* tiles.h - the functions of a family's tiles, from one tile(rows, panels, block) that is inlined. */
#ifndef CPR_TILES_H
#define CPR_TILES_H

#include "product/product.h"

/* A number that the compiler is to use here: a count not multiplied ahead for all rows, a bound not held in
 * a register while products are summed. */
static inline __attribute__((always_inline)) int64_t cpr_here(int64_t n)
{
    __asm__("" : "+r"(n));
    return n;
}

static inline __attribute__((always_inline)) float cpr_here_float(const float *x)
{
    int32_t bits;
    float same;
    __builtin_memcpy(&bits, x, sizeof bits); /* so that it is no vector register that holds it until here */
    __asm__("" : "+r"(bits));
    __builtin_memcpy(&same, &bits, sizeof same);
    return same;
}

/* Blocks of rows one after the other.  They share a copy of the block that no store of results can
 * change, so the compiler keeps it in registers: a tile of k 64 takes as long as its products. */
#define TILE(rows_, panels)                                                                    \
    static void tile_##rows_##x##panels(const cpr_block *block, int64_t count)                   \
    {                                                                                          \
        cpr_block p = *block;                                                                  \
        for (; count > 0; count--) {                                                           \
            p.next = !p.next_step ? NULL : count > 1 ? p.rows[rows_ * p.taps] : block->next;      \
            tile(rows_, panels, &p);                                                           \
            p.rows += rows_ * p.taps;                                                          \
            p.c = (char *)p.c + p.c_step;                                                      \
            p.residual = p.residual ? (const char *)p.residual + p.residual_step : NULL;       \
            p.ahead += p.ahead_block;                                                          \
        }                                                                                      \
    }
#define FOUR(panels) TILE(1, panels) TILE(2, panels) TILE(3, panels) TILE(4, panels)
#define SIX(panels) FOUR(panels) TILE(5, panels) TILE(6, panels)
#define EIGHT(panels) SIX(panels) TILE(7, panels) TILE(8, panels)
#define FOURTEEN(panels)                                                                       \
    EIGHT(panels) TILE(9, panels) TILE(10, panels)                                              \
    TILE(11, panels) TILE(12, panels) TILE(13, panels) TILE(14, panels)

#define NAMES4(p) tile_1x##p, tile_2x##p, tile_3x##p, tile_4x##p
#define NAMES6(p) NAMES4(p), tile_5x##p, tile_6x##p
#define NAMES8(p) NAMES6(p), tile_7x##p, tile_8x##p
#define NAMES14(p)                                                                              \
    NAMES8(p), tile_9x##p, tile_10x##p, tile_11x##p, tile_12x##p, tile_13x##p, tile_14x##p

#endif
