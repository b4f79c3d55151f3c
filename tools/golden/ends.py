#!/usr/bin/env python3
"""Asks an unmodified llama.cpp which ids it counts as ends of generation.

    tools/golden/ends.py TINCTURE golden/models OUT.json

TINCTURE converts the tiny checkpoints; each file is then changed in one place: a key more, or other texts of tokens. What
is changed and what llama_vocab_is_eog answers goes to OUT.json, so that a test can make the same changes.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE), str(HERE.parent / "peer")]

import ctypes as C  # noqa: E402

import stock  # noqa: E402
from gguf_sources import TYPES as KINDS, File  # noqa: E402

MODELS = ["gemma", "gemma3", "llama", "llama3", "qwen2", "qwen3"]
FILL_IN = ["fim_pad", "fim_rep", "fim_sep"]
TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
# Texts that stand for an end, or whose neighbours are ends, one a case; beside them texts that are none.
TEXTS = ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
         "<reponame>", "<|file_sep|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<pad>", "<REP>", "<fim_repo>",
         "<|im_end|>", "</s>", "<|endoftext|>", "[EOS]", "<EOT>", "<|eom_id|>", "<|tool_response>", "<|plamo:eos|>",
         "<|return|>", "<|end|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~["]
GROUPS = [["<|fim_pad|>", "<|fim_repo|>", "<|file_sep|>", "<|im_end|>", "</s>"], ["<|return|>", "<|call|>", "<|end|>"],
          ["<|calls|>", "<|flush|>", "<|end|>"], ["<|return|>", "<|end|>"], ["<|call|>", "<|end|>"],
          ["<|tool_response>", "</s>"], ["<|plamo:eos|>", "</s>"]]


def cases(files):
    for model in MODELS:
        yield "unchanged", model, {}
    for model in ("qwen3", "gemma3", "llama"):
        for name in FILL_IN:
            yield name, model, {"set": {f"tokenizer.ggml.{name}_token_id": 40}}
        yield "all keys", model, {"set": {f"tokenizer.ggml.{name}_token_id": 40 + i for i, name in enumerate(FILL_IN)}}
    yield "no end: fim_pre", "qwen3", {"set": {"tokenizer.ggml.fim_pre_token_id": 40}}
    for kind, word in ((1, "an ordinary token"), (3, "a control token"), (4, "a token of the user's")):
        for text in (t for t in TEXTS if t not in files["qwen3"].metadata[TOKENS][1]):
            yield f"{word}: {text}", "qwen3", {"texts": {"100": text}, "type": kind}
    for group in GROUPS:
        group = [text for text in group if text not in files["qwen3"].metadata[TOKENS][1]]
        yield " ".join(group), "qwen3", {"texts": {str(100 + i): t for i, t in enumerate(group)}, "type": 3}
    yield "a key before a text", "qwen3", {
        "texts": {"100": "<|fim_pad|>"}, "type": 3, "set": {"tokenizer.ggml.fim_pad_token_id": 41}}


def changed(file, change):
    result = file.changed({})
    for key, value in change.get("set", {}).items():
        result.metadata[key] = ([KINDS["uint32"]], value)
    if change.get("texts"):
        types, tokens = result.metadata[TOKENS]
        tokens = list(tokens)
        kinds, own = result.metadata[TYPES]
        own = list(own)
        for number, text in change["texts"].items():
            tokens[int(number)], own[int(number)] = text, change["type"]
        result.metadata[TOKENS], result.metadata[TYPES] = (types, tokens), (kinds, own)
    return result


def ends(path):
    library = stock.library()
    library.llama_vocab_is_eog.restype = C.c_bool
    library.llama_vocab_is_eog.argtypes = [C.c_void_p, C.c_int32]
    vocabulary = library.llama_model_get_vocab(stock.Stock(path).model)
    return [i for i in range(library.llama_vocab_n_tokens(vocabulary)) if library.llama_vocab_is_eog(vocabulary, i)]


def main(tincture, models, out):
    listed = []
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in MODELS:
            path = os.path.join(folder, name + ".gguf")
            subprocess.run([tincture, "convert", os.path.join(models, name), "-o", path, "--type", "f32", "--quiet"],
                           check=True, stdout=subprocess.DEVNULL)
            files[name] = File(path)
        for name, model, change in cases(files):
            path = os.path.join(folder, "changed.gguf")
            changed(files[model], change).write(path)
            listed.append({"name": name, "model": model, **change, "ends": ends(path)})
    with open(out, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in listed) + "\n]\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
