# qna_oracle.py ILAB — variants of one qna file of each kind and version, each with one thing changed, through `ilab diff` and the oracles of
# qna_judge.py.  SPDX-License-Identifier: Apache-2.0
import os, re, sys
sys.path.insert(0, os.path.dirname(__file__))
from qna_judge import compare


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


def main(ilab):
    cases = [(text.encode(), knowledge, f"variant {n}") for knowledge in (False, True) for version in (1, 2, 3)
             for n, text in enumerate(dict.fromkeys(variants(base(knowledge, version), version)))]
    return compare("qna_oracle", ilab, cases) != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
