/* peak.c - what the processor can do at most: the denominator of every "fraction of the limit". */
#include "peak/peak.h"

static cpr_peak_loop *loop_for(int32_t unit)
{
    const int32_t isa = cpr_isa();
#if defined(__x86_64__)
    switch (unit) {
    case CPR_PEAK_F32:
        return isa >= CPR_AVX512 ? cpr_peak_f32_avx512 : isa >= CPR_AVX2 ? cpr_peak_f32_avx2 : cpr_peak_f32_scalar;
    case CPR_PEAK_S8:
        return isa >= CPR_AMX          ? cpr_peak_s8_amx
               : isa >= CPR_AVX512VNNI ? cpr_peak_s8_avx512vnni
               : isa >= CPR_AVX512   ? cpr_peak_s8_avx512
               : isa >= CPR_AVX2     ? cpr_peak_s8_avx2
                                     : cpr_peak_s8_scalar;
    case CPR_PEAK_BF16:
        return isa >= CPR_AMX ? cpr_peak_bf16_amx : isa >= CPR_AVX512BF16 ? cpr_peak_bf16_avx512bf16 : NULL;
    default:
        return NULL;
    }
#else
    (void)isa;
    return unit == CPR_PEAK_F32 ? cpr_peak_f32_scalar : unit == CPR_PEAK_S8 ? cpr_peak_s8_scalar : NULL;
#endif
}

cpr_status cpr_peak(int32_t unit, int64_t rounds, int64_t *operations)
{
    CPR_REQUIRE("cpr_peak", operations && unit >= CPR_PEAK_F32 && unit <= CPR_PEAK_BF16);
    CPR_REQUIRE("cpr_peak", rounds >= 0 && rounds <= (int64_t)1 << 40);
    cpr_peak_loop *loop = loop_for(unit);
    if (!loop)
        return cpr_fail(CPR_ERR_UNSUPPORTED, "cpr_peak: this instruction set has no bfloat16 products");
    *operations = loop(rounds) * rounds * CPR_PEAK_CHAINS;
    return CPR_OK;
}
