"""What the makers of checkpoints share: BF16, safetensors, JSON files and SentencePiece models."""

import json
import struct
from pathlib import Path

import numpy as np

# Piece types of sentencepiece_model.proto, the numbers GGUF uses too.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SPACE = "\u2581"  # how SentencePiece writes a space


def to_bf16(values):
    """float32 array -> uint16 array of BF16 bits, rounded to nearest, ties to even. Finite values only."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    if not np.isfinite(values).all():
        raise ValueError("a weight is not finite")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def safetensors_header(tensors, metadata):
    """Header bytes of a safetensors file. tensors: (name, dtype of the format, shape, byte count) in data order."""
    header, offset = {"__metadata__": metadata}, 0
    for name, dtype, shape, size in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_safetensors(path, tensors, metadata=None):
    """Writes {name: (dtype, array)} as Hugging Face does: widest dtype first, then by name.

    dtype is the format's name ("BF16", "F32"); a BF16 array holds the bits as uint16.
    """
    order = sorted(tensors.items(), key=lambda t: (-t[1][1].itemsize, t[0]))
    with open(path, "wb") as out:
        out.write(safetensors_header([(n, d, a.shape, a.nbytes) for n, (d, a) in order],
                                     {"format": "pt"} if metadata is None else metadata))
        for _, (_, array) in order:
            out.write(np.ascontiguousarray(array).data)


def write_json(path, value, indent=2):
    """Writes a JSON file the way Hugging Face libraries do: UTF-8, keys in the order given."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    Path(path).write_text(text + "\n", encoding="utf-8")


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """One protobuf field: int and bool as varint, float as fixed32, bytes and str with their length."""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_model(pieces, trainer, normalizer):
    """The bytes of a SentencePiece ModelProto (field numbers: sentencepiece's src/sentencepiece_model.proto).

    pieces: (text, score, type); trainer and normalizer: {field number: value}.
    """
    out = bytearray()
    for text, score, kind in pieces:
        piece = field(1, text) + field(2, float(score))
        if kind != NORMAL:
            piece += field(3, kind)
        out += field(1, piece)
    for number, spec in ((2, trainer), (3, normalizer)):
        out += field(number, b"".join(field(k, v) for k, v in spec.items()))
    return bytes(out)


def gemma_sentencepiece(pieces):
    """A BPE model with Gemma's settings: identity normalization, no dummy prefix, byte fallback."""
    trainer = {3: 2,  # model_type BPE
               4: len(pieces), 23: True,  # split_digits
               24: False,  # treat_whitespace_as_suffix
               35: True,  # byte_fallback
               40: 3, 41: 2, 42: 1, 43: 0,  # unk, bos, eos, pad
               45: "<unk>", 46: "<bos>", 47: "<eos>", 48: "<pad>"}
    normalizer = {1: "identity", 3: False, 4: False}  # no dummy prefix, keep extra spaces
    return sentencepiece_model(pieces, trainer, normalizer)


def merges_of(vocabulary):
    """The merges of a SentencePiece BPE model as tokenizer.json lists them.

    vocabulary: {text: id} in id order. SentencePiece joins the neighbours whose result scores highest, and a
    BPE trainer gives each piece minus its rank as score, so pieces in id order are in merge order; each way to
    cut a piece in two known pieces is a merge, shorter left parts first (transformers' generate_merges).
    """
    merges = []
    for text, rank in vocabulary.items():
        for cut in range(1, len(text)):
            if text[:cut] in vocabulary and text[cut:] in vocabulary:
                merges.append((rank, cut, text[:cut], text[cut:]))
    merges.sort(key=lambda m: m[:2])
    return [[left, right] for _, _, left, right in merges]


def gemma_tokenizer_json(vocabulary, added, merges=None):
    """tokenizer.json of a Gemma model. added: (id, text, special)."""
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": special} for i, text, special in added],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                          "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "<bos>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [vocabulary["<bos>"]], "tokens": ["<bos>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocabulary, "merges": merges_of(vocabulary) if merges is None else merges},
    }


def gemma_tokenizer_files(folder, added, chat_template=None, image=False):
    """tokenizer_config.json and special_tokens_map.json of a Gemma 3 tokenizer. added: (id, text, special)."""
    def token(text):
        return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    extra = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
             "image_token": "<image_soft_token>"} if image else {}
    config = {
        "add_bos_token": True, "add_eos_token": False,
        "added_tokens_decoder": {str(i): {**token(text), "special": special} for i, text, special in added},
        "bos_token": "<bos>"}
    if image:
        config["boi_token"] = extra["boi_token"]
    if chat_template is not None:
        config["chat_template"] = chat_template
    config |= {"clean_up_tokenization_spaces": False}
    if image:
        config["eoi_token"] = extra["eoi_token"]
    config["eos_token"] = "<eos>"
    if image:
        config |= {"extra_special_tokens": extra, "image_token": extra["image_token"]}
    config |= {"model_max_length": 1000000000000000019884624838656, "pad_token": "<pad>", "sp_model_kwargs": None,
               "spaces_between_special_tokens": False, "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
               "use_default_system_prompt": False}
    write_json(Path(folder) / "tokenizer_config.json", config)
    write_json(Path(folder) / "special_tokens_map.json", {
        **extra, "bos_token": token("<bos>"), "eos_token": token("<eos>"), "pad_token": token("<pad>"),
        "unk_token": token("<unk>")})
