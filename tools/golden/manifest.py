#!/usr/bin/env python3
"""Rebuilds or checks golden/MANIFEST.json: every file under golden/, its digest and how it was made.

    tools/golden/manifest.py            writes it anew
    tools/golden/manifest.py --check    compares; status 1 and one line for each file that differs

A file that no row of MAKERS covers, one above 1 MB, or more than 20 MB in all is an error. Needs nothing but Python.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "golden"
LARGEST, TOTAL = 1_000_000, 20_000_000
PEER = "llama.cpp of llama-cpp-python 0.3.36"
TRANSFORMERS = ["transformers", "torch", "numpy"]

# (path under golden/, how it was made, arguments, packages (versions from tools/requirements*.txt), others, seed).
# The longest path that fits a file counts.
MAKERS = [
    ("README.md", "by hand", [], [], [], None),
    ("attacks/README.md", "by hand", [], [], [], None),
    ("attacks/corpus/", "Tests/Fuzz", ["all", "--corpus", "golden/attacks/corpus", "--keep"], [], [], None),
    ("blocks/", "tools/golden/blocks.py", ["golden/blocks", "--model", "gemma3-270m-bf16.gguf"],
     ["xllamacpp", "numpy", "gguf"], [], 20240811),
    ("containers/", "tools/golden/containers.py", ["golden/containers", "--gguf-split", "llama-gguf-split",
     "--imatrix-gguf", "imatrix.gguf", "--imatrix-dat", "imatrix.dat"], ["gguf", "safetensors", "numpy", "torch"],
     [PEER], None),
    ("gguf/", "tools/golden/gguf_sources.py", ["tincture", "golden/models", "golden/gguf/answers.json"],
     ["xllamacpp", "gguf", "numpy"], [], None),
    ("gguf/ends.json", "tools/golden/ends.py", ["tincture", "golden/models", "golden/gguf/ends.json"],
     ["xllamacpp", "gguf", "numpy"], [], None),
    ("headers/", "tools/golden/headers.py", ["golden/headers"], ["transformers", "torch"], [], None),
    ("help/", "tools/golden/help.sh", [], [], [], None),
    ("linear/", "tools/golden/linear.py", ["golden/linear"], ["xllamacpp", "numpy"], [], 20261126),
    ("logits/", "tools/golden/real_models.py", ["--models", "DIR", "--peer-gguf", "DIR",
     "golden/logits"], TRANSFORMERS + ["xllamacpp"], [PEER], 7),
    ("logits/recipe-divergence.json", "tools/golden/recipe_divergence.py", ["--reference", "gemma3-270m-bf16.gguf",
     "--peer-bin", "DIR", "golden/logits/recipe-divergence.json"], ["xllamacpp", "numpy"], [PEER], None),
    ("heads/", "tools/golden/tiny.py", ["golden/heads", "heads"], TRANSFORMERS + ["tokenizers", "sentencepiece"], [],
     20240917),
    ("logits/tiny/", "tools/golden/logits.py", ["golden/logits/tiny", "golden/models", "golden/heads"],
     TRANSFORMERS + ["safetensors"], [], 5),
    ("logits/long/", "tools/golden/long.py", ["DIR", "golden/logits/long"], TRANSFORMERS + ["tokenizers"], [], None),
    ("models/", "tools/golden/tiny.py", ["golden/models"], TRANSFORMERS + ["tokenizers", "sentencepiece"], [],
     20240917),
    ("plans/", "tools/golden/plans.py", ["PEER/vendor/llama.cpp", "golden/models", "golden/plans"],
     ["transformers", "torch", "tokenizers", "sentencepiece"], [PEER], None),
    ("plans/selections.json", "tools/golden/selections.py", ["--quantize", "llama-quantize", "--out",
     "golden/plans/selections.json"], ["gguf", "numpy"], [PEER], None),
    ("public-api.txt", "TINCTURE_RECORD=1 swift test --filter HouseTests", [], [], [], None),
    ("tokens/chat/", "tools/golden/chat.py", ["golden/tokens/chat"], ["transformers", "jinja2"], [], None),
    ("tokens/", "tools/golden/vocabularies.py", [], ["sentencepiece", "tokenizers", "transformers", "torch",
     "numpy"], [PEER], None),
    ("tokens/flags-bert/", "tools/golden/token_ids.py", ["golden"], ["tokenizers", "sentencepiece"], [], 20241126),
    ("tokens/flags-bpe/", "tools/golden/token_ids.py", ["golden"], ["tokenizers", "sentencepiece"], [], 20241126),
    ("tokens/ids/", "tools/golden/token_ids.py", ["golden"], ["tokenizers", "sentencepiece"], [], 20241126),
]


def versions():
    found = {}
    for file in ("requirements.txt", "requirements-golden.txt"):
        for line in (ROOT / "tools" / file).read_text().splitlines():
            if match := re.match(r"([\w-]+)==(\S+)$", line):
                found[match[1]] = match[2]
    return found


def entries():
    """(list of manifest entries, list of problems)."""
    known, result, problems, total = versions(), [], [], 0
    for path in sorted(p for p in GOLDEN.rglob("*") if p.is_file()):
        name = path.relative_to(GOLDEN).as_posix()
        if name.rpartition("/")[2] == "MANIFEST.json":
            continue
        data = path.read_bytes()
        total += len(data)
        if len(data) > LARGEST:
            problems.append(f"{name}: {len(data)} bytes, at most {LARGEST} are allowed")
        rows = [row for row in MAKERS if name == row[0] or row[0].endswith("/") and name.startswith(row[0])]
        if not rows:
            problems.append(f"{name}: no row of MAKERS in tools/golden/manifest.py says how it was made")
            continue
        _, maker, argv, packages, others, seed = max(rows, key=lambda row: len(row[0]))
        result.append({"file": name, "sha256": hashlib.sha256(data).hexdigest(), "generator": maker, "argv": argv,
                       "versions": {p: known[p] for p in packages} | {"peer": o for o in others}, "seed": seed})
    if total > TOTAL:
        problems.append(f"all files: {total} bytes, at most {TOTAL} are allowed")
    return result, problems


def main(arguments):
    if arguments not in ([], ["--check"]):
        raise SystemExit(__doc__)
    found, problems = entries()
    manifest = GOLDEN / "MANIFEST.json"
    if arguments:
        listed = {entry["file"]: entry for entry in json.loads(manifest.read_text())}
        for entry in found:
            old = listed.pop(entry["file"], None)
            if old is None:
                problems.append(f"{entry['file']}: not in MANIFEST.json")
            elif old != entry:
                problems.append(f"{entry['file']}: differs from MANIFEST.json")
        problems += [f"{name}: in MANIFEST.json, but there is no such file" for name in listed]
    for problem in problems:
        print(f"golden/{problem}", file=sys.stderr)
    if problems:
        raise SystemExit("golden files and MANIFEST.json disagree; after a wanted change run tools/golden/manifest.py")
    if not arguments:
        manifest.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in found) + "\n]\n")
    print(f"{len(found)} golden files agree with MANIFEST.json")


if __name__ == "__main__":
    main(sys.argv[1:])
