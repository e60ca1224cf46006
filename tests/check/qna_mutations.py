# qna_mutations.py ILAB [N [SEED]] — N mutated real qna files (../shared/data/taxonomy), checked by `ilab diff --json` and by
# PyYAML, yamllint ("relaxed", lines up to 120) and jsonschema: valid or not, the set of style and syntax findings (line,
# rule), the set of schema findings (path, kind).  All real files as they are come first.
# Known differences are rows of CLASSES: what they are, and when they apply.  SPDX-License-Identifier: Apache-2.0
import collections, glob, json, os, random, re, shutil, subprocess, sys, tempfile
import jsonschema, yaml
from yamllint import linter
from yamllint.config import YamlLintConfig
from yamllint.rules import _RULES
sys.path.insert(0, os.path.dirname(__file__))
from qna_oracle import schema

DATA = "../shared/data/taxonomy"
LINT = YamlLintConfig("extends: relaxed\nrules: {line-length: {max: 120}}")
DUPLICATES = YamlLintConfig("rules: {key-duplicates: enable}")
KIND = {"type": "type", "required": "required", "additionalProperties": "unknown-key", "minLength": "empty", "minItems": "too-few", "uniqueItems": "duplicate"}
SIGNS = "\t \n:-#'\"[]{},&*!|>%@`?~\\\r\u00e9="
VALUES = ["Yes", "no", "On", "1969", "0x10", "1:30", "1.5", ".inf", "2017-06-18", "2024-13-45", "null", "~", "''", "[]", "[a, b]", "{a: b}", "!!str 12", "*star", "&a x", "=", "<<"]
CLASSES = [  # why a file may differ, and the test for it
    ("an undefined or repeated anchor, a second document: yamllint, which only parses, goes on and reports a later syntax error in place of a style finding", lambda c: c["composer"]),      ("yamllint gives up (a bug of its own: no line to look at behind the text)", lambda c: c["crash"]),
    ("a value without a mark: PyYAML's constructor fails outside of its own errors", lambda c: c["unmarked"]),
]


def mutate(t, r):
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        if not t:
            return t
        i, k = r.randrange(len(t)), r.randrange(12)
        if k == 0:
            t = t[:i] + t[i + 1:]
        elif k == 1:
            t = t[:i] + r.choice(SIGNS) + t[i:]
        elif k == 2:
            t = t[:i] + r.choice(SIGNS) + t[i + 1:]
        elif k == 3:
            t = t.replace("\n", "\r\n", r.choice([1, 3, -1]))
        else:
            lines = t.splitlines(True)
            j = r.randrange(len(lines))
            m = re.match(r"(\s*(?:- )?)([\w-]+):(.*)", lines[j])
            if k == 4:
                del lines[j]
            elif k == 5:
                lines.insert(j, lines[j])
            elif k == 6:
                lines[j] = r.choice(["  ", " "]) + lines[j] if r.random() < .5 else lines[j].lstrip(" ")
            elif k == 7:
                lines[j] = lines[j].rstrip("\n") + r.choice([" ", "\t", ":", " #x", '"', "'", " - a", ": b", "  ", " " + "x" * 130 + " y"]) + "\n"
            elif k == 8:
                lines.insert(j, "\n" * r.randrange(1, 5))
            elif m and k == 9:
                lines[j] = f"{m[1]}{m[2]}: {r.choice(VALUES)}\n"
            elif m and k == 10:
                lines[j] = f"{m[1]}{m[2]}{r.choice('xs_')}:{m[3]}\n"
            else:
                lines = lines[:max(1, j)]
            t = "".join(lines)
    return t


def version_of(tree):
    try:
        return int(tree.get("version", 1))
    except (ValueError, TypeError, OverflowError):
        return 1


def judge(text, knowledge):
    """What the oracles say: valid, style (None: not asked), schema findings, and the case for CLASSES."""
    case = {"crash": False, "unmarked": False, "composer": False}
    style, tree, syntax = set(), None, None
    try:
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as e:
        syntax = e.problem_mark.line + 1
        case["composer"] = isinstance(e, (yaml.composer.ComposerError, yaml.constructor.ConstructorError))
    except Exception:
        syntax = 0
        case["unmarked"] = True
    if syntax is not None:
        m = re.search(r"^version:\s*(\d+)\s*$", text, re.M)
        version = int(m[1]) if m else 1
    else:
        version = version_of(tree) if isinstance(tree, dict) else 1
    try:
        problems = list(linter.run(text, LINT if version > 1 else DUPLICATES))
        style = {(p.line, p.rule or "syntax") for p in problems if version > 1 or p.rule}
    except Exception:
        case["crash"], style = True, None
    if syntax is not None:
        if style is not None and syntax:
            style |= {(syntax, "syntax")}
        return False, style, None, case
    if tree is None:
        return True, None, None, case
    if not isinstance(tree, dict):
        return False, None, None, case
    duplicates = style and any(rule == "key-duplicates" for _, rule in style)
    if version not in (1, 2, 3):
        return False, style, None, case
    errors = list(jsonschema.Draft202012Validator(schema(knowledge, version)).iter_errors(tree))
    found = set()
    for e in errors:
        if e.validator in KIND:
            path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in e.absolute_path) or "."
            found.add((path, KIND[e.validator]))
    return not errors and not duplicates, style, found, case


