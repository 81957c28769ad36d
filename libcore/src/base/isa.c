/* isa.c - which instruction set to use: what processor and system offer, then the limit. */
#include <stdatomic.h>

#include "base/base.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the operating system saves these register states (XCR0 bits). */
static bool system_saves(uint64_t states)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
        return false;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((((uint64_t)high << 32) | low) & states) == states;
}

/* Whether there are tile registers, products of bytes and bfloat16 in them, and leave to use them. */
static bool has_amx(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    uint32_t a, b, c, d;
    const uint32_t needed = 1u << 22 | 1u << 24 | 1u << 25; /* bf16, tile, int8 */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & needed) != needed || !system_saves(0x600e6))
        return false;
#if defined(__linux__)
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static int32_t detect(void)
{
    uint32_t a, b, c, d;
    if (!system_saves(0x6)) /* xmm, ymm */
        return CPR_SCALAR;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return CPR_SCALAR;
    const bool fma = c & (1u << 12), f16c = c & (1u << 29);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return CPR_SCALAR;
    if (!(fma && f16c && (b & (1u << 5))))
        return CPR_SCALAR;
    const uint32_t bundle = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* f, dq, bw, vl */
    if ((b & bundle) != bundle || !system_saves(0xe6)) /* opmask, zmm */
        return CPR_AVX2;
    if (!(c & (1u << 11)))
        return CPR_AVX512;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & (1u << 5)))
        return CPR_AVX512VNNI;
    return has_amx() ? CPR_AMX : CPR_AVX512BF16;
}
#else
static int32_t detect(void)
{
    return CPR_SCALAR;
}
#endif

static _Atomic int32_t in_use = -1;

int32_t cpr_isa(void)
{
    int32_t isa = atomic_load_explicit(&in_use, memory_order_relaxed);
    if (isa < 0) {
        int32_t unset = -1;
        atomic_compare_exchange_strong(&in_use, &unset, detect());
        isa = atomic_load(&in_use);
    }
    return isa;
}

bool cpr_has_vbmi(void)
{
#if defined(__x86_64__)
    static _Atomic int32_t known = -1; /* a virtual machine takes microseconds for CPUID */
    int32_t found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found < 0) {
        uint32_t a, b, c, d;
        found = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 2u);
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return found && cpr_isa() >= CPR_AVX512;
#else
    return false;
#endif
}

cpr_status cpr_get_isa(int32_t *isa)
{
    CPR_REQUIRE("cpr_get_isa", isa);
    *isa = cpr_isa();
    return CPR_OK;
}

cpr_status cpr_limit_isa(int32_t isa)
{
    CPR_REQUIRE("cpr_limit_isa", isa >= CPR_SCALAR && isa <= CPR_AMX);
    const int32_t best = detect();
    atomic_store(&in_use, isa < best ? isa : best);
    return CPR_OK;
}
