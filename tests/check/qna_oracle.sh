#!/usr/bin/env bash
# qna_oracle.sh — `ilab diff` against yamllint, PyYAML and jsonschema on some hundred variants of qna files.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=${ILAB:-${BUILD:-build}/ilab}
[ -x "$ILAB" ] || { echo "skip qna_oracle: $ILAB is missing"; exit 0; }
python=/usr/bin/python3
"$python" -c 'import yaml, yamllint, jsonschema' 2>/dev/null || { echo "skip qna_oracle: python3-yaml, yamllint or python3-jsonschema is missing"; exit 0; }
exec "$python" tests/check/qna_oracle.py "$ILAB"
