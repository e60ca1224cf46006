# schema_check.py FOLDER [EVERY] — what a Python program does to check a taxonomy: safe_load and the JSON schema for each qna.yaml below FOLDER
# (or each EVERY-th). Prints files, invalid ones, seconds.  SPDX-License-Identifier: Apache-2.0
import glob, os, sys, time
import jsonschema, yaml
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from qna_judge import schema

every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
start, cpu = time.time(), time.process_time()
files = sorted(glob.glob(sys.argv[1] + "/**/qna.yaml", recursive=True))[::every]
validators = {(k, v): jsonschema.Draft202012Validator(schema(k, v)) for k in (0, 1) for v in (1, 2, 3)}
bad = 0
for path in files:
    with open(path, encoding="utf-8") as f:
        tree = yaml.safe_load(f)
    v = validators.get(("/knowledge/" in path, tree.get("version", 1) if isinstance(tree, dict) else 1))
    bad += v is None or any(True for _ in v.iter_errors(tree))
print(f"files {len(files)} invalid {bad} seconds {time.time() - start:.2f} cpu {time.process_time() - cpu:.2f}")
