/* kern.c — chooses the table of kernels for a CPU. The tables are constants: nothing to initialise, nothing to race for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"

const struct kern *kern_get(unsigned cpu)
{
#ifdef __x86_64__
    if ((cpu & CPU_AVX512) && (cpu & CPU_AVX512_VNNI))
        return &kern_avx512_vnni;
    if (cpu & CPU_AVX512)
        return &kern_avx512;
    if (cpu & CPU_AVX2)
        return cpu & CPU_AVX_VNNI ? &kern_avx2_vnni : &kern_avx2;
#endif
#ifdef __aarch64__
    if (cpu & CPU_NEON)
        return &kern_neon;
#endif
    (void)cpu;
    return &kern_ref;
}
