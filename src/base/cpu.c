/* cpu.c — what this processor and this operating system can do, asked at run time.
 *
 * An instruction set counts only when the kernel saves its registers (XGETBV), and AVX2 only together
 * with FMA and F16C.  Bits: Intel SDM volume 2, CPUID leaves 1, 7.0, 7.1; volume 1 §13.3 (XCR0).
 * On AArch64 the kernel says it (HWCAP): NEON itself is always there, sdot and udot (ASIMDDP) from about ARMv8.2-A on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define X86_ALL (CPU_AVX2 | CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX_VNNI)

static const struct { const char *name; unsigned allowed; } LEVELS[] = {
    { "ref", 0 },
    { "avx2", CPU_AVX2 },
    { "avx512", X86_ALL },
    { "neon", CPU_NEON },
};

#if defined(__x86_64__)
static unsigned hardware(void) {
    unsigned a, b, c, d, has = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    unsigned lo, hi, c1 = c;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    int ymm = (lo & 0x06) == 0x06, zmm = (lo & 0xE6) == 0xE6; /* XMM+YMM; and opmask, ZMM low and high */
    if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    unsigned b7 = b, c7 = c, max_sub = a;
    if ((b7 & bit_AVX2) && (c1 & bit_FMA) && (c1 & bit_F16C) && (c1 & bit_AVX)) has |= CPU_AVX2;
    if (!(has & CPU_AVX2)) return 0;
    if (max_sub >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4)) has |= CPU_AVX_VNNI;
    unsigned want = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if (zmm && (b7 & want) == want) {
        has |= CPU_AVX512;
        if (c7 & bit_AVX512VNNI) has |= CPU_AVX512_VNNI;
    }
    return has;
}
#elif defined(__aarch64__)
static unsigned hardware(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? CPU_NEON : 0; }
#else
static unsigned hardware(void) { return 0; }
#endif

unsigned cpu_detect(void) {
    unsigned has = hardware();
    const char *level = getenv("ILAB_CPU");
    if (!level || !*level) return has;
    for (size_t i = 0; i < ARRAY_LEN(LEVELS); i++)
        if (strcmp(level, LEVELS[i].name) == 0) return has & LEVELS[i].allowed;
    log_warn("ILAB_CPU=%s is none of ref, avx2, avx512, neon and is ignored", level);
    return has;
}

const char *cpu_name(char *out, size_t cap) {
    if (cap == 0) return out;
    snprintf(out, cap, "unknown processor");
#if defined(__x86_64__)
    unsigned regs[12];
    char brand[sizeof regs + 1] = { 0 };
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3]);
        memcpy(brand, regs, sizeof regs);
        struct sv s = sv_trim(sv_of(brand));
        if (s.n) snprintf(out, cap, "%.*s", SV_ARG(s));
    }
#elif defined(__aarch64__)
    snprintf(out, cap, "ARMv8-A processor");
#endif
    return out;
}

int cpu_count(void) {
    int n = 0;
    /* Machines with more than 1024 processors need a larger set than cpu_set_t. */
    for (int max = 1024; n == 0 && max <= 1 << 16; max *= 4) {
        cpu_set_t *set = CPU_ALLOC(max);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE(max);
        if (sched_getaffinity(0, bytes, set) == 0) n = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
    }
    if (n <= 0) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1;
}
