#!/usr/bin/env bash
# qna_fix.sh — `ilab taxonomy fix` changes no value: PyYAML reads real and mutated files before and after.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=${ILAB:-${BUILD:-build}/ilab}
[ -x "$ILAB" ] || { echo "skip qna_fix: $ILAB is missing"; exit 0; }
[ -d ../shared/data/taxonomy/contributions ] || { echo "skip qna_fix: ../shared/data/taxonomy is missing"; exit 0; }
/usr/bin/python3 -c 'import yaml, yamllint, jsonschema' 2>/dev/null || { echo "skip qna_fix: python3-yaml, yamllint or python3-jsonschema is missing"; exit 0; }
exec /usr/bin/python3 tests/check/qna_fix.py "$ILAB"
