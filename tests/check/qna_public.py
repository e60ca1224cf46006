# qna_public.py ILAB FOLDER|GIT — every qna file of a folder, or of every commit of a git repository (a clone of the public taxonomy, fetched
# with its pull requests: `git fetch origin '+refs/pull/*:refs/pull/*'`), through `ilab diff` and the oracles of qna_judge.py.
# SPDX-License-Identifier: Apache-2.0
import os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(__file__))
from qna_judge import compare, is_knowledge

QNA = re.compile(r"(^|/)(compositional_skills|knowledge)/.*\.yaml$|(^|/)qna\.ya?ml$", re.I)


def folder_files(top):
    for where, _, files in os.walk(top):
        for name in files:
            path = os.path.join(where, name)
            if QNA.search(os.path.relpath(path, top)):
                with open(path, "rb") as f:
                    yield f.read(), os.path.relpath(path, top)


def git_files(repo):
    """Each text once, with one of the names that it had."""
    git = ["git", "-C", repo]
    # -z --raw: ":MODE MODE OLD NEW STATUS", then the path
    log = subprocess.run([*git, "log", "--all", "-m", "--raw", "--no-abbrev", "--no-renames", "-z", "--format="], check=True, capture_output=True).stdout.split(b"\0")
    blobs = {}
    for head, path in zip(log, log[1:]):
        f = head.strip().split()
        if len(f) == 5 and f[0].startswith(b":") and f[3].strip(b"0") and QNA.search(path.decode("utf-8", "replace")):
            blobs.setdefault(f[3], path.decode("utf-8", "replace"))
    cat = subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for blob, path in sorted(blobs.items(), key=lambda x: (x[1], x[0])):
        cat.stdin.write(blob + b"\n")
        cat.stdin.flush()
        head = cat.stdout.readline().split()
        if len(head) == 3 and head[1] == b"blob":  # a partial clone lacks some
            yield cat.stdout.read(int(head[2])), f"{path} {blob[:12].decode()}"
            cat.stdout.read(1)
    cat.stdin.close()
    cat.wait()


def main(ilab, source):
    in_git = os.path.isdir(source + "/.git") or os.path.isfile(source + "/packed-refs") or os.path.isdir(source + "/objects")
    cases = {}
    for data, name in git_files(source) if in_git else folder_files(source):
        cases.setdefault((data, is_knowledge(name.split(" ")[0] if in_git else name, data)), name)
    if not cases:
        print(f"not ok qna_public: no qna file in {source}")
        return 1
    return compare("qna_public", ilab, [(data, knowledge, name) for (data, knowledge), name in cases.items()]) != 0


sys.exit(main(*sys.argv[1:3]))
