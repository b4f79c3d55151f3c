#!/usr/bin/env python3
"""Records what llama.cpp's own converter makes of the tiny checkpoints, as golden plans.

    tools/golden/plans.py PEER MODELS OUT [NAME...]

PEER is the llama.cpp source tree with convert_hf_to_gguf.py (the one inside the PyPI source package
llama-cpp-python 0.3.36: vendor/llama.cpp), MODELS what tools/golden/tiny.py made. For each checkpoint NAME the file
OUT/NAME.json holds every metadata key and every tensor of the GGUF that `--outtype auto` gives, and the tensors
for f32, f16 and bf16. The format is described in golden/README.md.

The converter knows a BPE or WordPiece tokenizer by the hash of one encoded probe string and stops at any other
vocabulary. PRE names what it would have said for the real model of that family; plans.py puts that answer in
place of the hash and records it as "preTokenizerOverride". A checkpoint on which the converter stops for another
reason gets a plan with "error" alone.
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import struct
import sys
import tempfile
from pathlib import Path

PRE = {"llama3": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2", "bert-uncased": "bert-bge",
       "bert-cased": "bert-bge", "bert-vocabulary": "bert-bge", "bert-pubmed": "bert-bge"}
OPTIONS = {"embedding-gemma": ["--sentence-transformers-dense-modules"]}
OTHERS = ["f32", "f16", "bf16"]
LONG = 32  # arrays with more elements are recorded by count and digest
SCALARS = {"UINT8": "<B", "INT8": "<b", "UINT16": "<H", "INT16": "<h", "UINT32": "<I", "INT32": "<i",
           "FLOAT32": "<f", "BOOL": "<?", "UINT64": "<Q", "INT64": "<q", "FLOAT64": "<d"}


def convert(peer, model, out, kind, pre, options, answer):
    """Runs the converter in this (forked) process; answers None or the error's text."""
    try:
        if pre is not None:
            from conversion.base import TextModel
            TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
        import convert_hf_to_gguf
        logging.disable(logging.CRITICAL)
        sys.argv = ["convert_hf_to_gguf.py", str(model), "--outtype", kind, "--outfile", str(out), *options]
        convert_hf_to_gguf.main()
        answer.put(None)
    except BaseException as error:  # the converter also leaves by sys.exit
        answer.put(f"{type(error).__name__}: {error}".splitlines()[0])


def encoded(kind, value):
    if kind == "STRING":
        data = value.encode()
        return struct.pack("<Q", len(data)) + data
    return struct.pack(SCALARS[kind], value)


def metadata(reader):
    entries = []
    for key, entry in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        kinds, value = [kind.name for kind in entry.types], entry.contents()
        if kinds[0] != "ARRAY":
            entries.append({"key": key, "type": kinds[0], "value": value})
            continue
        record = {"key": key, "type": f"ARRAY {kinds[-1]}", "count": len(value)}
        if len(value) > LONG:
            data = b"".join(encoded(kinds[-1], v) for v in value)
            entries.append(record | {"sha256": hashlib.sha256(data).hexdigest()})
        else:
            entries.append(record | {"value": value})
    return entries


def tensors(reader):
    return [{"name": t.name, "type": t.tensor_type.name, "shape": [int(n) for n in reversed(t.shape)],
             "sha256": hashlib.sha256(t.data.tobytes()).hexdigest()} for t in reader.tensors]


def lines(items, indent):
    return "[" + ",".join(f"\n{indent}  " + json.dumps(item, ensure_ascii=False) for item in items) + f"\n{indent}]"


def write_plan(path, plan):
    """One line for each key and tensor, so that differences read well."""
    parts = []
    for key, value in plan.items():
        if key in ("metadata", "tensors"):
            text = lines(value, "  ")
        elif key == "others":
            text = "{" + ",".join(f'\n    "{kind}": {lines(v, "    ")}' for kind, v in value.items()) + "\n  }"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f'  "{key}": {text}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--pre", action="append", default=[], metavar="NAME=PRE",
                        help="the pre-tokenizer's name to assume for a checkpoint, over the list in this file")
    a = parser.parse_args()
    here = Path(__file__).resolve().parent  # a script here may be named like an installed package
    sys.path[:] = [str(a.peer), str(a.peer / "gguf-py")] + [p for p in sys.path if Path(p or ".").resolve() != here]
    import convert_hf_to_gguf  # noqa: F401  loaded once, before the forks
    from gguf import GGUFReader
    pre = PRE | dict(item.split("=", 1) for item in a.pre)
    context = multiprocessing.get_context("fork")
    a.out.mkdir(parents=True, exist_ok=True)
    for model in sorted(a.models.iterdir()):
        if a.names and model.name not in a.names:
            continue
        options = OPTIONS.get(model.name, [])
        plan = {"checkpoint": model.name, "converter": "llama.cpp convert_hf_to_gguf.py (llama-cpp-python 0.3.36)",
                "options": options, "preTokenizerOverride": pre.get(model.name)}
        with tempfile.TemporaryDirectory() as scratch:
            for kind in ["auto", *OTHERS]:
                file, answer = Path(scratch) / "out.gguf", context.SimpleQueue()
                worker = context.Process(
                    target=convert, args=(a.peer, model, file, kind, pre.get(model.name), options, answer))
                worker.start()
                error = answer.get()
                worker.join()
                if error is not None:
                    plan["error"] = error
                    break
                reader = GGUFReader(file)
                if kind == "auto":
                    plan |= {"metadata": metadata(reader), "tensors": tensors(reader), "others": {}}
                else:
                    plan["others"][kind] = [{k: t[k] for k in ("name", "type", "sha256")} for t in tensors(reader)]
                del reader
        write_plan(a.out / f"{model.name}.json", plan)
        print(f"{model.name}: {plan.get('error') or len(plan['tensors'])}")


if __name__ == "__main__":
    main()
