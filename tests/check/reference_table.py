# reference_table.py ILAB [ROW…] — the acceptance cases of the reference system: each row of instructlab-reference §9 that concerns the taxonomy and
# the configuration is a function row_N, and prints a line `ok`, `not ok` or `skip` a case. `early` runs as --compat 0.14, `late` as 0.26.
# Files of the reference's own tests lie in ../shared/data/taxonomy/upstream-fixtures (skipped without them); those that it carries elsewhere
# are written here anew with the same faults.  Row 57: ILAB_TAXONOMY_GIT names a clone of the public taxonomy.
# SPDX-License-Identifier: Apache-2.0
import http.server, json, os, re, shutil, subprocess, sys, tempfile, threading

ILAB = sys.argv[1]
FIXTURES = os.path.abspath("../shared/data/taxonomy/upstream-fixtures")
failed = 0
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("ILAB_", "GIT_", "XDG_", "GITHUB_"))}
ENV |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@e.org", "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@e.org", "LC_ALL": "C.UTF-8"}


class Box:
    """A folder of its own, with a taxonomy as the reference's tests make one: branch main, one commit, a README."""

    def __init__(self, taxonomy=True):
        self.dir = tempfile.mkdtemp(prefix="ilab-reference-")
        self.tax = self.dir + "/taxonomy"
        self.env = ENV | {"HOME": self.dir}
        if taxonomy:
            self.put("README.md", "x")
            self.git("init", "-q", "-b", "main")
            self.git("add", "."), self.git("commit", "-q", "-m", "Initial commit")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def git(self, *args, cwd=None):
        return subprocess.run(["git", *args], cwd=cwd or self.tax, env=self.env, check=True, capture_output=True, text=True).stdout

    def put(self, name, text, top=None):
        path = os.path.join(top or self.tax, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(text)
        return path

    def track(self, name, text):
        self.put(name, text)
        self.git("add", name), self.git("commit", "-q", "-m", name)

    def run(self, compat, *args, stdin="", config="DEFAULT", env=None):
        head = [ILAB, "--compat", compat] if compat else [ILAB]
        r = subprocess.run(head + (["--config", config] if config else []) + list(args), cwd=self.dir, env=self.env | (env or {}), input=stdin, capture_output=True, text=True, timeout=120)
        self.code, self.out, self.err, self.all = r.returncode, r.stdout, r.stderr, r.stdout + r.stderr
        return self

    def diff(self, compat, *args, base="main"):
        command = ["diff"] if compat == EARLY else ["taxonomy", "diff"]
        return self.run(compat, *command, "--taxonomy-path", self.tax, "--taxonomy-base", base, *args)


EARLY, LATE = "0.14", "0.26"


def case(name, box, code=None, has=(), lacks=(), out_empty=False, ok=True):
    """One line: exit code, patterns that the output has and lacks."""
    global failed
    why = []
    if code is not None and box.code != code:
        why.append(f"exit code {box.code} instead of {code}")
    why += [f"no /{p}/" for p in ([has] if isinstance(has, str) else has) if not re.search(p, box.all, re.M)]
    why += [f"/{p}/ is there" for p in ([lacks] if isinstance(lacks, str) else lacks) if re.search(p, box.all, re.M)]
    if out_empty and box.out:
        why.append("stdout is not empty")
    if not ok:
        why.append("other values")
    print(f"ok {name}" if not why else f"not ok {name}: {'; '.join(why)}")
    if why:
        failed = 1
        print("".join(f"#   {l}\n" for l in box.all.splitlines()[:12]), end="")


def fixture(name):
    path = f"{FIXTURES}/{name}"
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    with open(path, encoding="utf-8") as f:
        return f.read()


def skill(version=1, n=5, answer=None, context=True, head="", tail=""):
    text = head + "created_by: tester\n" + (f"version: {version}\n" if version > 1 else "") + "seed_examples:\n"
    for i in range(n):
        text += f"- question: Can you help with test {i}?\n  answer: {answer or f'Yes, with test {i}.'}\n" + (f"  context: Test {i} fails.\n" if context else "")
    return text + "task_description: to help with tests\n" + tail


def knowledge(version=3, repo="https://example.org/a/b", n=5):
    text = f"created_by: tester\nversion: {version}\ndomain: tests\nseed_examples:\n"
    for i in range(n):
        if version == 3:
            text += f"  - context: |\n      Context {i}.\n    questions_and_answers:\n" + "".join(f"      - question: What is {k} of {i}?\n        answer: It is {k}.\n" for k in range(3))
        else:
            text += f"- question: What is {i}?\n  answer: It is {i}.\n"
    text += "document_outline: on tests\n" if version == 3 else "task_description: on tests\n"
    return text + f"document:\n  repo: {repo}\n  commit: a0c3c8e\n  patterns:\n" + "".join(f"{'    ' if version == 3 else '  '}- {p}\n" for p in ('"*.md"', "docs/*.md"))


LONG = '  question: "' + "This is one line of a test which is too long for the rules that hold without a file of rules, but not for those of the test itself, with 151 letters." + '"\n'
BAD_KEY = skill(2, context=False, head="\n").replace("created_by", "createdby").replace("- question: Can you help with test 2?\n", "- answer: Yes, with test 2.\n" + LONG).replace(
    LONG + "  answer: Yes, with test 2.\n", LONG)
NEW, TRACKED = "compositional_skills/new/qna.yaml", "compositional_skills/tracked/qna.yaml"


# ---- E: diff ----

def row_1():
    for compat in (EARLY, LATE):
        with Box() as b:
            b.track(TRACKED, skill()), b.put(NEW, skill())
            case(f"1 new and tracked ({compat})", b.diff(compat), 0, NEW, TRACKED)


def row_2():
    for compat in (EARLY, LATE):
        with Box() as b:
            b.track(TRACKED, skill())
            os.remove(f"{b.tax}/{TRACKED}")
            case(f"2 a tracked file deleted ({compat})", b.diff(compat), 0, "is valid :\\)", TRACKED)


def row_3():
    with Box() as b:
        b.put("compositional_skills/new/qna.YAML", skill())
        b.diff(EARLY)
        case("3 an ending in capitals", b, 0, ok="qna.YAML" not in b.out)


def row_4():
    for compat, code in ((EARLY, 0), (LATE, 1)):
        with Box() as b:
            case(f"4 a base that is none ({compat})", b.diff(compat, base="invalid"), code, 'Couldn.t find the taxonomy git ref "invalid" from the current HEAD')


def row_5():
    for compat, code in ((EARLY, 0), (LATE, 1)):
        with Box() as b:
            b.tax = "/path/to/taxonomy"
            case(f"5 a path that is none ({compat})", b.diff(compat), code, "/path/to/taxonomy")


def row_6():
    with Box() as b:
        b.put("compositional_skills/qna_valid.yaml", fixture("skill_valid_answer.yaml"))
        case("6 a valid skill", b.diff(EARLY), 0, "is valid :\\)")
        b.diff(EARLY, "--quiet")
        case("7 --quiet", b, 0, ok=not b.all)


row_7 = row_6


def row_8():
    with Box() as b:
        b.put("compositional_skills/qna_invalid.yaml", fixture("invalid_yaml.yaml"))
        case("8 a line that is too long", b.diff(EARLY), 1, "Reading taxonomy failed")
        case("8 --quiet", b.diff(EARLY, "--quiet"), 1, out_empty=True)


def row_9():
    with Box() as b:
        b.put("compositional_skills/qna_invalid.yaml", BAD_KEY.replace("createdby", "created_by").lstrip("\n"))
        case("9 the default rules", b.diff(EARLY), 1, "line too long")
        rules = b.put("rules.yaml", "extends: relaxed\n\nrules:\n  line-length:\n    max: 180\n", b.dir)
        b.diff(EARLY, "--quiet", "--yaml-rules", rules)
        case("9 rules of one's own", b, 0, ok=not b.all)


def row_10():
    with Box() as b:
        b.put("compositional_skills/qna_invalid.yaml", fixture("skill_incomplete.yaml"))
        case("10 one example", b.diff(EARLY), 1, ["Reading taxonomy failed", "Value must have at least 5 items"])


# ---- E: generate ----

def row_11():
    with Box(taxonomy=False) as b:
        case("11 no taxonomy", b.run(EARLY, "generate"), 1, r"Error: taxonomy \(taxonomy\) does not exist")


def generate(b, *args):
    return b.run(EARLY, "generate", "--taxonomy-base", "main", "--endpoint-url", "http://127.0.0.1:9/v1", *args)


def row_12():
    with Box() as b:
        case("12 nothing changed", generate(b), 1, r"Nothing to generate. Exiting.")


def row_13():
    with Box() as b:
        b.put("compositional_skills/tracked/qna.yaml", fixture("skill_invalid_answer.yaml"))
        case("13 an answer that YAML takes for a truth value", generate(b), 1, "taxonomy files with errors")


def row_14():
    class Broken(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_error(500)
        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Box() as b:
        b.put(NEW, skill())
        b.run(EARLY, "generate", "--taxonomy-base", "main", "--endpoint-url", f"http://127.0.0.1:{server.server_port}/v1")
        case("14 the server answers with an error", b, 1, "Generating dataset failed with the following error: .")
        b.run(LATE, "data", "generate", "--taxonomy-path", b.tax, "--taxonomy-base", "main", "--endpoint-url", f"http://127.0.0.1:{server.server_port}/v1")
        case("14 the server answers with an error, 0.26's words", b, 1, "failed to generate data with exception: .")
    server.shutdown()


def documents(b):
    """A git repository with the two Markdown documents of the reference's test, and a leaf that names it."""
    repo = b.dir + "/documents"
    if os.path.isdir(f"{FIXTURES}/temp_taxonomy_repo"):
        shutil.copytree(f"{FIXTURES}/temp_taxonomy_repo", repo)
    else:
        raise FileNotFoundError(f"{FIXTURES}/temp_taxonomy_repo")
    b.git("init", "-q", "-b", "main", cwd=repo), b.git("add", ".", cwd=repo), b.git("commit", "-q", "-m", "x", cwd=repo)
    head = b.git("rev-parse", "HEAD", cwd=repo).strip()
    return repo, head


def has_ingest(b):
    return b.run(None, "data", "ingest", "--help").code == 0


def row_16():
    for words, message in ((1000, r"Given word count \(1000\) per doc will exceed the server context window size \(1034\)"),
                           (5, r"Got a larger chunk overlap \(100\) than chunk size \(24\), should be smaller")):
        with Box() as b:
            repo, head = documents(b)
            if not has_ingest(b):
                print(f"skip {16 + (words == 5)} chunk_word_count {words}: documents are not cut here yet")
                continue
            b.put("knowledge/x/qna.yaml", knowledge(2, f"file://{repo}").replace("a0c3c8e", head))
            case(f"{16 + (words == 5)} chunk_word_count {words}", generate(b, "--chunk-word-count", str(words), "--server-ctx-size", "1034"), 1, message)


row_17 = row_16


def row_18():
    with Box() as b:
        repo, head = documents(b)
        text = re.sub(r"repo: .*", f"repo: file://{repo}", re.sub(r"commit: .*", f"commit: {head}", fixture("knowledge_valid.yaml"))).replace('  - "*.pdf"\n', "")  # the later release's
        b.put("knowledge/x/qna.yaml", text)
        b.diff(EARLY, "--documents")
        case("18 patterns find documents", b, 0, "is valid :\\)")
        if not has_ingest(b):
            return print("skip 18 exactly two documents: there is no `data ingest` yet")
        b.run(EARLY, "data", "ingest", f"{b.tax}/knowledge/x/qna.yaml", "--json")
        try:
            names = sorted(os.path.basename(d["document"]) for d in json.loads(b.out)["documents"])
        except (ValueError, KeyError, TypeError):
            names = None
        b.out = b.err = b.all = str(names)
        case("18 exactly two documents", b, 0, ok=names == ["knowledge-wiki.md", "skill-wiki.md"])


# ---- configuration ----

MINIMAL = """chat:
  model: merlinite-7b-lab-Q4_K_M
generate:
  model: merlinite-7b-lab-Q4_K_M
  taxonomy_base: origin/main
  taxonomy_path: taxonomy
serve:
  model_path: models/merlinite-7b-lab-Q4_K_M.gguf
"""


def row_19():
    with Box() as b:
        def with_config(text):
            return b.run(EARLY, "diff", "--taxonomy-base", "main", config=b.put("config.yaml", text, b.dir))
        case("19 a minimal configuration", with_config(MINIMAL), 0, "is valid :\\)")
        case("19 unexpected fields", with_config(MINIMAL + "unexpected:\n  field: value\n"), 0, "is valid :\\)")
        case("19 three groups are missing", with_config("general:\n  log_level: INFO\n"), None,
             ["3 errors in .*config.yaml:", "^- missing chat: field required", "^- missing generate: field required", "^- missing serve: field required"])
        case("19 four fields are missing", with_config("general:\n  log_level: INFO\ngenerate:\n  model: m\n"), None,
             ["4 errors in .*config.yaml:", "^- missing chat: field required", "^- missing generate->taxonomy_path: field required",
              "^- missing generate->taxonomy_base: field required", "^- missing serve: field required"])


def row_20():
    def exists(b):
        return os.path.exists(b.dir + "/config.yaml")
    source = Box()
    source.track(TRACKED, skill())
    url = ["--repository", f"file://{source.tax}"]
    try:
        with Box(taxonomy=False) as b:
            b.run(EARLY, "init", "--non-interactive", *url, config=None)
            case("20 init without questions", b, 0, ok=exists(b))
        with Box(taxonomy=False) as b:
            b.run(EARLY, "init", "--interactive", *url, stdin="\nn\n", config=None)
            case("20 init, questions answered", b, 0, ok=exists(b))
        with Box(taxonomy=False) as b:
            b.run(EARLY, "init", "--interactive", "--repository", f"file://{b.dir}/none", stdin="\ny\n", config=None)
            case("20 the clone fails", b, 1, ["Failed to clone taxonomy repo: ", "manually run"])
        with Box(taxonomy=False) as b:
            b.run(EARLY, "init", "--interactive", *url, stdin="\ny\n", config=None)
            case("20 the clone succeeds", b, 0, ok=exists(b) and os.path.exists(f"{b.tax}/{TRACKED}"))
            before = open(b.dir + "/config.yaml").read()
            b.run(EARLY, "init", "--interactive", *url, stdin="n\n", config=None)
            case("20 a configuration that is there, kept", b, 0, "Found config.yaml in the current directory", ok=open(b.dir + "/config.yaml").read() == before)
            b.run(EARLY, "init", "--interactive", *url, stdin="y\nother\nn\n", config=None)
            case("20 a configuration that is there, replaced", b, 0, ok="taxonomy_path: other" in open(b.dir + "/config.yaml").read())
        with Box(taxonomy=False) as b:
            os.makedirs(b.tax + "/contents")
            b.run(EARLY, "init", "--interactive", *url, stdin="\n", config=None)
            case("20 a taxonomy that is there is left alone", b, 0, ok=exists(b) and os.listdir(b.tax) == ["contents"])
    finally:
        shutil.rmtree(source.dir)


# ---- L: the schema library ----

def messages(b):
    """Lines of findings, however the mode frames them."""
    return [l for l in b.all.splitlines() if "qna.y" in l or "file.yaml" in l]


def row_29():
    S, K = "compositional_skills/x/qna.yaml", "knowledge/x/qna.yaml"
    rows = [
        ("valid skill", S, skill(3, context=False), 0, [], []),
        ("valid knowledge", K, knowledge(), 0, [], []),
        ("no version: 1", S, skill(1, context=False).replace("Can you help with test 2?", "x" * 150), 0, [], ["too long"]),
        ("wrong key", S, BAD_KEY, 1, ["Unevaluated properties are not allowed \\('createdby' was unexpected\\)", "'created_by' is a required property"], ["line too long"]),
        ("scanner's complaint", S, BAD_KEY.replace("seed_examples:\n", "seed_examples:xx\n"), 1, ["while scanning a simple key", "could not find expected ':'"], []),
        ("too few examples", S, skill(2, 1, context=False), 1, ["\\[\\.seed_examples\\] Value must have at least 5 items"], []),
        ("empty", S, "# nothing\n", 0, ["The file is empty"], []),
        ("a list", S, '["a", "b"]\n', 1, ["The file is not valid"], []),
        ("knowledge of version 2", K, knowledge(2), 1, ["Version 2 is not supported for knowledge\\. Minimum supported version is 3\\."], []),
    ]
    for name, path, text, code, has, lacks in rows:
        with Box() as b:
            b.put(path, text)
            case(f"29 {name}", b.diff(LATE), code, has, lacks)
    with Box() as b:
        b.put(S, BAD_KEY)
        rules = b.put("rules.yaml", "{extends: relaxed, rules: {line-length: {max: 120}}}", b.dir)
        case("29 wrong key, lines up to 120", b.diff(LATE, "--yaml-rules", rules), 1, ["line too long \\(1\\d\\d > 120 characters\\)", "createdby", "'created_by' is a required property"])
        b.put("rules.yaml", "{extends: relaxed, rules: {line-length: {max: 180}}}", b.dir)
        case("29 wrong key, lines up to 180", b.diff(LATE, "--yaml-rules", rules), 1, "createdby", "line too long")
    with Box() as b:
        for name in ("file.yaml", "qna.yml"):
            path = b.put(f"knowledge/invalid_name/{name}", knowledge())
            b.run(LATE, "taxonomy", "diff", "--taxonomy-path", path)
            case(f"29 the name {name}", b, 1, f'Taxonomy file must be named "qna\\.yaml".*{re.escape(name)}')
        b.run(LATE, "taxonomy", "diff", "--taxonomy-path", f"{b.tax}/knowledge/invalid_name/qna.yaml")
        case("29 no file", b, 1, "qna.yaml")


def row_30():
    with Box() as b:
        path = b.put("compositional_skills/x/qna.yaml", BAD_KEY)
        b.run(None, "taxonomy", "check", "--format", "github", path)
        lines = b.out.splitlines()
        case("30 annotations", b, 1, ok=len(lines) >= 2 and all(re.match(f"::(error|warning) file={re.escape(path)},", l) for l in lines))
        b.run(LATE, "taxonomy", "diff", "--taxonomy-path", path)
        found = [l for l in b.all.splitlines() if "createdby" in l or "required property" in l]
        case("30 the standard form", b, 1, ok=len(found) == 2 and all(re.search(f"(ERROR|WARN).*{re.escape(path)}:\\d+:\\d+ \\[\\.\\]|^(ERROR|WARN): {re.escape(path)}:", l) for l in found))


def row_31():
    for version in (1, 2, 3):
        with Box() as b:
            b.put(NEW, skill(version)), b.put("knowledge/x/qna.yaml", knowledge(version) if version > 1 else knowledge(2).replace("version: 2\n", ""))
            b.diff(None)
            case(f"31 skill and knowledge of version {version}", b, 0, "is valid :\\)")


def row_32():
    with Box() as b:
        b.track(TRACKED, skill()), b.put(NEW, skill())
        case("32 the base `empty`", b.diff(LATE, base="empty"), 0, [TRACKED, NEW])


def row_33():
    for name in ("qna.yml", "qna.YAML"):
        with Box() as b:
            b.put(f"compositional_skills/new/{name}", skill())
            b.diff(LATE)
            case(f"33 {name}", b, 0, f"Found a '{re.escape(name)}' file: compositional_skills/new/{re.escape(name)}: taxonomy files must be named 'qna.yaml'. File will not be checked.",
                 ok=name not in b.out)


def row_34():
    with Box() as b:
        b.put("knowledge/x/qna.yaml", fixture("knowledge_unsupported.yaml"))
        case("34 knowledge of version 2", b.diff(LATE), 1, ["Reading taxonomy failed", "Version 2 is not supported for knowledge"])


def row_35():
    with Box() as b:
        b.put("compositional_skills/qna_invalid.yaml", fixture("invalid_yaml.yaml"))
        b.diff(LATE)
        case("35 another name is not checked", b, 0, "is valid :\\)", "qna_invalid")


def row_36():
    with Box() as b:
        path = b.put(NEW, fixture("skill_valid_answer.yaml"))
        b.run(LATE, "taxonomy", "diff", "--taxonomy-path", path)
        case("36 one file", b, 0, f"Taxonomy in {re.escape(path)} is valid :\\)")


def row_37():
    for base, tracked, untracked, want in (("main", 1, 1, {NEW}), ("main", 0, 1, {NEW}), ("main", 1, 0, set()), ("main", 0, 0, set()), ("main^", 1, 0, {TRACKED}),
                                           ("main^", 1, 1, {TRACKED, NEW}), ("empty", 1, 0, {TRACKED}), ("empty", 1, 1, {TRACKED, NEW})):
        with Box() as b:
            if tracked:
                b.track(TRACKED, skill())
            if untracked:
                b.put(NEW, skill())
            b.diff(LATE, base=base)
            case(f"37 base {base}, tracked {tracked}, untracked {untracked}", b, 0, ok={l for l in b.out.splitlines() if l.endswith("qna.yaml")} == want)


def row_38():
    forms = ["", "config", "config edit", "config init", "config show", "model", "model chat", "model convert", "model download", "model evaluate", "model serve", "model test", "model train",
             "model list", "model upload", "model remove", "data", "data generate", "data list", "rag", "rag convert", "rag ingest", "system", "system info", "taxonomy", "taxonomy diff",
             "process", "process list", "process attach"]
    with Box(taxonomy=False) as b:
        missing = []
        for form in forms:
            b.run(LATE, *form.split(), "--help")
            if b.code or "Usage:" not in b.out:
                missing.append(form)
        case(f"38 --help on {len(forms)} forms", b, ok=not set(missing) - NOT_OURS)
        if set(missing) & NOT_OURS:
            print(f"# not in this program: {', '.join(sorted(set(missing)))}")
        b.run(LATE, config=None)
        case("38 the aliases", b, 0, ok=b.out.rstrip().endswith("Aliases:\n  chat      model chat\n  generate  data generate\n  serve     model serve\n  train     model train"))
        b.run(LATE, "taxonomy", "diff", config="/no/such/config.yaml")
        case("38 no configuration", b, 2, "`/no/such/config.yaml` does not exist or is not a readable file.")
        b.run(LATE, "taxonomy", "diff", "--debug-params-json")
        try:
            is_object = isinstance(json.loads(b.out), dict)
        except ValueError:
            is_object = False
        case("38 --debug-params-json", b, 0, ok=is_object)


NOT_OURS = {"model upload", "model list", "model remove", "data list", "rag", "rag convert", "rag ingest", "model evaluate --benchmark"}


def row_39():
    def plain(text):
        return [l for l in text.splitlines() if l.strip() and not l.lstrip().startswith("#")]
    with Box(taxonomy=False) as b:
        want = fixture("default_config.yaml")
        b.run(LATE, "config", "show")
        case("39 config show", b, 0, "^general:")
        whole = b.out
        b.run(LATE, "config", "show", "-k", "general")
        case("39 config show -k general", b, 0, "log_level", "^chat:")
        b.run(LATE, "config", "show", "-wc")
        case("39 config show -wc", b, 0, ok="#" not in re.sub(r"'[^']*'", "", b.out) and plain(b.out) == plain(whole))
        b.run(LATE, "config", "show", "-k", "no.such")
        case("39 an unknown key", b, 2, "Key not found: 'no.such'")
        keys = [re.match(r"\s*[\w-]+:", l)[0] for l in plain(want) if re.match(r"\s*[\w-]+:", l)]
        got = {re.match(r"\s*[\w-]+:", l)[0] for l in plain(whole) if re.match(r"\s*[\w-]+:", l)}
        absent = sorted({k.strip() for k in keys} - {k.strip() for k in got})
        case("39 every key of the reference's file", b, ok=not absent)
        if absent:
            print("# absent:", " ".join(absent))


def row_57():
    repo = os.environ.get("ILAB_TAXONOMY_GIT")
    if not repo:
        return print("skip 57 the public taxonomy of May 2024: ILAB_TAXONOMY_GIT names no clone of it")
    with Box(taxonomy=False) as b:
        os.makedirs(b.tax)
        tar = subprocess.run(["git", "-C", repo, "archive", "8ed991a7", "compositional_skills", "knowledge"], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", b.tax], input=tar, check=True)
        b.diff(EARLY, "--json", base="empty")
        d = json.loads(b.out)
        case("57 the public taxonomy of May 2024", b, 0, ok=d["files"] == 133 and d["errors"] == 0)


wanted = [int(x) for x in sys.argv[2:]] or [*range(1, 15), *range(16, 21), *range(29, 40), 57]
done = set()
for n in wanted:
    row = globals()["row_" + str(n)] if f"row_{n}" in globals() else None
    if n == 15 or row is None or row in done:
        continue
    done.add(row)
    try:
        row()
    except FileNotFoundError as e:
        print(f"skip {n}: {os.path.relpath(e.filename)} is missing")
    except subprocess.TimeoutExpired as e:
        failed = 1
        print(f"not ok {n}: runs for longer than {e.timeout} s")
sys.exit(failed)
