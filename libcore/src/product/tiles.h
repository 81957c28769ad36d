/* tiles.h - the functions of a family's tiles, from one tile(rows, panels, block) that is inlined. */
#ifndef CPR_TILES_H
#define CPR_TILES_H

#include "product/product.h"

#define TILE(rows, panels) \
    static void tile_##rows##x##panels(const cpr_block *p) { tile(rows, panels, p); }
#define SIX(panels) \
    TILE(1, panels) TILE(2, panels) TILE(3, panels) TILE(4, panels) TILE(5, panels) TILE(6, panels)
#define FOURTEEN(panels)                                                                       \
    SIX(panels) TILE(7, panels) TILE(8, panels) TILE(9, panels) TILE(10, panels)               \
    TILE(11, panels) TILE(12, panels) TILE(13, panels) TILE(14, panels)

#define NAMES6(p) tile_1x##p, tile_2x##p, tile_3x##p, tile_4x##p, tile_5x##p, tile_6x##p
#define NAMES14(p)                                                                              \
    NAMES6(p), tile_7x##p, tile_8x##p, tile_9x##p, tile_10x##p, tile_11x##p, tile_12x##p,       \
        tile_13x##p, tile_14x##p

#endif
