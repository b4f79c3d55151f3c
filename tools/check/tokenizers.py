#!/usr/bin/env python3
"""Compares the ids of `tincture tokenize` with those of the tokenizers and sentencepiece libraries, text by text.

For every family: the checkpoint's files against the library, with and without special tokens and with control tokens as
ordinary text, decoded text against the library's, then our GGUF of the same checkpoint against the checkpoint. Exit status
1 when texts of a family differ.
"""
import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# This file's name is a library's: the folder must not come first on the path.
HERE = Path(__file__).resolve().parent
sys.path = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE)]
for name in [n for n in sys.modules if n == "tokenizers"]:
    del sys.modules[name]

import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402
from token_texts import Texts  # noqa: E402

ROOT = HERE.parents[1]


def run(*words):
    result = subprocess.run([str(w) for w in words], capture_output=True)
    if result.returncode != 0:
        sys.exit(f"{words}: exit {result.returncode}\n{result.stdout[-2000:]!r}\n{result.stderr.decode()[-2000:]}")
    return result.stdout


def ours(tincture, model, file, *flags):
    return json.loads(run(tincture, "tokenize", model, "--prompts", file, "--json", *flags))


def show(label, texts, index, left, right):
    at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return (f"{label}: text {index} {texts[index][:300]!r}\n  at token {at}: ours {left[max(0, at - 3):at + 6]}, "
            f"theirs {right[max(0, at - 3):at + 6]}")


def compare(label, texts, left, right, limit=5):
    assert len(left) == len(right) == len(texts), (label, len(left), len(right), len(texts))
    bad = [i for i in range(len(texts)) if left[i] != right[i]]
    for index in bad[:limit]:
        print(show(label, texts, index, left[index], right[index]))
    print(f"{label}: {len(texts) - len(bad)} of {len(texts)} texts equal", flush=True)
    return len(bad)


def every_scalar():
    return [f"{a}{chr(c)}{b}" for a, b in (("a", "b"), ("A ", "'")) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def library(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Piece:
    """A tokenizer.model with its bos token, as llama's is used."""

    def __init__(self, folder):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    def ids(self, texts, special):
        bos = [self.model.bos_id()] if special else []
        return [bos + self.model.encode(t) for t in texts]


def family(args, name, folder, count, work, gguf=True, piece=False, without=()):
    texts = every_scalar() if args.scalars else Texts(args.seed).list(count)
    if piece:
        # sentencepiece ends a text at a zero byte and does not look for control tokens.
        texts = [t.replace("\x00", "") for t in texts]
        texts = [t for t in texts if not any(c in t for c in ("<s>", "</s>", "<unk>", "<pad>"))]
    file = work / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    bad = 0
    mine = ours(args.tincture, folder, file, "--decode")
    if piece:
        witness = Piece(folder)
        bad += compare(f"{name}, sentencepiece", texts, mine["ids"], witness.ids(texts, True))
    else:
        witness = library(folder)
        expected = [e.ids for e in witness.encode_batch(texts)]
        bad += compare(f"{name}, tokenizers", texts, mine["ids"], expected)
        bad += compare(f"{name}, decoded", texts, mine["texts"],
                       witness.decode_batch(mine["ids"], skip_special_tokens=False))
        few = max(100, count // 10)
        some = work / "some.jsonl"
        some.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts[:few]), encoding="utf-8")
        plain = ours(args.tincture, folder, some, "--no-special")["ids"]
        bad += compare(f"{name}, no special tokens", texts[:few], plain,
                       [e.ids for e in witness.encode_batch(texts[:few], add_special_tokens=False)])
        witness.encode_special_tokens = True
        literal = ours(args.tincture, folder, some, "--no-parse-special")["ids"]
        bad += compare(f"{name}, control tokens as text", texts[:few], literal,
                       [e.ids for e in witness.encode_batch(texts[:few])])
    if gguf:
        out = work / "model.gguf"
        run(args.tincture, "convert", folder, "-o", out, "--force", "--quiet")
        theirs = ours(args.tincture, out, file, "--decode")
        # An added token without a row in the embedding is not in the GGUF; the conversion says so.
        kept = [i for i in range(len(texts)) if not any(t in texts[i] for t in without)]
        pick = lambda values: [values[i] for i in kept]  # noqa: E731
        bad += compare(f"{name}, our GGUF", pick(texts), pick(theirs["ids"]), pick(mine["ids"]))
        bad += compare(f"{name}, our GGUF decoded", pick(texts), pick(theirs["texts"]), pick(mine["texts"]))
        out.unlink()
    return bad


def apart(args, name, folder, options):
    """One family: what it prints, and how many texts differ."""
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(out):
        bad = family(args, name, folder, args.count, Path(work), **options)
    return out.getvalue(), bad


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tincture", default=str(ROOT / ".build/release/tincture"))
    parser.add_argument("--models", default=os.environ.get("TINCTURE_MODELS", str(ROOT / ".cache/models")))
    parser.add_argument("--count", type=int, default=20000, help="texts for each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scalars", action="store_true", help="every Unicode scalar between letters instead")
    parser.add_argument("--only", action="append", help="names of families")
    args = parser.parse_args()
    models, golden = Path(args.models), ROOT / "golden"
    families = [
        ("gemma", models / "gemma3-270m", {"without": ["<image_soft_token>"]}),
        ("bert uncased", models / "minilm", {}),
        ("bert cased", golden / "models/bert-cased", {}),
        ("bert vocab.txt", golden / "tokens/bert-uncased", {"gguf": False}),
        ("gemma tiny", golden / "models/gemma3", {"without": ["<image_soft_token>"]}),
        ("gemma json", golden / "models/gemma3-json", {}),
        ("llama", golden / "models/llama", {}),
        ("llama json", golden / "tokens/llama-json", {"gguf": False}),
        ("mistral", golden / "models/mistral", {}),
        ("llama sentencepiece", golden / "tokens/llama-spm", {"gguf": False, "piece": True}),
        ("llama 3", golden / "models/llama3", {}),
        ("qwen 2", golden / "models/qwen2", {}),
        ("qwen 3", golden / "models/qwen3", {}),
        ("gpt-2", golden / "tokens/gpt2-bpe", {"gguf": False}),
    ]
    unknown = set(args.only or []) - {name for name, _, _ in families}
    if unknown:
        parser.error(f"no family {sorted(unknown)}; there are {[name for name, _, _ in families]}")
    bad = 0
    # A process for each core, as nearly all of the work is one thread's.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for job in [pool.submit(apart, args, *words) for words in families if not args.only or words[0] in args.only]:
            text, count = job.result()
            print(text, end="", flush=True)
            bad += count
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
