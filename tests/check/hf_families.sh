#!/usr/bin/env bash
# hf_families.sh — every model family from a Hugging Face directory to GGUF and back, against expectations written by hand and,
# where ILAB_LLAMA_CPP names a folder with llama.cpp's shared libraries, against llama.cpp.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip hf_families: ilab is not built"; exit 0; }
command -v python3 >/dev/null || { echo "skip hf_families: python3 is missing"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-hf-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
python3 tests/check/hf_families.py "$ILAB" "$dir" "$@"
