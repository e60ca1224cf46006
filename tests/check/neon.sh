#!/usr/bin/env bash
# neon.sh — the kernels for AArch64: the unit tests of the kernels, cross-compiled and run by an emulator. They compare the level `neon`
# with the scalar one bit for bit. NEON_ALL=1: the slow ones, too.   BUILD=build.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}/neon
CROSS=aarch64-linux-gnu
command -v $CROSS-gcc >/dev/null || { echo "skip neon: $CROSS-gcc is not installed (gcc-aarch64-linux-gnu)"; exit 0; }
command -v qemu-aarch64 >/dev/null || { echo "skip neon: qemu-aarch64 is not installed (qemu-user)"; exit 0; }
[ -e /usr/$CROSS/include/stdio.h ] || { echo "skip neon: no C library for $CROSS (libc6-dev-arm64-cross)"; exit 0; }
mkdir -p "$BUILD"
src=$(echo src/base/*.c src/kern/*.c src/tensor/{dequantize,qtype,quantize,quantize_k}.c)
cc="$CROSS-gcc -Itests/check/cross"
command -v ccache >/dev/null && cc="ccache $cc"
make -s -j2 BUILD="$BUILD" SRC="$src" CC="$cc" AR=$CROSS-ar "$BUILD/libilab.a" >"$BUILD/out" 2>&1 || { tail -20 "$BUILD/out"; echo "not ok neon: it compiles"; exit 1; }
failed=0
few="test_gemm_tile test_pack_nt test_slots_agree test_rmsnorm_rope test_gemm test_levels_agree test_floats test_bad_input test_weights_as_they_lie"
few="$few test_types test_extremes test_backward test_levels_and_threads_agree test_ends_of_the_range"
[ -n "${NEON_ALL:-}" ] || export CROSS_ONLY=$few
for t in test_kern test_qgemm test_qgemm_wide test_attention; do
    # shellcheck disable=SC2086
    $cc -O2 -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -Isrc -Iinclude -o "$BUILD/$t" tests/unit/$t.c "$BUILD/libilab.a" -lpthread -lm -ldl >"$BUILD/out" 2>&1 ||
        { tail -20 "$BUILD/out"; echo "not ok neon: $t compiles"; exit 1; }
    timeout 300 qemu-aarch64 -cpu cortex-a76 -L /usr/$CROSS "$BUILD/$t" >"$BUILD/out" 2>&1
    rc=$?
    n=$(grep -c '^\[       OK \]' "$BUILD/out")
    if [ $rc -eq 0 ] && grep -qx "level neon" "$BUILD/out"; then echo "ok neon: $t ($n tests, as the scalar level)"; else tail -8 "$BUILD/out"; echo "not ok neon: $t"; failed=1; fi
done
exit $failed
