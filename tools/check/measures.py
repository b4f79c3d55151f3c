"""Measures that the check of the real models and the maker of its golden files share."""

import hashlib
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peer"))
from stock import Stock  # noqa: E402

TEXT = ("The patient is a 54-year-old woman with a history of hypertension and type 2 diabetes, who presented with"
        " shortness of breath. The chest X-ray shows a small pleural effusion on the left side.")
SENTENCES = [
    "The chest X-ray shows no acute findings.",
    "There is a small pleural effusion on the left.",
    "Metformin 500 mg twice daily.",
    "Patient denies fever, chills, or night sweats; BP 128/76 mmHg.",
    "Der Patient klagt über Übelkeit.",
    "naïve café résumé",
    "A dog is running in the park!",
    "e=mc^2 (1905)",
]


def nmse(found, expected):
    """Squared error over the expected values' squared distance from their mean; means over each row."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    error = ((found - expected) ** 2).sum(-1)
    spread = ((expected - expected.mean(-1, keepdims=True)) ** 2).sum(-1)
    return float((error / spread).mean())


def stock_logits(path, ids):
    stock = Stock(path)
    try:
        return stock.tokens(TEXT), stock.logits(ids)
    finally:
        stock.close()


def token_windows(path, text, positions, window=576, skip=64):
    """Windows of a text's token ids, of which all but the first `skip` positions count: at least `positions` in all."""
    stock = Stock(path, context=64)
    ids = stock.tokens(text)
    stock.close()
    count = -(-positions // (window - skip))
    if len(ids) < count * window:
        raise SystemExit(f"the text has {len(ids)} tokens, {count * window} are needed")
    return [ids[i * window:(i + 1) * window] for i in range(count)]


def log_probabilities(path, windows, skip=64, threads=2):
    """float32 [positions, vocabulary] of each window, by stock llama.cpp."""
    stock = Stock(path, context=len(windows[0]), threads=threads)
    for window in windows:
        stock.clear()
        rows = stock.logits(window)[skip:]
        rows -= rows.max(1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(1, keepdims=True, dtype=np.float64)).astype(np.float32)
        yield rows
    stock.close()


def divergence(references, path, windows, skip=64, threads=2):
    """KL divergence in nats from the reference's log probabilities at every position, and where the top token is the same."""
    values, same = [], []
    for reference, candidate in zip(references, log_probabilities(path, windows, skip, threads)):
        same.append(reference.argmax(1) == candidate.argmax(1))
        candidate -= reference
        values.append(-np.einsum("ij,ij->i", np.exp(reference), candidate, dtype=np.float64))
    return np.concatenate(values), np.concatenate(same)


def stock_embeddings(path, sentences, all_ids):
    tokens, rows = [], []
    for sentence, ids in zip(sentences, all_ids):
        stock = Stock(path)
        try:
            tokens.append(stock.tokens(sentence))
            row = stock.embedding(ids)
        finally:
            stock.close()
        rows.append(row / np.linalg.norm(row))
    return tokens, np.stack(rows)


def tensor_digests(path):
    """Name → SHA-256 of type, shape and bytes of every tensor of a GGUF file."""
    from gguf import GGUFReader

    digests = {}
    for tensor in GGUFReader(path).tensors:
        digest = hashlib.sha256(f"{int(tensor.tensor_type)} {[int(n) for n in tensor.shape]} ".encode())
        digest.update(tensor.data.tobytes())
        digests[tensor.name] = digest.hexdigest()
    return digests


def metadata_digests(path):
    """Key → SHA-256 of type and value of every metadata key of a GGUF file."""
    from gguf import GGUFReader

    digests = {}
    for name, field in GGUFReader(path).fields.items():
        if not name.startswith("GGUF."):
            parts = [field.parts[index].tobytes() for index in field.data]
            digest = hashlib.sha256(repr([int(kind) for kind in field.types]).encode())
            for part in parts:
                digest.update(len(part).to_bytes(8, "little") + part)
            digests[name] = digest.hexdigest()
    return digests
