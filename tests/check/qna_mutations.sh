#!/usr/bin/env bash
# qna_mutations.sh — the validator beside PyYAML, yamllint and jsonschema on mutated real qna files: 400, or QNA_MUTATIONS=5000.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=${ILAB:-${BUILD:-build}/ilab}
[ -x "$ILAB" ] || { echo "skip qna_mutations: $ILAB is missing"; exit 0; }
[ -d ../shared/data/taxonomy/contributions ] || { echo "skip qna_mutations: ../shared/data/taxonomy is missing"; exit 0; }
python=/usr/bin/python3
"$python" -c 'import yaml, yamllint, jsonschema' 2>/dev/null || { echo "skip qna_mutations: python3-yaml, yamllint or python3-jsonschema is missing"; exit 0; }
exec "$python" tests/check/qna_mutations.py "$ILAB" "${QNA_MUTATIONS:-400}" "${QNA_SEED:-1}"
