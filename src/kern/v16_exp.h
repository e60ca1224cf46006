/* v16_exp.h — exp of sixteen floats, step by step as exp_ref in kern_ref.c (kern_impl.h has the method and the constants).
 * Included after a level's v16 operations.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_V16_EXP_H
#define ILAB_V16_EXP_H

static inline v16 v16_exp(v16 x)
{
    v16 one = v16_set1(1.0f);
    x = v16_max(v16_set1(EXP_LO), x);               /* second operand wins when one is NaN */
    x = v16_min(v16_set1(EXP_HI), x);
    v16 t = v16_fma(x, v16_set1(EXP_LOG2E), v16_set1(EXP_ROUND)), n = v16_sub(t, v16_set1(EXP_ROUND));
    v16 r = v16_fnma(n, v16_set1(EXP_LN2_LO), v16_fnma(n, v16_set1(EXP_LN2_HI), x));
    v16 p = v16_fma(v16_set1(EXP_C7), r, v16_set1(EXP_C6));
    p = v16_fma(p, r, v16_set1(EXP_C5));
    p = v16_fma(p, r, v16_set1(EXP_C4));
    p = v16_fma(p, r, v16_set1(EXP_C3));
    p = v16_fma(p, r, v16_set1(EXP_C2));
    p = v16_fma(p, r, one);
    p = v16_fma(p, r, one);
    return v16_times_pow2(p, n);
}

#endif
