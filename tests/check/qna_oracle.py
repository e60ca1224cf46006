# qna_oracle.py ILAB — writes variants of qna files into one taxonomy, lets `ilab diff --json` check them and compares:
# accepted or not with PyYAML and jsonschema (schemas of the reference's versions 1 to 3), place and rule of every lint finding
# with yamllint.  SPDX-License-Identifier: Apache-2.0
import json, os, re, shutil, subprocess, sys, tempfile
import jsonschema, yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

RULES = ["colons", "empty-lines", "line-length", "new-line-at-end-of-file", "new-lines", "trailing-spaces"]
LINT = YamlLintConfig("""
rules:
  colons: {max-spaces-before: 0, max-spaces-after: 1}
  empty-lines: {max: 2, max-start: 0, max-end: 0}
  line-length: {max: 120, allow-non-breakable-inline-mappings: true}
  new-line-at-end-of-file: enable
  new-lines: {type: unix}
  trailing-spaces: enable
""")
TEXT = {"type": "string", "minLength": 1}


def closed(required, optional=(), **types):
    return {"type": "object", "required": list(required), "additionalProperties": False,
            "properties": {k: types.get(k, TEXT) for k in [*required, *optional]}}


def schema(knowledge, version):
    qa = {"type": "object", "required": ["question", "answer"], "properties": {"question": TEXT, "answer": TEXT}}
    item = closed(["question", "answer"], [] if knowledge else ["context"])
    if knowledge and version == 3:
        item = closed(["context", "questions_and_answers"],
                      questions_and_answers={"type": "array", "minItems": 3, "uniqueItems": True, "items": qa})
    seeds = {"type": "array", "minItems": 5 if version > 1 else 1, "uniqueItems": version > 1, "items": item}
    document = closed(["repo", "commit", "patterns"], patterns={"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT})
    keys = ["created_by", "seed_examples"] + (["domain", "document"] if knowledge else [])
    keys += ["document_outline"] if knowledge and version == 3 else ["task_description"]
    return closed(keys, ["version"], seed_examples=seeds, document=document, version={"type": "integer", "const": version},
                  task_description={"type": "string"} if version == 1 else TEXT)


def base(knowledge, version):
    t = f"version: {version}\n" if version > 1 else ""
    t += "created_by: me\n" + ("domain: numbers\n" if knowledge else "")
    t += "document_outline: an outline\n" if knowledge and version == 3 else "task_description: a test\n"
    t += "seed_examples:\n"
    for i in range(5):
        if knowledge and version == 3:
            t += f"  - context: Context {i}.\n    questions_and_answers:\n"
            t += "".join(f"      - question: What is {k} of {i}?\n        answer: It is {k}.\n" for k in range(3))
        else:
            t += f"  - question: What is {i}?\n    answer: It is {i}.\n" + ("    context: Some context.\n" if not knowledge and i == 1 else "")
    return t + ("document:\n  repo: docs\n  commit: HEAD\n  patterns:\n    - \"*.md\"\n" if knowledge else "")


VALUES = ["Yes", "no", "On", "off", "y", "1969", "0x10", "1_000", "1:30", "1.5", "1e3", ".inf", "2017-06-18", "null", "~", "''", "\"\"", "' '", "text", "'1969'",
          "[]", "[a, b]", "{}", "{a: b}", "!!str 12", "|-\n      block text", ">-\n      folded\n      text", "\"a\\tb\"", "\u00e4\u00f6 \u4e2d\u6587", "'it''s'", "- x"]


def variants(text, version):
    lines = text.splitlines(keepends=True)
    yield text
    for i, line in enumerate(lines):
        cut = lambda new: "".join(lines[:i] + new + lines[i + 1:])
        yield cut([])
        yield cut([line, line])
        yield cut([re.sub(r"(\w+):", r"\1x:", line, count=1)])
        if i % 3 == 0:
            yield cut([line.rstrip("\n") + "  \n"])
            yield cut([line.rstrip("\n") + "\t\n"])
            yield cut([line, "\n", "\n"])
            yield cut([line, "\n", "\n", "\n"])
        m = re.match(r"(\s*(?:- )?)(\w+): (\S.*)\n", line)
        if m and (i < 8 or i > len(lines) - 5):
            for v in VALUES[i % 2 if version > 1 else i % 4::2 if version > 1 else 4]:
                yield cut([f"{m[1]}{m[2]}: {v}\n"])
    yield text.rstrip("\n")
    yield text + "\n"
    yield text + "\n\n\n"
    yield "\n" + text
    yield "# comment\n\n\n\n\n" + text
    yield text.replace("\n", "\r\n")
    yield text.replace("\n", "\r\n", 1)
    yield "---\n" + text
    yield text + "extra: 1\n"
    word = "x" * 70
    for long in [f"{word} {word}", word * 2, f"{word} {word} {word}", f"key {word}{word}"]:
        yield text.replace("created_by: me", f"created_by: {long}")
        yield f"# {long}\n" + text
        yield f"#{long}\n" + text
        yield text.replace("    answer: It is 2.", f"    answer: {long}")
        yield text.replace("    answer: It is 2.", f"    answer: |\n      {long}\n      - {long}")
        yield text.replace("created_by: me", f"created_by:  {long}")
    for v in ["1", "2", "3", "4", "0", "x", "'2'", "2.0", "true", "null", "[2]"]:
        yield re.sub(r"version: \d\n", "", text) + f"version: {v}\n"


def oracle(text, knowledge):
    try:
        tree = yaml.safe_load(text)
    except Exception as e:
        return False, None, f"YAML: {e}"
    v = tree.get("version", 1) if isinstance(tree, dict) else 1
    if isinstance(v, bool) or not isinstance(v, (int, str, float)):
        v = 1
    try:
        v = int(v)
    except ValueError:
        v = 1
    lint = set()
    if v > 1:
        lint = {(p.line, p.column, p.rule) for p in linter.run(text, LINT) if p.rule in RULES}
    if v not in (1, 2, 3):
        return False, None, "version"
    errors = list(jsonschema.Draft202012Validator(schema(knowledge, v)).iter_errors(tree))
    return not errors and not lint, lint, "; ".join(e.message[:80] for e in errors)


class Strict(yaml.SafeLoader):
    pass


def no_duplicates(loader, node):
    keys = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
    if len(keys) != len(set(keys)):
        raise yaml.constructor.ConstructorError(None, None, "duplicate key", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node)


def main(ilab):
    tax = tempfile.mkdtemp(prefix="ilab-oracle-")
    os.makedirs(tax + "/docs")
    open(tax + "/docs/a.md", "w").write("A document.\n")
    cases = {}
    for knowledge in (0, 1):
        for version in (1, 2, 3):
            for n, text in enumerate(dict.fromkeys(variants(base(knowledge, version), version))):
                name = f"{'knowledge' if knowledge else 'compositional_skills'}/v{version}_{n:04}/qna.yaml"
                os.makedirs(os.path.dirname(f"{tax}/{name}"))
                open(f"{tax}/{name}", "w", newline="").write(text)
                cases[name] = (text, knowledge)
    run = subprocess.run([ilab, "--config", "DEFAULT", "diff", "--taxonomy-base", "empty", "--taxonomy-path", tax, "--json", "--strict"], capture_output=True, text=True, timeout=100)
    found = {}
    for f in json.loads(run.stdout)["findings"]:
        if "where" in f:  # not the loading of documents
            found.setdefault(os.path.relpath(f["file"], tax), []).append(f)
    bad = 0
    Strict.add_constructor("tag:yaml.org,2002:map", lambda l, n: no_duplicates(l, n))
    for name, (text, knowledge) in cases.items():
        ours = [f for f in found.get(name, []) if f["error"] and f.get("rule") not in ("attribution", "folder-name")]
        try:
            yaml.load(text, Strict)
            valid, lint, why = oracle(text, knowledge)
        except Exception as e:
            valid, lint, why = False, None, str(e)
        if why and "'\\t' that cannot start" in why and not ours:
            continue  # PyYAML refuses a tab behind a value; YAML (and libyaml) does not, and lint reports it from version 2 on
        got_lint = {(f["line"], f["col"], f["rule"]) for f in ours if f.get("rule") in RULES}
        if valid == (not ours) and (lint is None or got_lint == lint):
            continue
        bad += 1
        if bad <= 10:
            print(f"# {name}: oracle {valid} {lint} {why}; ours {[(f['line'], f['col'], f['message']) for f in ours]}\n{text[:400]!r}")
    shutil.rmtree(tax)
    print(f"{'not ok' if bad or len(cases) < 500 else 'ok'} qna_oracle: {len(cases)} variants, {bad} differ")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
