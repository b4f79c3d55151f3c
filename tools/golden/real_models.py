#!/usr/bin/env python3
"""What transformers computes for the real models, and how near llama.cpp's own conversion of them comes.

    tools/golden/real_models.py --models DIR --peer-gguf DIR OUT

DIR holds gemma3-270m and minilm (tools/models/*.py); --peer-gguf holds gemma3-270m-bf16.gguf and minilm-f16.gguf made by
llama.cpp's convert_hf_to_gguf.py. Writes OUT/real-models.json and OUT/gemma3-270m.f32, OUT/minilm.f32 (little-endian
float32). transformers runs in float32 on the CPU with eager attention. Needs `tools/python.sh golden`.
"""

import argparse
import json
import os
import sys

import numpy as np
import torch
import transformers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peer"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "check"))
from measures import TEXT, SENTENCES, nmse, stock_logits, stock_embeddings, metadata_digests, tensor_digests  # noqa: E402

COLUMNS = 4096


def gemma(folder, gguf, out):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    ids = tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy().astype("<f4")
    columns = np.sort(np.random.default_rng(7).choice(logits.shape[1], COLUMNS, replace=False))
    logits[:, columns].tofile(os.path.join(out, "gemma3-270m.f32"))
    tokens, theirs = stock_logits(gguf, ids)
    return {
        "ids": ids, "columns_seed": 7, "columns": COLUMNS, "vocabulary": logits.shape[1],
        "top1": logits.argmax(1).tolist(), "peer_ids": tokens,
        "peer_nmse": nmse(theirs[:, columns], logits[:, columns]),
        "peer_top1_agreement": float((theirs.argmax(1) == logits.argmax(1)).mean()),
        "peer_tensors": tensor_digests(gguf), "peer_metadata": metadata_digests(gguf),
    }


def minilm(folder, gguf, out):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    rows, ids = [], []
    for sentence in SENTENCES:
        tokens = tokenizer(sentence)["input_ids"]
        with torch.no_grad():
            hidden = model(torch.tensor([tokens])).last_hidden_state[0]
        row = hidden.mean(0)
        rows.append((row / row.norm()).numpy())
        ids.append(tokens)
    rows = np.stack(rows).astype("<f4")
    rows.tofile(os.path.join(out, "minilm.f32"))
    tokens, theirs = stock_embeddings(gguf, SENTENCES, ids)
    return {"ids": ids, "width": rows.shape[1], "peer_ids": tokens, "peer_nmse": nmse(theirs, rows),
            "peer_tensors": tensor_digests(gguf), "peer_metadata": metadata_digests(gguf)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True)
    parser.add_argument("--peer-gguf", required=True)
    parser.add_argument("out")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(2)
    import xllamacpp
    record = {
        "text": TEXT, "sentences": SENTENCES,
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__,
                     "xllamacpp": getattr(xllamacpp, "__version__", "2026.10.11549")},
        "gemma3-270m": gemma(os.path.join(options.models, "gemma3-270m"),
                             os.path.join(options.peer_gguf, "gemma3-270m-bf16.gguf"), options.out),
        "minilm": minilm(os.path.join(options.models, "minilm"),
                         os.path.join(options.peer_gguf, "minilm-f16.gguf"), options.out),
    }
    with open(os.path.join(options.out, "real-models.json"), "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    print(json.dumps({name: {key: value for key, value in record[name].items() if key.startswith("peer_n")
                             or key.startswith("peer_top1")} for name in ("gemma3-270m", "minilm")}))


main()
