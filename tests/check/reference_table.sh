#!/usr/bin/env bash
# reference_table.sh — the reference system's own acceptance cases (instructlab-reference §2.8 and §9), each row by its number, in the --compat
# mode that it belongs to.  SPDX-License-Identifier: Apache-2.0
cd "$(dirname "$0")/../.." || exit 1
ILAB=$(readlink -f "${ILAB:-${BUILD:-build}/ilab}")
[ -x "$ILAB" ] || { echo "skip reference_table: ilab is not built"; exit 0; }
python=/usr/bin/python3
[ -x "$python" ] || python=python3
command -v "$python" >/dev/null || { echo "skip reference_table: python3 is missing"; exit 0; }
exec "$python" tests/check/reference_table.py "$ILAB" "$@"
