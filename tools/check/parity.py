#!/usr/bin/env python3
"""Packs that `tincture record` writes, read by tools/parity_pack.py and held against transformers' values.

    tools/check/parity.py --tincture PATH [--models DIR]

For every tiny checkpoint of golden/models: recorded in full and with few logits, with layers; logits, hidden states and
pooled rows against golden/logits/tiny (transformers in float64) at every position; the sketches against the hidden states
they are made of, those of weights against the weights; the digest of the weights against Python's; what a pack says about
the tokenizer against the metadata of the file that tincture makes of the checkpoint, read by gguf-py. Files of prompts,
options and outputs that are refused: by `tincture record` and `parity_pack.py record` alike. With --models also the size of
a pack of Gemma 3 270M at default settings. Exit status 1 on the first thing that is not so.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import numpy as np  # noqa: E402
from parity_pack import (  # noqa: E402
    PackError, Reader, architecture, block_codes, block_means, model_digest, prompts_of, run_signs, run_sums, signs,
    tail_frame, words as numbers)

NMSE, LARGEST = 1e-11, 5e-4
# Files of prompts: the status of either `record`, the number of the line at fault (None: the whole file), the bytes.
PROMPTS = [
    (3, None, b""), (3, None, b"\xef\xbb\xbf"), (3, None, b"\n \t\r\n"),
    (3, 1, b"\xff\xfe{\0"), (3, 1, b'{"text": "\xe9"}'), (3, 1, b"\xc2\xa0\n" + b'{"text": "a"}'),
    (3, 2, b'{"text": "a"}\n\xef\xbb\xbf{"text": "b"}'), (3, 1, b'{"text": "a"'), (3, 1, b'{"text": "a"} x'),
    (3, 1, b'{"text": "a"}\r{"text": "b"}'), (3, 1, b'{"text": "a\tb"}'), (3, 1, b'{"ids": ' + b"[" * 100_000),
    (3, 1, rb'{"text": "\ud83d"}'), (3, 1, rb'{"\ud83d": "a"}'), (3, 1, b"null"), (3, 1, b'["a"]'), (3, 1, b"{}"),
    (3, 1, b'{"text": "a", "ids": [1]}'), (3, 1, b'{"words": "a"}'), (3, 1, b'{"text": "a", "text": "b"}'),
    (3, 1, b'{"text": null}'), (3, 1, b'{"text": NaN}'),
    (3, 3, b'{"text": "a"}\n\n{"ids": []}'), (3, 1, b'{"ids": "12"}'), (3, 1, b'{"ids": [1, 2.5]}'),
    (3, 1, b'{"ids": [1, 2.0]}'), (3, 1, b'{"ids": [1e2]}'), (3, 1, b'{"ids": [1, true]}'), (3, 1, b'{"ids": [1, null]}'),
    (3, 1, b'{"ids": [1, -2]}'), (3, 1, b'{"ids": [2147483648]}'), (3, 1, b'{"ids": [' + b"9" * 5000 + b"]}"),
    (3, 1, b'{"messages": []}'), (3, 1, b'{"messages": "a"}'), (3, 1, b'{"messages": ["a"]}'),
    (3, 1, b'{"messages": [{"role": "user"}]}'), (3, 1, b'{"messages": [{"role": "user", "content": null}]}'),
    (3, 1, b'{"messages": [{"role": "", "content": "a"}]}'), (3, 1, b'{"messages": [{"role": 1, "content": "a"}]}'),
    (3, 1, b'{"messages": [{"role": "user", "role": "user", "content": "a"}]}'),
    (3, 1, b'{"messages": [{"role": "user", "content": [{"type": "text"}]}]}'),
    (4, 1, b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}'),
    (4, 1, b'{"messages": [{"role": "user", "content": "a", "name": "b"}]}'),
    (0, 1, b'\xef\xbb\xbf{"text": "a"}\n'), (0, 3, b'{"text": "a"}\r\n\n{"ids": [1, -0]}\r\n'),
    (0, 1, rb'{"text": "\ud83d\ude00"}'),
    (0, 1, b'{"messages": [{"role": "user", "content": "a"}]}'),
]
USAGE = ["--tokens 0", "--tokens -1", "--tokens 4194305", "--top 0", "--top 9", "--top 1e2", "--top 16777217",
         "--full --top 10"]


def need(condition, text):
    if not condition:
        raise SystemExit(f"parity.py: {text}")


def run(*words):
    result = subprocess.run(words, capture_output=True, text=True)
    need(result.returncode == 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}")
    return result.stdout


def rows(pack, prompt):
    """All rows of a full pack, [positions, vocabulary]."""
    return np.concatenate([pack.logits(f)["values"] for f in pack.index["logits"] if f["prompt"] == prompt])


def near(name, found, expected):
    found, expected = (np.atleast_2d(a).astype(np.float64) for a in (found, expected))
    need(found.shape == expected.shape, f"{name}: {found.shape}, not {expected.shape}")
    error = ((found - expected) ** 2).mean(-1) / expected.var(-1)
    largest = abs(found - expected).max()
    need(error.max() <= NMSE and largest <= LARGEST, f"{name}: NMSE {error.max():.2e}, largest {largest:.2e}")
    return error.max()


def tiny(tincture, folder, golden, entry, scratch):
    prompts = scratch / "prompts.jsonl"
    prompts.write_text(json.dumps({"ids": entry["ids"]}) + "\n")
    full, few = scratch / "full.pack", scratch / "few.pack"
    for path, words in ((full, ["--full"]), (few, ["--top", "50"])):
        run(tincture, "record", str(folder), "--prompts", str(prompts), "-o", str(path), "--layers", "--force", *words)
    pack = Reader(full)
    config = json.loads((folder / "config.json").read_text())
    name = architecture(config["architectures"][0], config["model_type"])
    need(pack.index["model"]["architecture"] == name, f"{folder.name}: {name} is not what tincture says")
    need(pack.index["model"]["digest"] == model_digest(folder)[0], f"{folder.name}: another digest of the weights")
    tokens = len(entry["ids"])

    def values(part):
        name = folder.name + (f".{part}" if part else "") + ".f32"
        return np.fromfile(golden / name, "<f4")

    main = values("").reshape(tokens, -1)
    decoder = entry["kind"] == "logits"
    if decoder:
        found = rows(pack, 0)
        worst = near(f"{folder.name} logits", found, main[:, :found.shape[1]])
        kept, wide = Reader(few), found.astype(np.float64)
        done = 0
        for frame in kept.index["logits"]:
            part = kept.logits(frame)
            for r in range(frame["rows"]):
                row, ids = wide[done], part["ids"][r]
                order = np.sort(np.argsort(-found[done], kind="stable")[:50])
                need((ids == order).all(), f"{folder.name}: other logits are kept at {done}")
                need((part["values"][r] == found[done][ids]).all(), f"{folder.name}: logits were changed at {done}")
                top = row.max()
                e = np.exp(row - top)
                need(abs(part["normalizer"][r] - top - np.log(e.sum())) < 1e-6, f"{folder.name}: normalizer at {done}")
                rest = 1 - e[ids].sum() / e.sum()
                need(abs(part["rest"][r] - rest) < 1e-6, f"{folder.name}: rest at {done}")
                done += 1
        need(done == tokens, f"{folder.name}: {done} rows")
        done = 0
        for frame, tails in zip(kept.index["logits"], kept.index["tails"], strict=True):
            ids = kept.logits(frame)["ids"]
            content = tail_frame(found[done:done + frame["rows"]], ids, done, kept.index["tailSketch"])
            expected = numbers(content, "<f4").reshape(frame["rows"], 2, -1).astype(np.float64)
            for part, sums in enumerate(kept.tails(tails)):
                error = ((sums - expected[:, part]) ** 2).sum() / (expected[:, part] ** 2).sum()
                need(error <= 1e-11, f"{folder.name}: tails at {done}: {error:.2e}")
            done += frame["rows"]
    else:
        vectors = {f["kind"]: pack.vectors(f) for f in pack.index["vectors"]}
        worst = near(f"{folder.name} hidden", vectors["hidden"], main)
        for kind in ("pooled", "pooler"):
            if kind in vectors and (golden / f"{folder.name}.{kind}.f32").exists():
                near(f"{folder.name} {kind}", vectors[kind], values(kind)[None])
    # The sketches are sums of the hidden states: those of transformers give the same, but for rounding.
    layers = values("layers").reshape(entry["stages"], tokens, -1).astype(np.float64)
    signed = signs(layers.shape[2], pack.index["stageSketch"]["projections"], pack.index["stageSketch"]["seed"])
    need(len(pack.index["stages"]) == entry["stages"], f"{folder.name}: {len(pack.index['stages'])} stages")
    for frame, states in zip(pack.index["stages"], layers):
        sketch = pack.stage(frame).astype(np.float64)
        expected = np.concatenate([(states ** 2).sum(1, keepdims=True), states @ signed.T], 1)
        error = ((sketch - expected) ** 2).sum() / (expected ** 2).sum()
        need(error <= 1e-9, f"{folder.name}: sketch of stage {frame['stage']}: {error:.2e}")
    weights(tincture, folder, pack, scratch)
    return worst


def weights(tincture, folder, pack, scratch):
    """What a pack keeps of the weights, recomputed from a GGUF of them."""
    from gguf import GGUFReader

    file = scratch / "weights.gguf"
    run(tincture, "convert", str(folder), "-o", str(file), "--type", "f32", "--force", "--quiet")
    tensors = {t.name: np.asarray(t.data, np.float32) for t in GGUFReader(file).tensors}
    about, seen = pack.index["weightSketch"], {}
    for frame in pack.index["weights"]:
        name, first = frame["tensor"], frame["first"]
        kept, rows = pack.weights(frame), tensors[name].reshape(-1, frame["columns"])[first:first + frame["rows"]]
        seen[name] = seen.get(name, 0) + len(rows)
        if frame.get("whole"):
            need((kept == rows[0]).all(), f"{folder.name}: {name} is kept otherwise")
            continue
        wide = rows.astype(np.float64)
        square = (wide ** 2).sum(1)
        need((abs(kept["square"] - square) <= 1e-6 * square).all(), f"{folder.name}: squared lengths of {name}")
        length = np.sqrt(np.where(square > 0, square, 1))[:, None]
        sums = wide @ signs(frame["columns"], about["projections"], about["seed"]).T / length
        need((abs(kept["sums"] - sums) <= 1e-3 * abs(sums) + 1e-5).all(), f"{folder.name}: sums of {name}")
        mean = kept["square"].astype(np.float64)[:, None] / frame["columns"]
        shares = block_means(rows) / np.where(mean > 0, mean, 1)
        low, high = block_codes(shares * (1 - 1e-6)), block_codes(shares * (1 + 1e-6))
        need(((low <= kept["code"]) & (kept["code"] <= high)).all(), f"{folder.name}: codes of blocks of {name}")
        sums = run_sums(rows, about["run"], run_signs(about["run"], about["signs"], about["seed"]))
        near_zero = abs(sums) <= 1e-5 * length[..., None]
        need(((sums < 0) == kept["negative"])[~near_zero].all(), f"{folder.name}: signs of runs of {name}")
    need(seen == {n: t.size // t.shape[-1] for n, t in tensors.items()}, f"{folder.name}: weights of other tensors")


def reading(tincture, folder, scratch):
    """How texts became tokens, and the facts about the tokenizer, recomputed from a GGUF's metadata."""
    from gguf import GGUFReader

    prompts, path, file = scratch / "texts.jsonl", scratch / "texts.pack", scratch / "file.gguf"
    lines = [{"text": "The patient has dyspnoea."}, {"text": "a"}, {"ids": [3, 4]}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(tincture, "record", str(folder), "--prompts", str(prompts), "-o", str(path), "--tokens", "4", "--force")
    run(tincture, "convert", str(folder), "-o", str(file), "--force", "--quiet")
    index = Reader(path).index
    found = [(p["text"], p["form"], p["cut"]) for p in index["prompts"]]
    short = found[1][2]
    need(found == [(lines[0]["text"], "text", True), ("a", "text", short), (None, None, False)], f"{folder.name}: {found}")
    fields = {key: field.contents() for key, field in GGUFReader(file).fields.items() if key.startswith("tokenizer.")}

    def strings(values):
        parts = (value.encode() for value in values)
        return hashlib.sha256(b"".join(len(p).to_bytes(4, "little") + p for p in parts)).hexdigest()

    facts = {"model": fields["tokenizer.ggml.model"], "pre": fields["tokenizer.ggml.pre"],
             "types": hashlib.sha256(np.asarray(fields["tokenizer.ggml.token_type"], "<i4").tobytes()).hexdigest()}
    if facts["model"] == "llama":
        facts["scores"] = hashlib.sha256(np.asarray(fields["tokenizer.ggml.scores"], "<f4").tobytes()).hexdigest()
    if facts["model"] == "gpt2":
        facts["merges"] = strings(fields["tokenizer.ggml.merges"])
    names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
    for role in ("bos", "eos", "unk", "sep", "pad", "mask", "eot"):
        if (key := f"tokenizer.ggml.{names.get(role, role)}_token_id") in fields:
            facts[role] = str(fields[key])
    if "tokenizer.chat_template" in fields:
        facts["chatTemplate"] = hashlib.sha256(fields["tokenizer.chat_template"].encode()).hexdigest()
    for key, value in facts.items():
        need(index["tokenizer"].get(key) == value, f"{folder.name}: {key} is {index['tokenizer'].get(key)}, not {value}")
    need(index["vocabulary"]["digest"] == strings(fields["tokenizer.ggml.tokens"]), f"{folder.name}: the tokens' digest")
    return len(facts)


def refused(tincture, checkpoint, scratch):
    """What both programs that record refuse, and that nothing is written then. Needs neither torch nor transformers."""
    folder, prompts, out = scratch / "checkpoint", scratch / "prompts.jsonl", scratch / "refused.pack"
    shutil.copytree(checkpoint, folder)
    programs = [(tincture, "record"), (sys.executable, str(ROOT / "tools/parity_pack.py"), "record")]

    def record(program, output, *words):
        command = [*program, str(folder), "--prompts", str(prompts), "-o", str(output), *words]
        result = subprocess.run(command, capture_output=True, text=True)
        need(not result.stdout or not result.returncode, f"{words}: words on standard output: {result.stdout}")
        return result.returncode, result.stderr

    for status, line, content in PROMPTS:
        prompts.write_bytes(content)
        found, error = record(programs[0], out, "--dry-run")
        need(found == status, f"{content[:80]}: tincture exits with {found}, not {status}: {error}")
        try:
            found, where = 0, prompts_of(prompts)[-1][0]
        except PackError as error:
            found, where = error.status, str(error)
        need(found == status, f"{content[:80]}: parity_pack.py exits with {found}, not {status}: {where}")
        place = f"{prompts}, line {line}" if line else f"{prompts}: "
        need(where.startswith(place) and "\n" not in where, f"{content[:80]}: {where}")
    for program in programs:
        for words in USAGE:
            need(record(program, out, *words.split())[0] == 2, f"{program[-1]} {words} is no error of usage")
    # The last file of prompts is a good one: what is left to refuse is the output.
    weights = folder / "model.safetensors"
    symbolic, hard, unfinished = (scratch / f"{name}.pack" for name in ("symbolic", "hard", "unfinished"))
    symbolic.symlink_to(weights)
    os.link(prompts, hard)
    Path(f"{unfinished}.partial").symlink_to(weights)
    outputs = [weights, folder / "config.json", prompts, symbolic, hard, unfinished]
    before = {path: path.read_bytes() for path in scratch.rglob("*") if path.is_file()}
    for program in programs:
        for output in outputs:
            status, error = record(program, output, "--force")
            need(status == 5 and "is not read" in error, f"{program[-1]} writes over an input, {output}: {status} {error}")
            need(program is programs[0] or error.startswith("parity_pack.py: ") and error.count("\n") == 1, error)
    prompts.write_bytes(PROMPTS[0][2])
    status, error = record(programs[1], out)
    need(status == 3 and error.startswith("parity_pack.py: ") and error.count("\n") == 1, f"{status} {error}")
    prompts.write_bytes(before[prompts])
    after = {path: path.read_bytes() for path in scratch.rglob("*") if path.is_file()}
    need(before == after and not out.exists(), "a recording that was refused changed files")
    return len(PROMPTS) + len(USAGE) + len(outputs)


def real_size(tincture, models, scratch):
    """A pack of 256 positions at default settings, an eighth of the 2,048 that may take 40 MB."""
    prompts, path = scratch / "size.jsonl", scratch / "size.pack"
    rng = np.random.default_rng(1)
    prompts.write_text(json.dumps({"ids": [2] + rng.integers(3, 200_000, 255).tolist()}) + "\n")
    run(tincture, "record", str(models / "gemma3-270m"), "--prompts", str(prompts), "-o", str(path), "--force")
    size = path.stat().st_size * 8
    need(size <= 40e6, f"2,048 positions would take {size / 1e6:.1f} MB")
    return size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    golden = ROOT / "golden/logits/tiny"
    index = json.loads((golden / "index.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        count = 0
        for name, entry in sorted(index.items()):
            folder = ROOT / "golden/models" / name
            if not folder.is_dir():
                continue
            worst = tiny(options.tincture, folder, golden, entry, scratch)
            facts = reading(options.tincture, folder, scratch)
            print(f"{name}: worst NMSE {worst:.1e}, {facts} facts about the tokenizer", flush=True)
            count += 1
        need(count > 10, "the tiny checkpoints are missing")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        count = refused(options.tincture, ROOT / "golden/models/gemma3", scratch)
        print(f"{count} files of prompts, options and outputs are refused or taken by both programs")
        if options.models:
            print(f"2,048 positions of Gemma 3 270M: {real_size(options.tincture, options.models, scratch) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
