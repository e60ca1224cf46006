# qna_judge.py — what PyYAML, yamllint and jsonschema say of a qna file, and a comparison of `ilab diff` with them over many files:
# valid or not (by our own measure, with --strict, as releases 0.14 and 0.26), the set of style and syntax findings (line, column, rule; of syntax the line), the set
# of schema findings (path, kind).  Known differences are rows of CLASSES: what they are, and when they apply.
# SPDX-License-Identifier: Apache-2.0
import collections, json, os, re, shutil, subprocess, tempfile
import jsonschema, yaml
from yamllint import linter
from yamllint.config import YamlLintConfig
from yamllint.rules import _RULES

LINT = YamlLintConfig("extends: relaxed\nrules: {line-length: {max: 120}}")
DUPLICATES = YamlLintConfig("rules: {key-duplicates: enable}")
KIND = {"type": "type", "required": "required", "additionalProperties": "unknown-key", "minLength": "empty", "minItems": "too-few", "uniqueItems": "duplicate"}
TEXT = {"type": "string", "minLength": 1}
CLASSES = [  # why a file's findings may differ, and the test for it
    ("an undefined or repeated anchor, a second document: yamllint, which only parses, goes on and reports a later syntax error in place of a style finding", lambda j: j.composer),
    ("yamllint gives up (a bug of its own: no line to look at behind the text)", lambda j: j.crash),
    ("a value without a mark: PyYAML's constructor fails outside of its own errors", lambda j: j.unmarked),
]


def closed(required, optional=(), **types):
    return {"type": "object", "required": list(required), "additionalProperties": False,
            "properties": {k: types.get(k, TEXT) for k in [*required, *optional]}}


