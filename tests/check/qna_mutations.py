# qna_mutations.py ILAB [N [SEED]] — all real qna files of ../shared/data/taxonomy as they are, and N mutations of them, through `ilab diff`
# and the oracles of qna_judge.py.  SPDX-License-Identifier: Apache-2.0
import glob, os, random, re, sys
sys.path.insert(0, os.path.dirname(__file__))
from qna_judge import compare

DATA = "../shared/data/taxonomy"
SIGNS = "\t \n:-#'\"[]{},&*!|>%@`?~\\\r\u00e9="
VALUES = ["Yes", "no", "On", "1969", "0x10", "1:30", "1.5", ".inf", "2017-06-18", "2024-13-45", "null", "~", "''", "[]", "[a, b]", "{a: b}", "!!str 12", "*star", "&a x", "=", "<<"]


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


def main(ilab, n=5000, seed=1):
    files = sorted(glob.glob(f"{DATA}/upstream-main/**/*.yaml", recursive=True) + glob.glob(f"{DATA}/contributions/**/*.yaml", recursive=True) +
                   glob.glob(f"{DATA}/contributions-invalid-yaml/**/*.yaml", recursive=True) + glob.glob(f"{DATA}/upstream-fixtures/**/*.yaml", recursive=True))
    texts = {f: open(f, newline="", encoding="utf-8").read() for f in files if not f.endswith("default_config.yaml")}
    real = [(t, "document" in t or "knowledge" in f, os.path.relpath(f, DATA)) for f, t in texts.items()]
    r = random.Random(seed)
    small = [x for x in real if len(x[0]) < 12000]
    cases = list(real)
    while len(cases) < n + len(real):
        t, k, name = r.choice(small)
        cases.append((mutate(t, r), k, "mutated " + name))
    return compare("qna_mutations", ilab, [(t.encode(), k, name) for t, k, name in cases]) != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
