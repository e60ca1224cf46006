#!/usr/bin/env bash
# qna_public.sh — the validator beside PyYAML, yamllint and jsonschema on all that people contributed to the public taxonomy.
# QNA_FOLDER: a folder with qna files; or ILAB_TAXONOMY_GIT: a clone of the public taxonomy with its pull requests.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
ILAB=${ILAB:-${BUILD:-build}/ilab}
source=${QNA_FOLDER:-${ILAB_TAXONOMY_GIT:-}}
[ -x "$ILAB" ] || { echo "skip qna_public: $ILAB is missing"; exit 0; }
[ -n "$source" ] || { echo "skip qna_public: neither QNA_FOLDER nor ILAB_TAXONOMY_GIT names a folder"; exit 0; }
python=/usr/bin/python3
"$python" -c 'import yaml, yamllint, jsonschema' 2>/dev/null || { echo "skip qna_public: python3-yaml, yamllint or python3-jsonschema is missing"; exit 0; }
exec "$python" tests/check/qna_public.py "$ILAB" "$source"
