/* pool_loops.h - the loops behind pool.h; the including file defines TABLE. */
#include <math.h>

#include "pool/pool.h"
#include "vector/parts.h"

enum { BYTES = 4 * LANES }; /* of one register */
#define VECTOR(t) t __attribute__((vector_size(BYTES), aligned(1), may_alias))
typedef VECTOR(float) v_f32;
typedef VECTOR(int32_t) m_f32;
typedef VECTOR(int8_t) v_s8;
typedef VECTOR(int8_t) m_s8;
typedef VECTOR(uint8_t) v_u8;
typedef VECTOR(int8_t) m_u8;

#define AT(t, r, c) (*(const t *)(x + (r) * row_step + (c) * column_step))

/* n channels as blocks of W; the last block overlaps its neighbour.  Fewer go one by one. */
#define BLOCKS(t, block, one)                                                    \
    enum { W = BYTES / sizeof(t) };                                              \
    for (int64_t i = 0; n >= W && i < n; i += W) {                               \
        const int64_t at = i + W <= n ? i : n - W;                               \
        const char *x = from + at * (int64_t)sizeof(t);                          \
        char *y = to + at * (int64_t)sizeof(t);                                  \
        block                                                                    \
    }                                                                            \
    for (int64_t i = 0; n < W && i < n; i++) {                                   \
        const char *x = from + i * (int64_t)sizeof(t);                           \
        char *y = to + i * (int64_t)sizeof(t);                                   \
        one                                                                      \
    }

/* The larger of the two; a NaN wins and stays. */
#define LARGER(b, a) ((b) > (a) || (b) != (b) ? (b) : (a))

#define EACH_TAP                        \
    for (int64_t r = 0; r < rows; r++)  \
        for (int64_t c = 0; c < columns; c++)

#define MAX(suffix, t, lowest)                                                                   \
    static void lanes_##suffix(const char *from, int64_t rows, int64_t row_step, int64_t columns, \
                               int64_t column_step, char *to, int64_t n, float divisor)          \
    {                                                                                            \
        (void)divisor;                                                                           \
        BLOCKS(t, {                                                                              \
            v_##suffix a = (v_##suffix){0} + (t)(lowest);                                        \
            EACH_TAP {                                                                           \
                const v_##suffix b = AT(v_##suffix, r, c);                                       \
                const m_##suffix above = (m_##suffix)((b > a) | (b != b));                                  \
                a = (v_##suffix)(((m_##suffix)b & above) | ((m_##suffix)a & ~above));            \
            }                                                                                    \
            *(v_##suffix *)y = a;                                                                \
        }, {                                                                                     \
            t a = (t)(lowest);                                                                   \
            EACH_TAP a = LARGER(AT(t, r, c), a);                                     \
            *(t *)y = a;                                                                         \
        })                                                                                       \
    }                                                                                            \
    static void rows_##suffix(const char *x, int64_t rows, int64_t row_step, char *column, int64_t n) \
    {                                                                                            \
        t *a = (t *)column;                                                                      \
        for (int64_t i = 0; i < n; i++)                                                          \
            a[i] = (t)(lowest);                                                                  \
        for (int64_t r = 0; r < rows; r++) {                                                     \
            const t *b = (const t *)(x + r * row_step);                                          \
            for (int64_t i = 0; i < n; i++)                                                      \
                a[i] = LARGER(b[i], a[i]);                                               \
        }                                                                                        \
    }

MAX(f32, float, -INFINITY)
MAX(s8, int8_t, INT8_MIN)
MAX(u8, uint8_t, 0)

static void lanes_average(const char *from, int64_t rows, int64_t row_step, int64_t columns, int64_t column_step,
                          char *to, int64_t n, float divisor)
{
    BLOCKS(float, {
        v_f32 sum = {0};
        for (int64_t c = 0; c < columns; c++) {
            v_f32 column = {0};
            for (int64_t r = 0; r < rows; r++)
                column += AT(v_f32, r, c);
            sum += column;
        }
        *(v_f32 *)y = sum / divisor;
    }, {
        float sum = 0.0f;
        for (int64_t c = 0; c < columns; c++) {
            float column = 0.0f;
            for (int64_t r = 0; r < rows; r++)
                column += AT(float, r, c);
            sum += column;
        }
        *(float *)y = sum / divisor;
    })
}

static void rows_average(const char *x, int64_t rows, int64_t row_step, char *column, int64_t n)
{
    float *a = (float *)column;
    for (int64_t i = 0; i < n; i++)
        a[i] = 0.0f;
    for (int64_t r = 0; r < rows; r++) {
        const float *b = (const float *)(x + r * row_step);
        for (int64_t i = 0; i < n; i++)
            a[i] += b[i];
    }
}

const cpr_pool_ops TABLE = {
    .lanes = {lanes_f32, lanes_s8, lanes_u8, lanes_average},
    .rows = {rows_f32, rows_s8, rows_u8, rows_average},
};
