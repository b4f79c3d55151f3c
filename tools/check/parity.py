#!/usr/bin/env python3
"""Packs that `tincture record` writes, read by tools/parity_pack.py and held against transformers' values.

    tools/check/parity.py --tincture PATH [--models DIR]

For every tiny checkpoint of golden/models: recorded in full and with few logits, with layers; logits, hidden states and
pooled rows against golden/logits/tiny (transformers in float64) at every position; the sketches against the hidden states
they are made of, those of weights against the weights; the digest of the weights against Python's; what a pack says about
the tokenizer against the metadata of the file that tincture makes of the checkpoint, read by gguf-py. With --models also
the size of a pack of Gemma 3 270M at default settings. Exit status 1 on the first thing that is not so.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import numpy as np  # noqa: E402
from parity_pack import (  # noqa: E402
    Reader, block_codes, block_means, model_digest, run_signs, run_sums, signs, tail_frame, words as numbers)

NMSE, LARGEST = 1e-11, 5e-4


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
        if options.models:
            print(f"2,048 positions of Gemma 3 270M: {real_size(options.tincture, options.models, scratch) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
