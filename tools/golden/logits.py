#!/usr/bin/env python3
"""Records what transformers computes for the tiny checkpoints.

    tools/golden/logits.py MODELS OUT [NAME...]

MODELS is what tools/golden/tiny.py made. Writes OUT/NAME.f32, little-endian float32 of shape [tokens, width]: the
logits of every position, or for encoders (BERT, EmbeddingGemma) the last hidden state; and OUT/index.json with
the token ids and the width of each. float32 on the CPU with eager attention; the sequence is longer than the
sliding window of every checkpoint that has one.
"""

import json
import sys
from pathlib import Path

# This folder comes after the installed packages: a script here may be named like one of them.
HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

TOKENS = 24
SEED = 5


def main(arguments):
    if len(arguments) < 2:
        raise SystemExit(__doc__)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    models, out = Path(arguments[0]), Path(arguments[1])
    out.mkdir(parents=True, exist_ok=True)
    index = {}
    for folder in sorted(models.iterdir()):
        if arguments[2:] and folder.name not in arguments[2:]:
            continue
        config = transformers.AutoConfig.from_pretrained(folder)
        cls = getattr(transformers, config.architectures[0])
        model = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        model = getattr(model, "bert", model)
        ids = [2] + np.random.default_rng(SEED).integers(30, 380, TOKENS - 1).tolist()
        with torch.no_grad():
            result = model(input_ids=torch.tensor([ids]))
        kind = "logits" if hasattr(result, "logits") else "hidden"
        values = (result.logits if kind == "logits" else result.last_hidden_state)[0].numpy().astype("<f4")
        (out / f"{folder.name}.f32").write_bytes(values.tobytes())
        index[folder.name] = {"kind": kind, "ids": ids, "width": values.shape[1]}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in index.items())
    (out / "index.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