def schema(knowledge, version):
    """The reference's schemas 1 to 3 (instructlab-reference §2.2)."""
    qa = {"type": "object", "required": ["question", "answer"], "properties": {"question": TEXT, "answer": TEXT}}
    item = closed(["question", "answer"], [] if knowledge else ["context"])
    if knowledge and version == 3:
        item = closed(["context", "questions_and_answers"],
                      questions_and_answers={"type": "array", "minItems": 3, "uniqueItems": True, "items": qa})
    seeds = {"type": "array", "minItems": 5 if version > 1 else 1, "uniqueItems": version > 1, "items": item}
    document = closed(["repo", "commit", "patterns"], patterns={"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT})
    keys = ["created_by", "seed_examples"] + (["domain", "document"] if knowledge else [])
    keys += ["document_outline"] if knowledge and version == 3 else ["task_description"]
    keys += ["version"] if version > 1 else []
    return closed(keys, ["version"], seed_examples=seeds, document=document, version={"type": "integer", "const": version},
                  task_description={"type": "string"} if version == 1 else TEXT)


VALIDATORS = {(k, v): jsonschema.Draft202012Validator(schema(k, v)) for k in (False, True) for v in (1, 2, 3)}


def version_of(tree):
    v = tree.get("version", 1)
    try:
        return int(v)
    except (ValueError, TypeError, OverflowError):
        return 1


class Judgement:
    """valid: {mode: verdict}; style: {(line, column, rule)} or None where not asked; schema: {(path, kind)} or None."""

    def __init__(self, data, knowledge):
        self.crash = self.unmarked = self.composer = False
        self.style = self.schema = self.why = None
        self.version = 1
        syntax = tree = None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return self.verdicts(False, False, knowledge)
        text = text.removeprefix("\ufeff") # PyYAML and the yamllint program take the mark for none of the text
        try:
            tree = yaml.safe_load(text)
        except yaml.MarkedYAMLError as e:
            syntax, self.why = e.problem_mark.line + 1, str(e)
            self.composer = isinstance(e, (yaml.composer.ComposerError, yaml.constructor.ConstructorError))
        except Exception as e:
            syntax, self.why = 0, str(e)
            self.unmarked = True
        if syntax is not None:
            m = re.search(r"^version:\s*(\d+)\s*$", text, re.M)
            self.version = int(m[1]) if m else 1
        elif isinstance(tree, dict):
            self.version = version_of(tree)
        try:
            problems = list(linter.run(text, LINT if self.version > 1 else DUPLICATES))
            self.style = {(p.line, p.column if p.rule else 0, p.rule or "syntax") for p in problems if self.version > 1 or p.rule}
        except Exception:
            self.crash = True
        if syntax is not None:
            if self.style is not None and syntax:
                self.style |= {(syntax, 0, "syntax")}
            return self.verdicts(False, False, knowledge)
        duplicates = any(rule == "key-duplicates" for _, _, rule in self.style or ())
        if tree is None:
            self.style = None
            return self.verdicts(True, True, knowledge, empty=True)
        if not isinstance(tree, dict):
            self.style = None
            return self.verdicts(False, False, knowledge)
        if (knowledge, self.version) not in VALIDATORS:
            return self.verdicts(False, False, knowledge)
        self.schema = set()
        okay = True
        for e in VALIDATORS[knowledge, self.version].iter_errors(tree):
            okay, self.why = False, e.message[:80]
            if e.validator in KIND:
                path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in e.absolute_path) or "."
                self.schema.add((path, KIND[e.validator]))
        self.verdicts(okay, not duplicates, knowledge)

    def verdicts(self, okay, no_duplicates, knowledge, empty=False):
        """okay: syntax and schema. The releases lint from version 2 on, and count each finding; 0.26 has no rule of long lines."""
        style = {rule for _, _, rule in self.style or () if self.version > 1}
        short = style - {"line-length"}
        self.valid = {"none": okay and no_duplicates, "strict": okay and no_duplicates and not style,
                      "0.14": empty or (okay and not style and self.version < 3),
                      "0.26": empty or (okay and not short and not (knowledge and self.version < 3))}


MODES = {"none": ["--compat", "none"], "strict": ["--compat", "none", "--strict"], "0.14": ["--compat", "0.14"], "0.26": ["--compat", "0.26"]}
NOT_ASKED = {"attribution", "folder-name"}  # rules of --strict that are about names beside the file


def is_knowledge(path, data):
    """By the last folder so named, else by a key `document` (instructlab-reference §2.1)."""
    named = [p for p in path.split("/") if p in ("knowledge", "compositional_skills")]
    return named[-1] == "knowledge" if named else re.search(rb"^document:", data, re.M) is not None


def findings(ilab, tax, mode):
    run = subprocess.run([ilab, "--config", "DEFAULT", "diff", "--taxonomy-base", "empty", "--taxonomy-path", tax, "--json", *MODES[mode]],
                         capture_output=True, text=True, timeout=300)
    found = collections.defaultdict(list)
    for f in json.loads(run.stdout)["findings"]:
        if "rule" in f and f["rule"] not in NOT_ASKED:  # not the loading of documents
            found[f["file"]].append(f)
    return found


def compare(part, ilab, cases, modes=tuple(MODES)):
    """cases: (data, knowledge, label). Writes them all as leaves of one taxonomy. Prints lines `ok` and `not ok`; returns the number of files that differ."""
    tax = tempfile.mkdtemp(prefix="ilab-judge-")
    names = []
    for i, (data, knowledge, _) in enumerate(cases):
        names.append(f"{tax}/{'knowledge' if knowledge else 'compositional_skills'}/m{i:05}/qna.yaml")
        os.makedirs(os.path.dirname(names[-1]))
        with open(names[-1], "wb") as f:
            f.write(data)
    found = {mode: findings(ilab, tax, mode) for mode in modes}
    agree = collections.Counter()
    schema_same = schema_all = same = union = 0
    why, bad, count = collections.Counter(), [], collections.Counter()
    for name, (data, knowledge, label) in zip(names, cases):
        j = Judgement(data, knowledge)
        ours = found["none"][name]
        count["knowledge" if knowledge else "skill", j.version if j.version in (1, 2, 3) else "other", "valid" if j.valid["none"] else "invalid"] += 1
        explained = next((w for w, test in CLASSES if test(j)), None)
        for mode in modes:
            our_verdict = not any(f["error"] for f in found[mode][name])
            agree[mode] += our_verdict == j.valid[mode]
            if our_verdict != j.valid[mode]:
                bad.append((name, label, f"verdict {mode}: oracle {j.valid[mode]} ({j.why}), ours {[(f['line'], f['rule'], f['message'][:60]) for f in found[mode][name] if f['error']][:3]}"))
        if j.style is not None:
            got = {(f["line"], f["col"], f["rule"]) if f["rule"] in _RULES else (f["line"], 0, f["rule"]) for f in ours if f["rule"] in _RULES or (f["rule"] in ("syntax", "encoding") and not j.unmarked)}
            same += len(got & j.style)
            union += len(got | j.style)
            if got != j.style:
                why[explained or "unexplained"] += len(got ^ j.style)
                if not explained:
                    bad.append((name, label, f"style: ours {sorted(got - j.style)[:4]}, oracle {sorted(j.style - got)[:4]}"))
        elif explained:
            why[explained] += 1
        if j.schema is not None:
            got = {(f["where"], f["rule"]) for f in ours if f["rule"] in KIND.values()}
            schema_same += len(got & j.schema)
            schema_all += len(got | j.schema)
            if got != j.schema:
                bad.append((name, label, f"schema: ours {sorted(got - j.schema)[:4]}, oracle {sorted(j.schema - got)[:4]}"))
    for name, label, what in bad[:8]:
        print(f"# {name} ({label}): {what}")
    total = len(cases)
    print(f"# {total} files: verdicts {', '.join(f'{agree[m]} ({m})' for m in modes)}; style and syntax findings {same} of {union} ({100 * same / max(1, union):.2f} %); schema findings {schema_same} of {schema_all}")
    for (kind, version, verdict), n in sorted(count.items(), key=str):
        print(f"#   {kind} version {version}, {verdict}: {n}")
    for w, n in why.most_common():
        print(f"#   {n} × {w}")
    for name, okay in [("the same verdict on every file", all(agree[m] == total for m in modes)),
                       ("at least 99.5 % of findings (line, column, rule)", same >= 0.995 * union), ("at least 99.5 % of schema findings (path, kind)", schema_same >= 0.995 * schema_all)]:
        print(("ok " if okay else "not ok ") + f"{part}/{name}")
    if bad:
        print(f"# the files are in {tax}")
    else:
        shutil.rmtree(tax)
    return sum(agree[m] != total for m in modes) + (same < 0.995 * union) + (schema_same < 0.995 * schema_all)
