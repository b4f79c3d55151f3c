#!/usr/bin/env python3
"""Records what transformers computes in float64 for the real models on long inputs.

    tools/golden/long.py MODELS OUT [minilm] [gemma]

MODELS holds gemma3-270m and minilm (tools/models/*.py). Writes OUT/gemma3-270m.npz: 1,500 tokens of texts.PROMPT, for each
position 128 logits (columns(position) says which: together they reach most of the vocabulary), mean, variance and
log-sum-exp of the whole row and its eight largest logits; OUT/gemma3-270m-layers.npz: the hidden state of every stage at
eight positions; OUT/minilm.npz: pooled embeddings of 200 sentences, the last hidden states of the ten shortest (`short`
says which) and every stage of two of these.
`float32_nmse` and `float32_largest` are the distance of transformers' own float32 from this, at each position over the
whole row: the noise floor. About five minutes and 8 GB.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE), str(HERE.parent / "check")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
import texts  # noqa: E402
from float64 import exact, load, stages  # noqa: E402
from long_columns import TOKENS, columns  # noqa: E402

CHUNK = 50
LAYER_POSITIONS = [0, 1, 2, 511, 512, 600, 1111, 1499]


def hidden(cls, folder, ids, dtype):
    """(model, [hidden state of each stage]) of one sequence."""
    model = load(cls, folder, dtype)
    return model, forward(model, ids, dtype)


def forward(model, ids, dtype):
    with (exact() if dtype == torch.float64 else torch.no_grad()), stages(model) as found:
        getattr(model, "model", model)(torch.tensor([ids]))
    return found


def rows(model, state):
    """The logits of a hidden state, a chunk of positions at a time."""
    weight = model.lm_head.weight.detach()
    if model.config.get_text_config().final_logit_softcapping:
        raise SystemExit("no soft cap is applied here")
    for start in range(0, len(state), CHUNK):
        with torch.no_grad():
            yield start, (state[start:start + CHUNK] @ weight.T).double().numpy()


def gemma(folder, out):
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(texts.PROMPT).ids[:TOKENS]
    model, found = hidden("Gemma3ForCausalLM", folder, ids, torch.float64)
    single, other = hidden("Gemma3ForCausalLM", folder, ids, torch.float32)
    parts = {name: [] for name in ("logits", "mean", "variance", "log_sum_exp", "top_ids", "top_logits", "float32_nmse",
                                   "float32_largest")}
    for (start, expected), (_, close) in zip(rows(model, found[-1]), rows(single, other[-1])):
        vocabulary = expected.shape[1]
        largest = expected.max(1, keepdims=True)
        top = np.argsort(-expected, 1, kind="stable")[:, :8]
        parts["logits"] += [row[columns(start + i, vocabulary)] for i, row in enumerate(expected)]
        parts["mean"] += list(expected.mean(1))
        parts["variance"] += list(expected.var(1))
        parts["log_sum_exp"] += list(np.log(np.exp(expected - largest).sum(1)) + largest[:, 0])
        parts["top_ids"] += list(top)
        parts["top_logits"] += list(np.take_along_axis(expected, top, 1))
        parts["float32_nmse"] += list(((close - expected) ** 2).mean(1) / expected.var(1))
        parts["float32_largest"] += list(abs(close - expected).max(1))
    arrays = {name: np.array(values, "<i4" if name == "top_ids" else "<f4") for name, values in parts.items()}
    for name in ("mean", "variance", "log_sum_exp"):
        arrays[name] = np.array(parts[name], "<f8")
    np.savez(out / "gemma3-270m.npz", ids=np.array(ids, "<i4"), vocabulary=vocabulary, **arrays)
    np.savez(out / "gemma3-270m-layers.npz", positions=np.array(LAYER_POSITIONS, "<i4"),
             stages=np.stack([stage.numpy()[LAYER_POSITIONS] for stage in found]).astype("<f4"))
    floor = arrays["float32_nmse"].astype(np.float64)
    print(f"gemma3-270m: {len(ids)} tokens; float32: NMSE mean {floor.mean():.2e}, median {np.median(floor):.2e}, worst "
          f"{floor.max():.2e} at position {floor.argmax()}, {(floor > 1e-11).sum()} positions above 1e-11, largest difference "
          f"{arrays['float32_largest'].max():.2e}", flush=True)


def pooled(state):
    row = state.numpy().astype(np.float64).mean(0)
    return row / np.linalg.norm(row)


def minilm(folder, out):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sequences = [tokenizer.encode(text).ids for text in texts.sentences(200)]
    models = {dtype: load("BertModel", folder, dtype) for dtype in (torch.float64, torch.float32)}
    parts = {"lengths": np.array([len(ids) for ids in sequences], "<i4"),
             "ids": np.concatenate(sequences).astype("<i4")}
    found = [forward(models[torch.float64], ids, torch.float64) for ids in sequences]
    close = [pooled(forward(models[torch.float32], ids, torch.float32)[-1]) for ids in sequences]
    parts["pooled"] = np.stack([pooled(states[-1]) for states in found]).astype("<f4")
    short = np.argsort(parts["lengths"], kind="stable")[:10]
    parts["short"] = short.astype("<i4")
    for index in short:
        parts[f"hidden_{index}"] = found[index][-1].numpy().astype("<f4")
    for index in short[:2]:
        parts[f"stages_{index}"] = np.stack([state.numpy() for state in found[index]]).astype("<f4")
    expected = np.stack([pooled(states[-1]) for states in found])
    error = ((np.stack(close) - expected) ** 2).mean(1) / expected.var(1)
    parts["float32_nmse"] = error.astype("<f4")
    np.savez(out / "minilm.npz", **parts)
    print(f"minilm: {len(sequences)} sentences; float32: NMSE mean {error.mean():.2e}, worst {error.max():.2e}")


def main(arguments):
    if len(arguments) < 2 or not set(arguments[2:]) <= {"minilm", "gemma"}:
        raise SystemExit(__doc__)
    models, out, wanted = Path(arguments[0]), Path(arguments[1]), arguments[2:] or ["minilm", "gemma"]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    if "minilm" in wanted:
        minilm(models / "minilm", out)
    if "gemma" in wanted:
        gemma(models / "gemma3-270m", out)


if __name__ == "__main__":
    main(sys.argv[1:])
