#!/usr/bin/env python3
"""Records what transformers computes, in float64, for the tiny checkpoints.

    tools/golden/logits.py OUT MODELS... [--only NAME]

MODELS are folders of checkpoints made by tools/golden/tiny.py. For each checkpoint NAME, as little-endian float32 rounded
from float64:

    OUT/NAME.f32         [tokens, width]: logits at every position; for encoders the last hidden state
    OUT/NAME.layers.f32  [stages, tokens, layerWidth]: what enters layer 0, what leaves each layer, what leaves the final norm
    OUT/NAME.pooled.f32  [pooledWidth]: encoders that say how they pool
    OUT/NAME.pooler.f32  [layerWidth]: BERT's pooler, tanh included
    OUT/NAME.scores.f32  [scoreRows, scoreWidth]: heads of BERT; one row for each token, or one in all

and OUT/index.json with the token ids, sizes and the distance of transformers' own float32 from these values. The sequence
crosses every sliding window several times and holds ids from the whole vocabulary, added tokens among them.
"""

import argparse
import json
import sys
from pathlib import Path

# This folder comes after the installed packages: a script here may be named like one of them.
HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from float64 import exact, load, stages  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

TOKENS = 80  # five windows of the tiny checkpoints
SEED = 5


def sequence(config):
    """First token as the tokenizers put it, then ids from the whole vocabulary; the ids of pictures left out."""
    text = config.get_text_config()
    rng = np.random.default_rng(SEED)
    vocabulary = text.vocab_size
    if image := getattr(config, "image_token_id", None):
        vocabulary = min(vocabulary, image)  # rows from there on belong to no token
    count = min(TOKENS, text.max_position_embeddings - 4 if config.model_type == "bert" else TOKENS)
    # The last ids are the added tokens: the middle of the sequence has some of them for certain.
    ids = [2] + rng.integers(3, vocabulary, count - 1).tolist()
    ids[count // 2:count // 2 + 3] = range(vocabulary - 3, vocabulary)
    return ids


def pooled(folder, hidden):
    """What sentence-transformers makes of the hidden states, by its modules.json; None without one."""
    if not (folder / "modules.json").exists():
        return None
    row = None
    for module in json.loads((folder / "modules.json").read_text()):
        kind, path = module["type"].rpartition(".")[2], folder / module["path"]
        if kind == "Pooling":
            modes = [key for key, on in json.loads((path / "config.json").read_text()).items() if on is True]
            if modes != ["pooling_mode_mean_tokens"]:
                raise SystemExit(f"{path}: {modes}")
            row = hidden.mean(0)
        elif kind == "Dense":
            row = row @ load_file(path / "model.safetensors")["linear.weight"].astype(np.float64).T
        elif kind == "Normalize":
            row = row / np.linalg.norm(row)
        elif kind != "Transformer":
            raise SystemExit(f"{folder}: {module}")
    return row


def computed(folder, cls, ids, dtype):
    """{part: array} of one checkpoint."""
    model = load(cls, folder, dtype)
    batch = torch.tensor([ids])
    with (exact() if dtype == torch.float64 else torch.no_grad()), stages(model) as found:
        result = model(batch)
    parts = {"layers": np.stack([stage.numpy() for stage in found])}
    if model.config.model_type == "bert":
        parts["main"] = parts["layers"][-1]
        head = getattr(result, "prediction_logits", getattr(result, "logits", None))
        if head is not None:
            parts["scores"] = (head[0] if head.dim() == 3 else head).numpy()
        pooler = getattr(getattr(model, "bert", model), "pooler", None)
        if pooler is not None:
            with (exact() if dtype == torch.float64 else torch.no_grad()):
                parts["pooler"] = pooler(torch.from_numpy(parts["main"])[None])[0].numpy()
    else:
        parts["main"] = (result.logits if hasattr(result, "logits") else result.last_hidden_state)[0].numpy()
    row = pooled(folder, parts["main"])
    if row is not None:
        parts["pooled"] = row
    return parts


def distance(found, expected):
    """The worst row's squared error over its spread, and the largest difference."""
    found, expected = (np.atleast_2d(a).astype(np.float64) for a in (found, expected))
    error, spread = ((found - expected) ** 2).mean(-1), expected.var(-1)
    return {"nmse": float(f"{(error / spread).max():.3e}"), "largest": float(f"{abs(found - expected).max():.3e}")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--only")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "index.json"
    index = json.loads(target.read_text()) if options.only and target.exists() else {}
    for folder in sorted((f for group in options.models for f in group.iterdir() if f.is_dir()), key=lambda f: f.name):
        if options.only and folder.name != options.only:
            continue
        config = transformers.AutoConfig.from_pretrained(folder)
        cls = config.architectures[0]
        names = {name for file in folder.glob("*.safetensors") for name in load_file(file)} if cls.startswith("Bert") else ()
        if cls == "BertForMaskedLM" and "bert.pooler.dense.weight" in names:
            cls = "BertForPreTraining"  # the same model with its pooler
        ids = sequence(config)
        parts, single = (computed(folder, cls, ids, dtype) for dtype in (torch.float64, torch.float32))
        entry = {"kind": "logits" if cls.endswith(("CausalLM", "ConditionalGeneration")) else "hidden", "ids": ids,
                 "width": parts["main"].shape[-1], "stages": len(parts["layers"]),
                 "layerWidth": parts["layers"].shape[-1], "float32": distance(single["main"], parts["main"])}
        if "pooled" in parts:
            entry["pooledWidth"] = len(parts["pooled"])
        if "pooler" in parts:
            entry["pooler"] = True
        if "scores" in parts:
            entry["scoreRows"], entry["scoreWidth"] = parts["scores"].shape
            labels = getattr(config, "id2label", None)
            if cls.endswith("Classification"):
                entry["labels"] = [labels[i] for i in range(len(labels))]
        for part, values in parts.items():
            name = folder.name + ("" if part == "main" else f".{part}") + ".f32"
            (options.out / name).write_bytes(values.astype("<f4").tobytes())
        index[folder.name] = entry
        print(folder.name, {k: v for k, v in entry.items() if k != "ids"}, flush=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(index[name])}" for name in sorted(index))
    target.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
