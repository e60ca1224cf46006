#!/usr/bin/env bash
# tokenizers.sh — 2000 lines of real and mutated text against llama.cpp and spm_encode (tools/oracle_tokenizers).
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/../../tools/oracle_tokenizers" 2000
