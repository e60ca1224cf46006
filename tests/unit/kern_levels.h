/* kern_levels.h — every level of kernels that this processor has, the scalar one first.   SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_LEVELS_H
#define KERN_LEVELS_H

#include "kern/kern.h"

#include <stdio.h>

static const struct kern *LEVEL[4];
static int N_LEVEL;

static void levels_find(void)
{
    static const unsigned WANT[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX512, CPU_NEON };
    const unsigned cpu = cpu_detect();
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++) {
        if ((cpu & WANT[i]) != WANT[i]) continue;
        LEVEL[N_LEVEL++] = kern_get(WANT[i]);
        printf("level %s\n", LEVEL[N_LEVEL - 1]->isa);
    }
}

#endif
