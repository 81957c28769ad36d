/* pool_loops.h - the loops behind pool.h; the including file defines TABLE. */
#include <math.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

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

/* bfloat16 as integers of the same order: the bits of what is negative but the sign turned over.  A
 * NaN is known by its size alone. */
typedef VECTOR(int16_t) v_s16;
enum { BRAIN_INFINITY = 0x7f80, BRAIN_NAN = 0x7fc0 };

static inline int16_t larger_s16(int16_t a, int16_t b) { return b > a ? b : a; }

static inline __attribute__((always_inline)) v_s16 larger_v_s16(v_s16 a, v_s16 b)
{
#if defined(__AVX512BW__)
    return (v_s16)_mm512_max_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (v_s16)_mm256_max_epi16((__m256i)a, (__m256i)b);
#else
    const v_s16 above = b > a;
    return (b & above) | (a & ~above);
#endif
}

static inline int16_t in_order_s16(int16_t x) { return (int16_t)(x ^ (x >> 15 & 0x7fff)); }

static void lanes_bf16(const char *from, int64_t rows, int64_t row_step, int64_t columns, int64_t column_step, char *to,
                       int64_t n, float divisor)
{
    (void)divisor;
    BLOCKS(int16_t, {
        v_s16 best = (v_s16){0} + in_order_s16((int16_t)(0x8000 | BRAIN_INFINITY));
        v_s16 size = {0};
        EACH_TAP {
            const v_s16 b = AT(v_s16, r, c);
            best = larger_v_s16(best, b ^ (b >> 15 & 0x7fff));
            size = larger_v_s16(size, b & 0x7fff);
        }
        const v_s16 none = size > BRAIN_INFINITY;
        *(v_s16 *)y = ((best ^ (best >> 15 & 0x7fff)) & ~none) | (BRAIN_NAN & none);
    }, {
        int16_t best = in_order_s16((int16_t)(0x8000 | BRAIN_INFINITY));
        int16_t size = 0;
        EACH_TAP {
            const int16_t b = AT(int16_t, r, c);
            best = larger_s16(best, in_order_s16(b));
            size = larger_s16(size, b & 0x7fff);
        }
        *(int16_t *)y = size > BRAIN_INFINITY ? BRAIN_NAN : in_order_s16(best);
    })
}

const cpr_pool_ops TABLE = {
    .lanes = {lanes_f32, lanes_s8, lanes_u8, lanes_average, lanes_bf16},
    .rows = {rows_f32, rows_s8, rows_u8, rows_average},
};
