#!/usr/bin/env bash
# one_validator.sh — diff, generate, taxonomy check, an editor's buffer and the server give one verdict and the same findings on
# every file, plain, strict and in the reference's words.  SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 1
export SOURCE=$PWD/src ILAB=$PWD/${BUILD:-build}/ilab MODEL=$PWD/models/starter.gguf SHARED=$PWD/../shared/data/taxonomy
[ -x "$ILAB" ] || { echo "skip one_validator: $ILAB is missing"; exit 0; }
command -v python3 >/dev/null || { echo "skip one_validator: python3 is not installed"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/ilab-one-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export no_proxy='*' LC_ALL=C
python3 - <<'PY'
import glob, json, os, re, subprocess, sys, urllib.request

ILAB, MODEL = os.environ["ILAB"], os.environ["MODEL"]
good = "version: 2\ncreated_by: me\ntask_description: a test\nseed_examples:\n" + "".join("  - question: What is %d?\n    answer: It is %d.\n" % (i, i) for i in range(5))
files = {
    "good": good, "blanks": good + "\n\n", "tail": good.replace("me\n", "me  \n"), "long": good.replace("a test", "a test " * 30), "few": good[:good.rindex("  - q")],
    "bool": good.replace("It is 2.", "Yes"), "twice": good + "created_by: you\n", "keys": good.replace("created_by", "createdby"), "version": good.replace("version: 2", "version: 9"),
    "v1": good.replace("version: 2\n", ""), "syntax": good.replace("It is 2.", "@home"), "nul": good.replace("It", "I\0t"), "empty": "", "list": "- a\n", "mark": good.replace("It is 1.", '"<fill in: an answer>"'),
    "crlf": good.replace("\n", "\r\n"), "utf16": good.encode("utf-16"), "deep": "[" * 10000, "version 3": good.replace("version: 2", "version: 3"),
}
real = sorted(glob.glob(os.environ["SHARED"] + "/contributions*/*/qna.yaml"))[::3]
if not real: print("skip one_validator/real files: ../shared/data/taxonomy is missing")
for path in real: files["real " + os.path.basename(os.path.dirname(path))] = open(path, "rb").read()

STAMP = re.compile(r"^(ERROR|WARNING|INFO|DEBUG) \S+ \S+ \S+ ")
ours = lambda line: not line.startswith(("INFO", "Generating ", "failed to generate", "Error", "Nothing to"))
def run(*args, stdin=None, env={}):
    r = subprocess.run([ILAB, "--config", "DEFAULT", *args], input=stdin, capture_output=True, timeout=60, env={**os.environ, **env})
    return r.returncode, r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace")
def log(text): return [STAMP.sub("", l) for l in text.splitlines() if STAMP.match(l) and not l.startswith("INFO")]

server = subprocess.Popen([ILAB, "serve", "--model-path", MODEL, "--host-port", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) if os.path.exists(MODEL) else None
url = None
while server and not url:
    line = server.stderr.readline()
    if not line: break
    m = re.search(r"Serving on (http:\S+)", line)
    url = m and m.group(1)
def ask(**body):
    request = urllib.request.Request(url + "/v1/taxonomy/check", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))

bad, n = [], 0
def same(what, name, a, b):
    global n
    n += 1
    if a != b: bad.append("%s, %s:\n  %s\n  %s" % (what, name, str(a)[:600], str(b)[:600]))
for name, content in files.items():
    folder = "compositional_skills/" + re.sub(r"\W", "_", name).lower()
    if b"\ndocument:" in (content if isinstance(content, bytes) else content.encode("utf-8", "replace")): folder = folder.replace("compositional_skills", "knowledge")
    os.makedirs(folder)
    path, data = folder + "/qna.yaml", content if isinstance(content, bytes) else content.encode()
    open(path, "wb").write(data)
    for mode in ([], ["--strict"]):
        code, out, _ = run("diff", *mode, "--format", "line", "--taxonomy-path", path)
        findings = [l for l in out.splitlines() if l.startswith(path + ":")]
        same("check", name, (code, findings), (lambda r: (r[0], [l for l in r[1].splitlines()]))(run("taxonomy", "check", *mode, "--format", "line", path)))
        same("buffer", name, (code, findings), (lambda r: (r[0], [l for l in r[1].splitlines()]))(run("taxonomy", "check", *mode, "--stdin-filename", path, stdin=data)))
        code, out, _ = run("diff", *mode, "--taxonomy-path", path)
        shown = [l for l in out.splitlines()[1:] if not l.startswith(("Taxonomy in ", "Reading taxonomy ")) and "not at hand" not in l]
        gcode, _, err = run("generate", *mode, "--taxonomy-path", path, "--model", "absent.gguf")
        same("generate", name, (code, shown), (1 if "with errors!" in err else 0, [l for l in err.splitlines() if ours(l) and "absent.gguf" not in l]))
        try: text = data.decode()
        except UnicodeDecodeError: text = None
        if url and text is not None and "\0" not in text:
            want = [f for f in json.loads(run("diff", *mode, "--json", "--taxonomy-path", path)[1])["findings"] if f.get("rule") != "attribution"]
            got = ask(text=text, file=path, strict=bool(mode))
            same("server", name, want, got["findings"])
            if not mode: same("server's verdict", name, not code, got["valid"])
    # In German: the same places, levels and rules, and no sentence left in English.
    pick = lambda text: [re.match(r"(.*?:\d+:\d+: \w+: )(\[\S*\] )?(.*) (\(.*\))$", l) for l in text.splitlines()]
    english, german = (pick(run("taxonomy", "check", "--format", "line", path, env={"ILAB_LANG": l})[1]) for l in ("en", "de"))
    if all(english) and all(german):
        same("German", name, [(m[1], m[2], m[4]) for m in english], [(m[1], m[2], m[4]) for m in german])
        same("German words", name, [], [a[3] for a, b in zip(english, german) if a[3] == b[3]])
        remedies = [[l.strip() for l in run("taxonomy", "check", path, env={"ILAB_LANG": l})[1].splitlines() if "  → " in l] for l in ("en", "de")]
        same("German remedies", name, [], [a for a, b in zip(*remedies) if a == b])
    for release in ("0.14", "0.26"):
        code, out, err = run("--compat", release, "diff", "--taxonomy-path", path)
        gcode, _, gerr = run("--compat", release, "generate", "--taxonomy-path", path, "--model", "absent.gguf")
        refused = re.search(r"^(?:Generating dataset failed with the following error|failed to generate data with exception): (?!.*(absent.gguf|Nothing to generate))", gerr, re.M) is not None
        same("generate as " + release, name, (code, [l for l in log(err) if "due to taxonomy files" not in l]), (int(refused), log(gerr)))
# Every English sentence of the table stands in the source as it is there (adjacent literals of C are one).
source = "".join(open(f).read() for f in glob.glob(os.environ["SOURCE"] + "/*/*.c") if not f.endswith("messages_findings.c"))
table = open(os.environ["SOURCE"] + "/cli/messages_findings.c").read()
for english in re.findall(r'^    \{ "((?:[^"\\]|\\.)*)",', table, re.M):
    part = re.sub(r"^expected (.*), but .*|^(sequence entries) are .*|^more than %d (levels .*)", lambda m: m[1] or m[2] or m[3], english).replace("'%s' that", "%s that")
    same("a row without its sentence", english, True, part in source)
if server:
    server.terminate()
    server.wait()
print("ok one_validator/%d comparisons on %d files" % (n, len(files)) if not bad else "not ok one_validator: %d of %d differ" % (len(bad), n))
for text in bad[:6]: print("\n".join("#   " + l for l in text.splitlines()))
if not url: print("skip one_validator/server: models/starter.gguf is missing")
PY
