# many_leaves.py N FOLDER SOURCE… — writes a taxonomy of N leaves, made of the real qna files below the SOURCE folders: each file again and
# again with other numbers and another author, in a tree as wide and deep as real ones. The same arguments give the same bytes.
# Only files that parse and that the schema accepts are used.  SPDX-License-Identifier: Apache-2.0
import glob, os, re, sys
import jsonschema, yaml
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from qna_judge import schema


def usable(path):
    text = open(path, encoding="utf-8", errors="replace").read()
    try:
        tree = yaml.safe_load(text)
        knowledge = "document" in tree
        version = tree.get("version", 1)
        jsonschema.Draft202012Validator(schema(knowledge, version)).validate(tree)
    except Exception:
        return None
    return (text if text.endswith("\n") else text + "\n"), knowledge


def main(n, folder, sources):
    files = sorted(p for s in sources for p in glob.glob(s + "/**/*.yaml", recursive=True))
    real = [u for u in map(usable, files) if u]
    if not real:
        sys.exit("no qna files below " + " ".join(sources))
    for i in range(n):
        text, knowledge = real[i % len(real)]
        text = re.sub(r"(?m)^created_by: .*$", f"created_by: author-{i}", text)
        text = re.sub(r"(?<![\w.%-])([1-9]\d{2})(?![\w.%-])", lambda m: str(100 + (int(m[1]) + i) % 900), text) if i >= len(real) else text
        root = "knowledge" if knowledge else "compositional_skills"
        leaf = f"{folder}/{root}/field_{i % 20}/part_{i // 20 % 25}/leaf_{i}"
        os.makedirs(leaf)
        with open(leaf + "/qna.yaml", "w", encoding="utf-8", newline="") as f:
            f.write(text)
    print(f"{n} leaves of {len(real)} real files")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
