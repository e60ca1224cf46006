# qna_fix.py ILAB — real and mutated qna files, UTF-16, CR LF, tabs, missing versions through `ilab taxonomy fix --yes`:
# PyYAML must read the same values before and after (but for a version that was added), a second run must change nothing,
# and the backup must be the old file.  SPDX-License-Identifier: Apache-2.0
import glob, os, random, shutil, subprocess, sys, tempfile
import yaml
sys.path.insert(0, os.path.dirname(__file__))
from qna_mutations import DATA, mutate


def values(text):
    try:
        return repr(yaml.safe_load(text))
    except Exception:
        return None


def without_version(v):
    try:
        tree = eval(v, {"datetime": __import__("datetime")})
        tree.pop("version")
        return repr(tree)
    except Exception:
        return None


def main(ilab):
    r = random.Random(5)
    files = sorted(glob.glob(f"{DATA}/upstream-main/**/*.yaml", recursive=True) + glob.glob(f"{DATA}/contributions*/**/*.yaml", recursive=True))
    texts = [open(f, newline="", encoding="utf-8").read() for f in files]
    small = [t for t in texts if len(t) < 8000]
    cases = [t.encode() for t in texts]
    for i in range(60):
        t = mutate(r.choice(small), r)
        form = i % 6
        if form == 0:
            t = t.replace("\n", "\r\n")
        elif form == 1:
            t = t.replace("version: 3\n", "").replace("version: 2\n", "")
        elif form == 2:
            t = t.replace(": ", ":   ", 4).replace("\n", "  \n", 9).rstrip("\n")
        cases.append(b"\xff\xfe" + t.encode("utf-16-le") if form == 3 else b"\xef\xbb\xbf" + t.encode() if form == 4 else t.encode())
    top = tempfile.mkdtemp(prefix="ilab-fix-")
    names = []
    for i, c in enumerate(cases):
        names.append(f"{top}/knowledge/m{i}/qna.yaml")
        os.makedirs(os.path.dirname(names[-1]))
        open(names[-1], "wb").write(c)
    subprocess.run([ilab, "--config", "DEFAULT", "taxonomy", "fix", "--yes", "--quiet", *names], capture_output=True, timeout=300)
    bad = changed = 0
    for name, old in zip(names, cases):
        new = open(name, "rb").read()
        before = old[2:].decode("utf-16-le") if old[:2] == b"\xff\xfe" else old.decode()
        was, is_now = values(before.lstrip("\ufeff")), values(new.decode("utf-8", "replace").lstrip("\ufeff") if new[:2] != b"\xff\xfe" else "")
        if new != old:
            changed += 1
            backup = open(name + ".bak", "rb").read()
            okay = backup == old and (was == is_now or (was is not None and without_version(is_now) == was) or was is None)
            if not okay:
                bad += 1
                print(f"# {name}: {str(was)[:100]} became {str(is_now)[:100]}")
    again = subprocess.run([ilab, "--config", "DEFAULT", "taxonomy", "fix", "--dry-run", "--quiet", *names], capture_output=True, text=True, timeout=300)
    print(f"# {len(cases)} files, {changed} mended, {bad} with other values; second run: {again.stdout.strip().splitlines()[-1]}")
    print(("ok" if not bad and changed > 30 else "not ok") + " qna_fix/no value changes, a backup is kept")
    print(("ok" if again.returncode == 0 else "not ok") + " qna_fix/a second run finds nothing to do")
    if again.returncode:
        print("\n".join("# " + l for l in again.stdout.splitlines() if ":" in l)[:1500])
    if not bad:
        shutil.rmtree(top)
    return bad != 0


sys.exit(main(sys.argv[1]))
