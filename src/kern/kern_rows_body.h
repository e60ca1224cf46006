/* kern_rows_body.h — the vector kernels of kern_rows_ref.h over v16; part of kern_body.h, which has FOR16, LD and ST.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_KERN_ROWS_BODY_H
#define ILAB_KERN_ROWS_BODY_H

static void k_layernorm(float *y, const float *x, const float *w, const float *b, int n, float eps)
{
    v16 s = v16_set1(0.0f);
    FOR16(i, n, s = v16_add(s, LD(x + i)););
    v16 mean = v16_set1(v16_sum(s) / (float)n);
    s = v16_set1(0.0f);
    FOR16(i, n,
        v16 d = v16_sub(LD(x + i), mean);
        d = c == 16 ? d : v16_first(d, c);
        s = v16_fma(d, d, s);
    );
    v16 inv = v16_set1(1.0f / sqrtf(v16_sum(s) / (float)n + eps));
    FOR16(i, n,
        v16 d = v16_mul(v16_sub(LD(x + i), mean), inv);
        ST(y + i, b ? v16_fma(d, LD(w + i), LD(b + i)) : v16_mul(d, LD(w + i)));
    );
}

static void k_rope_halves(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin, int inverse)
{
    const int half = rope_dim / 2;
    for (int h = 0; h < n_head; h++, x += head_dim)
        FOR16(i, half,
            v16 cs = LD(cos_sin + i);
            v16 sn = LD(cos_sin + half + i);
            v16 x0 = LD(x + i);
            v16 x1 = LD(x + half + i);
            sn = inverse ? v16_neg(sn) : sn;
            ST(x + i, v16_fma(x0, cs, v16_neg(v16_mul(x1, sn))));
            ST(x + half + i, v16_fma(x1, cs, v16_mul(x0, sn)));
        );
}

static void k_gelu_mul(float *y, const float *gate, const float *up, int64_t n)
{
    v16 c1 = v16_set1(GELU_C1), c3 = v16_set1(GELU_C3);
    FOR16(i, n,
        v16 x = LD(gate + i);
        v16 g = v16_mul(x, v16_sigmoid(v16_mul(x, v16_fma(c3, v16_mul(x, x), c1))));
        ST(y + i, up ? v16_mul(g, LD(up + i)) : g);
    );
}

static void k_gelu_mul_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    v16 c1 = v16_set1(GELU_C1), c3 = v16_set1(GELU_C3), c9 = v16_set1(3.0f * GELU_C3), one = v16_set1(1.0f);
    FOR16(i, n,
        v16 x = LD(gate + i);
        v16 d = LD(dy + i);
        v16 xx = v16_mul(x, x);
        v16 s = v16_sigmoid(v16_mul(x, v16_fma(c3, xx, c1)));
        v16 slope = v16_mul(s, v16_fma(v16_mul(x, v16_sub(one, s)), v16_fma(c9, xx, c1), one));
        if (up) ST(dup + i, v16_mul(d, v16_mul(x, s)));
        ST(dgate + i, v16_mul(up ? v16_mul(d, LD(up + i)) : d, slope));
    );
}

static void k_layernorm_back(float *dx, const float *dy, const float *x, const float *w, int n, float eps)
{
    v16 s = v16_set1(0.0f), t = v16_set1(0.0f);
    FOR16(i, n, s = v16_add(s, LD(x + i)););
    v16 mean = v16_set1(v16_sum(s) / (float)n);
    s = v16_set1(0.0f);
    FOR16(i, n,
        v16 d = v16_sub(LD(x + i), mean);
        d = c == 16 ? d : v16_first(d, c);
        s = v16_fma(d, d, s);
    );
    v16 inv = v16_set1(1.0f / sqrtf(v16_sum(s) / (float)n + eps));
    s = v16_set1(0.0f);
    FOR16(i, n,
        v16 d = LD(dy + i);
        v16 wi = LD(w + i);
        s = v16_fma(d, wi, s);
        t = v16_fma(v16_mul(d, wi), v16_mul(v16_sub(LD(x + i), mean), inv), t);
    );
    v16 minus_g = v16_set1(-(v16_sum(s) / (float)n)), gn = v16_set1(v16_sum(t) / (float)n);
    FOR16(i, n,
        v16 z = v16_mul(v16_sub(LD(x + i), mean), inv);
        ST(dx + i, v16_add(LD(dx + i), v16_mul(inv, v16_fnma(gn, z, v16_fma(LD(dy + i), LD(w + i), minus_g)))));
    );
}

static void k_softcap_back(float *d, const float *y, float cap, int64_t n)
{
    v16 r = v16_set1(1.0f / cap), one = v16_set1(1.0f);
    FOR16(i, n,
        v16 t = v16_mul(LD(y + i), r);
        ST(d + i, v16_mul(LD(d + i), v16_fnma(t, t, one)));
    );
}

static void k_sigmoid(float *y, const float *x, int64_t n)
{
    FOR16(i, n, ST(y + i, v16_sigmoid(LD(x + i))););
}

static void k_softcap(float *x, float cap, int64_t n)
{
    v16 one = v16_set1(1.0f), two = v16_set1(2.0f), twice = v16_set1(2.0f / cap), vc = v16_set1(cap);
    FOR16(i, n,
        v16 e = v16_exp(v16_mul(LD(x + i), twice));
        ST(x + i, v16_mul(vc, v16_sub(one, v16_div(two, v16_add(one, e)))));
    );
}

#define KERN_ROWS_SLOTS \
    .layernorm = k_layernorm, .rope_halves = k_rope_halves, .gelu_mul = k_gelu_mul, .sigmoid = k_sigmoid, .softcap = k_softcap, \
    .gelu_mul_back = k_gelu_mul_back, .layernorm_back = k_layernorm_back, .softcap_back = k_softcap_back

#endif
