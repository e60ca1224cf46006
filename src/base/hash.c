/* hash.c — a fast 64-bit hash for tables, and SHA-256 (FIPS 180-4) for files.
 *
 * hash64 folds 64×64→128 bit products; its values are stable across runs and machines (little-endian).
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>

static uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash64(const void *p, size_t n, uint64_t seed) {
    const uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD6E8FEB86659FD93u;
    const uint8_t *b = p;
    uint64_t h = fold(seed ^ k0, k1 ^ (uint64_t)n), w;
    size_t left = n;
    for (; left >= 8; left -= 8, b += 8) {
        memcpy(&w, b, 8);
        h = fold(h ^ w, k0) ^ fold(w ^ k1, h | 1);
    }
    w = 0;
    if (left) memcpy(&w, b, left);
    return fold(h ^ w ^ (uint64_t)left << 56, k1) ^ fold(w ^ k0, h | 1);
}

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, int k) { return x >> k | x << (32 - k); }

static void compress(uint32_t h[8], const uint8_t block[64]) { /* FIPS 180-4 §6.2.2, its variable names */
    uint32_t w[64];
    for (int t = 0; t < 16; t++) {
        uint32_t big_endian;
        memcpy(&big_endian, block + 4 * t, 4);
        w[t] = __builtin_bswap32(big_endian);
    }
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t a = v[0], e = v[4];
        uint32_t S1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t T1 = v[7] + S1 + ((e & v[5]) ^ (~e & v[6])) + K[t] + w[t];
        uint32_t S0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t T2 = S0 + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += T1;
        v[0] = T1 + T2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

void sha256_init(struct sha256 *s) {
    *s = (struct sha256){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_add(struct sha256 *s, const void *p, size_t n) {
    const uint8_t *b = p;
    size_t have = s->n_bytes % 64;
    s->n_bytes += n;
    if (have) {
        size_t part = 64 - have < n ? 64 - have : n;
        memcpy(s->buf + have, b, part);
        b += part;
        n -= part;
        if (have + part < 64) return;
        compress(s->h, s->buf);
    }
    for (; n >= 64; n -= 64, b += 64) compress(s->h, b);
    if (n) memcpy(s->buf, b, n);
}

void sha256_hex(struct sha256 *s, char out[65]) {
    static const uint8_t PAD[64] = { 0x80 };
    uint64_t bits = __builtin_bswap64(s->n_bytes * 8);
    sha256_add(s, PAD, 1 + (119 - s->n_bytes % 64) % 64);
    sha256_add(s, &bits, 8);
    for (int i = 0; i < 8; i++) snprintf(out + 8 * i, 9, "%08x", (unsigned)s->h[i]);
}

int sha256_file(const char *path, char out[65], ilab_err *e) {
    out[0] = 0;
    FILE *f = fopen(path, "re");
    if (!f) {
        int err = errno;
        err_errno(e, err, "cannot open \"%s\"", path);
        if (e && err == ENOENT) e->code = ILAB_E_NOTFOUND;
        return err == ENOENT ? ILAB_E_NOTFOUND : ILAB_E_IO;
    }
    struct sha256 s;
    sha256_init(&s);
    uint8_t buf[16384];
    size_t n;
    errno = 0;
    while ((n = fread(buf, 1, sizeof buf, f)) > 0) sha256_add(&s, buf, n);
    int rc = ferror(f) ? err_errno(e, errno, "cannot read \"%s\"", path) : 0;
    fclose(f);
    if (rc == 0) sha256_hex(&s, out);
    return rc;
}