def main(ilab, n=5000, seed=1):
    files = sorted(glob.glob(f"{DATA}/upstream-main/**/*.yaml", recursive=True) + glob.glob(f"{DATA}/contributions/**/*.yaml", recursive=True) +
                   glob.glob(f"{DATA}/contributions-invalid-yaml/**/*.yaml", recursive=True) + glob.glob(f"{DATA}/upstream-fixtures/**/*.yaml", recursive=True))
    real = [(open(f, newline="", encoding="utf-8").read(), "document" in open(f).read() or "knowledge" in f) for f in files if not f.endswith("default_config.yaml")]
    r = random.Random(seed)
    small = [x for x in real if len(x[0]) < 12000]
    cases = [(t, k, True) for t, k in real]
    while len(cases) < n + len(real):
        t, k = r.choice(small)
        cases.append((mutate(t, r), k, False))
    tax = tempfile.mkdtemp(prefix="ilab-mutations-")
    names = []
    for i, (t, k, _) in enumerate(cases):
        names.append(f"{tax}/{'knowledge' if k else 'compositional_skills'}/m{i:05}/qna.yaml")
        os.makedirs(os.path.dirname(names[-1]))
        with open(names[-1], "w", newline="", encoding="utf-8") as f:
            f.write(t)
    run = subprocess.run([ilab, "--config", "DEFAULT", "diff", "--taxonomy-base", "empty", "--taxonomy-path", tax, "--json", "--compat", "none"], capture_output=True, text=True, timeout=300)
    found = collections.defaultdict(list)
    for f in json.loads(run.stdout)["findings"]:
        if "rule" in f:  # not the loading of documents
            found[f["file"]].append(f)
    verdicts = schema_same = schema_all = same = union = real_same = 0
    why, bad = collections.Counter(), []
    for name, (text, knowledge, is_real) in zip(names, cases):
        ours = found[name]
        valid, style, path, case = judge(text, knowledge)
        our_valid = not any(f["error"] for f in ours)
        verdicts += valid == our_valid
        real_same += is_real and valid == our_valid
        explained = next((w for w, test in CLASSES if test(case)), None)
        if valid != our_valid:
            bad.append((name, f"verdict: oracle {valid}", text))
        if style is not None:
            got = {(f["line"], f["rule"]) for f in ours if f["rule"] in _RULES or (f["rule"] in ("syntax", "encoding") and not case["unmarked"])}
            same += len(got & style)
            union += len(got | style)
            if got != style:
                why[explained or "unexplained"] += len(got ^ style)
                if not explained:
                    bad.append((name, f"style: ours {sorted(got - style)[:4]}, oracle {sorted(style - got)[:4]}", text))
        elif explained:
            why[explained] += 1
        if path is not None:
            got = {(f["where"], f["rule"]) for f in ours if f["rule"] in KIND.values()}
            schema_same += len(got & path)
            schema_all += len(got | path)
            if got != path:
                bad.append((name, f"schema: ours {sorted(got - path)[:4]}, oracle {sorted(path - got)[:4]}", text))
    for name, what, text in bad[:8]:
        print(f"# {name}: {what}")
    total = len(cases)
    print(f"# {total} files: verdicts {verdicts}; style and syntax findings {same} of {union} ({100 * same / max(1, union):.2f} %); schema findings {schema_same} of {schema_all}")
    for w, count in why.most_common():
        print(f"#   {count} × {w}")
    for name, okay in [("the same verdict on every real file", real_same == len(real)), ("the same verdict on every file", verdicts == total),
                       ("at least 99.5 % of findings (line, rule)", same >= 0.995 * union), ("at least 99.5 % of schema findings (path, kind)", schema_same >= 0.995 * schema_all)]:
        print(("ok " if okay else "not ok ") + f"qna_mutations/{name}")
    if not bad:
        shutil.rmtree(tax)
    else:
        print(f"# the files are in {tax}")
    return verdicts != total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
