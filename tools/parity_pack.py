#!/usr/bin/env python3
"""Parity packs in Python: an implementation of formats/spec/parity-pack.md that shares nothing with tincture's.

    parity_pack.py show   REF.pack                    what a pack says about itself
    parity_pack.py export REF.pack OUT.npz [--force]  its numbers as numpy arrays
    parity_pack.py record CHECKPOINT --prompts FILE -o REF.pack [--tokens N] [--layers] [--top K | --full]
                          [--dtype float32|float64] [--force]

`export` writes for each prompt N: ids_N; for decoders logits_N [positions, vocabulary], with NaN for every logit that the
pack does not keep, normalizer_N (ln of the sum of exp over the whole row) and rest_N (the probability of all that is not
kept); for encoders hidden_N [tokens, width], pooled_N [width], pooler_N, scores_N, as far as the pack has them. With
layers recorded also sketch_S [positions of all prompts, sums + 1] for each stage S. Arrays are written one after the other:
memory holds one prompt. What a pack keeps of the weights is read by `Reader.weights`.

`record` lets transformers compute (eager attention, float32 unless --dtype says otherwise) and read the texts: `verify`
then holds a file's own tokenizer against transformers' ids. It says nothing about what the tokenizer is made of. Run it with
the environment of `tools/python.sh golden`. `export` and `show` need numpy and libzstd only. FILE holds a prompt a line,
{"text": …}, {"messages": […]} or {"ids": […]}; what `tincture record` refuses of it is refused here, with the same status.

An existing output is replaced with `--force` only, and a file that is read, or stands in CHECKPOINT, never. Exit status: 0
done, 2 usage (a prompt longer than the model's context too), 3 an input that is damaged or cannot be read, 4 something that
is not supported or not installed, 5 an output that cannot be written.
"""

import argparse
import contextlib
import ctypes
import ctypes.util
import hashlib
import json
import os
import struct
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE / "golden")]

import numpy as np  # noqa: E402

SKIPPABLE, LIMIT = 0x184D2A50, 1 << 26
# Weights of a block whose length is kept.
BLOCK = 32
KINDS = ("hidden", "pooled", "pooler", "scores")
# Limits of `tincture record`: of token ids, of --tokens and --top.
ID_LIMIT, TOKENS, TOP = 1 << 31, (1, 1 << 22), (10, 1 << 24)
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Stands for a part of a picture in texts of Gemma 3.
PICTURE = "<image_soft_token>"


class PackError(Exception):
    """One line for people: what is wrong and what to do."""

    def __init__(self, message, status=3):
        super().__init__(message)
        self.status = status


def expect(condition, where, expected, value, status=3):
    """Of something that was read from JSON."""
    if not condition:
        found = json.dumps(value)
        raise PackError(f"{where}: expected {expected}, found {found if len(found) <= 60 else found[:59] + '…'}", status)


@contextlib.contextmanager
def blaming(what, status=3):
    """Whatever a library raises over an input, in one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise PackError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}", status) from error


def check_output(options, path, inputs):
    """Before anything is computed: whether the output's name is free, and none of the inputs under another name."""
    path = Path(path)
    if path.is_dir():
        raise PackError(f"{path} is a folder: name a file", 5)
    if not path.parent.is_dir():
        raise PackError(f"there is no folder {path.parent}: create it first", 5)
    for name in (path, partial(path)):
        for taken in inputs:
            if os.path.exists(name) and os.path.samefile(name, taken):
                raise PackError(f"{name}: expected a file that is not read, found the same as {taken}: give another name", 5)
    if path.exists() and not options.force:
        raise PackError(f"{path} exists: give --force to replace it, or another name", 5)


def partial(path):
    """The name of an output that is not whole yet."""
    return f"{path}.partial"


@contextlib.contextmanager
def whole(output):
    """An output that gets its name when it is whole; of what is not, nothing stays."""
    try:
        yield output
        output.close()
    except BaseException:
        output.file.close()
        os.unlink(output.partial)
        raise
    os.replace(output.partial, output.path)


def tell(path, what):
    print(f"wrote {path}  {os.path.getsize(path):,} bytes: {what}")


def counted(number, word):
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def check_input(path, what):
    if not Path(path).exists():
        raise PackError(f"{path}: there is no such {what}: check the name")
    if Path(path).is_dir():
        raise PackError(f"{path} is a folder: name a {what}")


class Zstd:
    """The two calls of libzstd that are needed."""

    def __init__(self):
        name = ctypes.util.find_library("zstd") or "libzstd.so.1"
        self.library = ctypes.CDLL(name)
        for function in ("ZSTD_compressBound", "ZSTD_compress", "ZSTD_decompress"):
            getattr(self.library, function).restype = ctypes.c_size_t
        self.library.ZSTD_isError.argtypes = [ctypes.c_size_t]
        self.library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
        self.library.ZSTD_compress.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
        self.library.ZSTD_decompress.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def compress(self, content):
        room = self.library.ZSTD_compressBound(len(content))
        buffer = ctypes.create_string_buffer(room)
        count = self.library.ZSTD_compress(buffer, room, content, len(content), 1)
        if self.library.ZSTD_isError(count):
            raise PackError("zstd cannot compress")
        return buffer.raw[:count]

    def decompress(self, frame, count):
        buffer = ctypes.create_string_buffer(max(1, count))
        found = self.library.ZSTD_decompress(buffer, count, frame, len(frame))
        if self.library.ZSTD_isError(found) or found != count:
            raise PackError("a zstd frame is damaged")
        return buffer.raw[:count]


ZSTD = Zstd()


def planes(words):
    """32-bit numbers as four planes of bytes."""
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, 4).T.tobytes()


def words(content, dtype):
    return np.ascontiguousarray(np.frombuffer(content, np.uint8).reshape(4, -1).T).view(dtype).reshape(-1)


# Reading


class Reader:
    def __init__(self, path):
        check_input(path, "pack")
        self.file = open(path, "rb")
        size = os.fstat(self.file.fileno()).st_size
        head = self.file.read(24)
        if len(head) < 24 or size < 96 or head[:8] != struct.pack("<II", SKIPPABLE, 16) or head[8:16] != b"TINCPACK":
            raise PackError(f"{path} is not a parity pack: name a file that `tincture record` wrote")
        if struct.unpack("<II", head[16:]) != (1, 0):
            raise PackError(f"version {struct.unpack('<I', head[16:20])[0]} of a pack: this program reads version 1", 4)
        self.file.seek(size - 72)
        tail = self.file.read(72)
        kind, length, at, count, holds = struct.unpack("<IIQQQ", tail[:32])
        if (kind, length) != (SKIPPABLE, 64) or tail[64:] != b"TINCPEND" or at + count != size - 72 or at < 24:
            raise PackError(f"{path} has no end, it was cut short: copy or record the pack again")
        self.end = at
        self.index = json.loads(self.content({"at": at, "bytes": count, "holds": holds, "sha256": tail[32:64].hex()},
                                             size - 72))
        if self.index["schemaVersion"] not in (1, 2, 3):
            raise PackError("another schema of the index than 1, 2 and 3: take the parity_pack.py of its version", 4)
        size = self.index["vocabulary"]["size"]
        self.vocabulary = size
        self.kept = 0 if size is None else min(self.index["top"] or size, size)

    def content(self, frame, end=None):
        if not (24 <= frame["at"] and frame["at"] + frame["bytes"] <= (end or self.end) and 0 <= frame["holds"] <= LIMIT):
            raise PackError("a frame does not lie in the pack")
        self.file.seek(frame["at"])
        content = ZSTD.decompress(self.file.read(frame["bytes"]), frame["holds"])
        if hashlib.sha256(content).hexdigest() != frame["sha256"]:
            raise PackError("the bytes of a frame are not those that were written")
        return content

    def prompts(self):
        """(ids, pieces) of each prompt."""
        content, at, result = self.content(self.index["tokens"]), 0, []
        for prompt in self.index["prompts"]:
            n = prompt["tokenCount"]
            ids = np.frombuffer(content, "<i4", n, at)
            lengths = np.frombuffer(content, "<u4", n, at + 4 * n)
            at += 8 * n
            pieces = []
            for length in lengths:
                pieces.append(content[at:at + length])
                at += int(length)
            result.append((ids, pieces))
        if at != len(content):
            raise PackError("bytes follow the prompts' tokens")
        return result

    def logits(self, frame):
        """{ids, values [rows, kept], normalizer, rest, rest_mean, mean, variance, next} of a frame."""
        content, rows, kept = self.content(frame), frame["rows"], self.kept
        full = kept == self.vocabulary
        if len(content) != rows * (44 + kept * (4 if full else 8)):
            raise PackError("a frame of logits has another length than its rows need")
        names = ("normalizer", "rest", "rest_mean", "mean", "variance")
        result = {name: np.frombuffer(content, "<f8", rows, 8 * rows * i) for i, name in enumerate(names)}
        result["next"] = np.frombuffer(content, "<f4", rows, 40 * rows)
        at = 44 * rows
        if full:
            ids = np.broadcast_to(np.arange(kept, dtype=np.int64), (rows, kept))
        else:
            gaps = words(content[at:at + 4 * rows * kept], "<u4").reshape(rows, kept).astype(np.int64)
            ids = gaps.cumsum(1)
            at += 4 * rows * kept
            if (gaps[:, 1:] < 1).any() or (ids[:, -1] >= self.vocabulary).any():
                raise PackError("the ids of a frame do not ascend within the vocabulary")
        values = words(content[at:], "<f4").reshape(rows, kept)
        if not np.isfinite(values).all():
            raise PackError("a logit is not finite")
        return dict(result, ids=ids, values=values)

    def tails(self, frame):
        """Sketches of what is not kept: (roots of probabilities, logits), each [rows, buckets]."""
        both = words(self.content(frame), "<f4").reshape(frame["rows"], 2, self.index["tailSketch"]["buckets"])
        return both[:, 0], both[:, 1]

    def vectors(self, frame):
        return words(self.content(frame), "<f4").reshape(frame["rows"], frame["columns"])

    def weights(self, frame):
        """What is kept of a tensor's rows: all weights of a whole one; else {square [rows], sums [rows, projections], over
        the length, and where blocks and runs are kept code [rows, blocks] and negative [rows, runs, signs]}."""
        content, rows, columns = self.content(frame), frame["rows"], frame["columns"]
        if frame.get("whole"):
            return words(content, "<f4")
        about = self.index["weightSketch"]
        count = about["projections"]
        run = about.get("run") if self.index["schemaVersion"] > 2 else None
        blocks, runs = (-(-columns // BLOCK), -(-columns // run)) if run else (0, 0)
        signed = runs * about["signs"] // 8 if run else 0
        if len(content) != rows * (4 + 2 * count + blocks + signed):
            raise PackError("a frame of weights has another length than its rows need")
        at = 4 * rows
        halves = np.frombuffer(content, np.uint8, 2 * rows * count, at).reshape(2, -1).T
        result = {"square": words(content[:at], "<f4"),
                  "sums": np.ascontiguousarray(halves).view("<f2").reshape(rows, count)}
        if run:
            at += 2 * rows * count
            result["code"] = np.frombuffer(content, np.uint8, rows * blocks, at).reshape(rows, blocks)
            bits = np.unpackbits(np.frombuffer(content, np.uint8, rows * signed, at + rows * blocks), bitorder="little")
            result["negative"] = bits.reshape(rows, runs, about["signs"]).astype(bool)
        return result

    def stage(self, frame):
        return words(self.content(frame), "<f4").reshape(-1, self.index["stageSketch"]["projections"] + 1)


class Archive:
    """An .npz file written array by array."""

    def __init__(self, path):
        self.path, self.partial, self.count = path, partial(path), 0
        self.file = zipfile.ZipFile(self.partial, "w", zipfile.ZIP_DEFLATED, True, compresslevel=1)

    def add(self, name, array):
        with self.file.open(name + ".npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.asanyarray(array))
        self.count += 1

    def close(self):
        self.file.close()


def export(options):
    pack = Reader(options.pack)
    check_output(options, options.out, [options.pack])
    with whole(Archive(options.out)) as archive:
        count = export_arrays(pack, archive)
    prompts, tokens = len(pack.index["prompts"]), sum(p["tokenCount"] for p in pack.index["prompts"])
    tell(options.out, f"{counted(count, 'array')} of {counted(prompts, 'prompt')}, {counted(tokens, 'token')}")


def export_arrays(pack, archive):
    """Writes every array; their number."""
    index = pack.index
    for n, (ids, _) in enumerate(pack.prompts()):
        archive.add(f"ids_{n}", ids)
        frames = [f for f in index["logits"] if f["prompt"] == n]
        if frames:
            logits = np.full((len(ids), pack.vocabulary), np.nan, np.float32)
            normalizer, rest = np.empty(len(ids)), np.empty(len(ids))
            done = 0
            for frame in frames:
                if frame["first"] != done:
                    raise PackError("rows are missing")
                rows, at = pack.logits(frame), slice(done, done + frame["rows"])
                np.put_along_axis(logits[at], rows["ids"], rows["values"], 1)
                normalizer[at], rest[at] = rows["normalizer"], rows["rest"]
                done += frame["rows"]
            if done != len(ids):
                raise PackError("rows are missing")
            archive.add(f"logits_{n}", logits)
            archive.add(f"normalizer_{n}", normalizer)
            archive.add(f"rest_{n}", rest)
        for kind in KINDS:
            parts = [pack.vectors(f) for f in index["vectors"] if f["prompt"] == n and f["kind"] == kind]
            if parts:
                rows = np.concatenate(parts)
                archive.add(f"{kind}_{n}", rows[0] if kind in ("pooled", "pooler") else rows)
    for frame in index["stages"]:
        archive.add(f"sketch_{frame['stage']}", pack.stage(frame))
    return archive.count


def show(options):
    pack = Reader(options.pack)
    about = {k: v for k, v in pack.index.items() if k not in ("logits", "tails", "vectors", "stages", "weights", "tokens",
                                                           "prompts")}
    about["prompts"] = len(pack.index["prompts"])
    about["tokens"] = sum(p["tokenCount"] for p in pack.index["prompts"])
    about["stages"] = len(pack.index["stages"])
    print(json.dumps(about, indent=2, ensure_ascii=False))


# Writing


class Writer:
    def __init__(self, path):
        self.path, self.partial, self.index = path, partial(path), None
        self.file = open(self.partial, "wb")
        self.file.write(struct.pack("<II", SKIPPABLE, 16) + b"TINCPACK" + struct.pack("<II", 1, 0))

    def frame(self, content, **members):
        if len(content) > LIMIT:
            raise PackError("a frame would hold more than 64 MiB")
        at, stored = self.file.tell(), ZSTD.compress(content)
        self.file.write(stored)
        return {**members, "at": at, "bytes": len(stored), "holds": len(content),
                "sha256": hashlib.sha256(content).hexdigest()}

    def close(self):
        frame = self.frame(json.dumps(self.index, ensure_ascii=False, separators=(",", ":")).encode())
        self.file.write(struct.pack("<IIQQQ", SKIPPABLE, 64, frame["at"], frame["bytes"], frame["holds"])
                        + bytes.fromhex(frame["sha256"]) + b"TINCPEND")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


def split_mix_signs(numbers, seed):
    """The highest bits of the SplitMix64 numbers after `seed`, as signs."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.where(z >> np.uint64(63), -1.0, 1.0)


def signs(width, projections, seed):
    """The signs of a sketch, [projections, width]."""
    return split_mix_signs(np.arange(1, projections * width + 1, dtype=np.uint64), seed).reshape(projections, width)


def run_signs(length, count, seed):
    """The signs of the sums of a run, [count, length]."""
    numbers = np.arange(1, count * length + 1, dtype=np.uint64) + np.uint64(1 << 32)
    return split_mix_signs(numbers, seed).reshape(count, length)


def block_means(rows):
    """The mean squares of each block of rows of weights, [rows, blocks]."""
    columns = rows.shape[1]
    starts = np.arange(0, columns, BLOCK)
    squares = np.add.reduceat(rows.astype(np.float64) ** 2, starts, axis=1)
    return squares / np.minimum(BLOCK, columns - starts)


def block_codes(shares):
    """The codes of blocks' mean squares over those of their rows."""
    bits = (shares.astype("<f4").view("<u4") >> 20).astype(np.int64) - 888
    return np.where(shares > 0, bits.clip(0, 255), 0)


def run_sums(rows, length, signed):
    """Sums with signs of each run, [rows, runs, sums]."""
    runs = -(-rows.shape[1] // length)
    padded = np.zeros((len(rows), runs * length))
    padded[:, :rows.shape[1]] = rows
    return padded.reshape(len(rows), runs, length) @ signed.T


def tail_frame(logits, chosen, position, about):
    """The content of a frame of tails; `chosen` are the kept ids, `position` the number of the first row in the pack."""
    rows, size = logits.shape
    buckets, seed = about["buckets"], about["seed"]
    blocks = -(-size // buckets)
    wide = logits.astype(np.float64)
    top = wide.max(1, keepdims=True)
    root = np.exp((wide - top - np.log(np.exp(wide - top).sum(1, keepdims=True))) / 2)
    sign = split_mix_signs(np.arange(1, size + 1, dtype=np.uint64), seed)
    result = np.zeros((rows, 2, buckets))
    for r in range(rows):
        first = np.uint64((position + r + 1) << 32)
        turn = split_mix_signs(first + np.arange(1, blocks + 1, dtype=np.uint64), seed)
        own = sign * np.repeat(turn, buckets)[:size]
        own[chosen[r]] = 0
        for part, values in enumerate((root[r], wide[r])):
            padded = np.zeros(blocks * buckets)
            padded[:size] = own * values
            result[r, part] = padded.reshape(blocks, buckets).sum(0)
    return planes(result.astype("<f4"))


def kept_ids(logits, kept):
    """The greatest of each row, of equal ones the lower id, ascending."""
    return np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :kept], axis=1)


def logit_frame(logits, ids, first, kept):
    """The content of a frame of rows; `ids` are those of the whole prompt, `first` the position of the first row."""
    rows, size = logits.shape
    wide = logits.astype(np.float64)
    top = wide.max(1, keepdims=True)
    e = np.exp(wide - top)
    total = e.sum(1)
    following = [logits[r, ids[first + r + 1]] if first + r + 1 < len(ids) else 0 for r in range(rows)]
    if kept == size:
        rest, rest_mean, chosen, values = np.zeros(rows), np.zeros(rows), None, logits
    else:
        chosen = kept_ids(logits, kept)
        values = np.take_along_axis(logits, chosen, 1)
        np.put_along_axis(e, chosen, 0, 1)
        mass = e.sum(1)
        rest = mass / total
        rest_mean = np.where(mass > 0, (e * wide).sum(1) / np.where(mass > 0, mass, 1), 0)
    content = b"".join(np.asarray(a, "<f8").tobytes() for a in (
        top[:, 0] + np.log(total), rest, rest_mean, wide.mean(1), wide.var(1)))
    content += np.asarray(following, "<f4").tobytes()
    if chosen is not None:
        content += planes(np.diff(chosen, axis=1, prepend=0).astype("<u4"))
    return content + planes(values.astype("<f4"))


def model_digest(folder):
    """SHA-256 of the weights, as the specification says."""
    names = {"F64": "F64", "F32": "F32", "F16": "F16", "BF16": "BF16"}
    tensors = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        with open(file, "rb") as f:
            length = struct.unpack("<Q", f.read(8))[0]
            header = json.loads(f.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                tensors.append((name.encode(), entry, file, 8 + length))
    digest = hashlib.sha256()
    types = {}
    for name, entry, file, start in sorted(tensors, key=lambda t: t[0]):
        stored = names.get(entry["dtype"], entry["dtype"])
        sizes = "x".join(map(str, entry["shape"]))
        if len(entry["shape"]) > 1:
            types[stored] = types.get(stored, 0) + 1
        digest.update(name + b"\0" + stored.encode() + b"\0" + sizes.encode() + b"\0")
        with open(file, "rb") as f:
            begin, end = entry["data_offsets"]
            f.seek(start + begin)
            left = end - begin
            while left:
                piece = f.read(min(left, 1 << 24))
                digest.update(hashlib.sha256(piece).digest())
                left -= len(piece)
    return digest.hexdigest(), sorted(types, key=types.get, reverse=True)


# llama.cpp's names by the class or, for all its others, the type of transformers' model.
ARCHITECTURES = {"Gemma3TextModel": "gemma-embedding", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3",
                 "gemma3_text": "gemma3", "bert": "bert", "llama": "llama", "mistral": "llama", "qwen2": "qwen2",
                 "qwen3": "qwen3"}


def architecture(cls, model_type):
    return ARCHITECTURES.get(cls) or ARCHITECTURES.get(model_type, model_type)


def pieces_of(tokenizer, ids):
    """What each id adds to the text when the prompt is decoded from its start."""
    pieces, before = [], b""
    for end in range(1, len(ids) + 1):
        # A few tokens back are enough: no character is spread over more.
        text = tokenizer.decode(ids[max(0, end - 8):end], clean_up_tokenization_spaces=False)
        shorter = tokenizer.decode(ids[max(0, end - 8):end - 1], clean_up_tokenization_spaces=False) if end > 1 else ""
        whole, part = text.rstrip("\ufffd").encode(), shorter.rstrip("\ufffd").encode()
        pieces.append(whole[len(part):] if whole.startswith(part) else b"")
    return pieces


def prompts_of(path):
    """(where it stands, kind, value) of each prompt of a file, without a model."""
    check_input(path, "file of prompts")
    with blaming(path):
        content = Path(path).read_bytes()
    result = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip(b" \t\r"):
            result.append(prompt_of(f"{path}, line {number}", line))
    if not result:
        raise PackError(f'{path}: expected lines such as {{"text": "Hello"}}, {{"messages": […]}} or {{"ids": [1, 2]}}, '
                        f'found {"blank lines only" if content else "an empty file"}')
    return result


def prompt_of(where, line):
    try:
        root = json.loads(line.decode(), object_pairs_hook=unique)
        json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        found = str(error)
        if isinstance(error, json.JSONDecodeError):
            found = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        elif isinstance(error, UnicodeEncodeError):
            found = f"half of a pair of surrogates, {json.dumps(error.object[error.start])}"
        raise PackError(f"{where}: expected a JSON object in UTF-8, found: {found}") from error
    kinds = 'one of {"text": …}, {"messages": […]} and {"ids": […]}'
    expect(isinstance(root, dict) and len(root) == 1, where, kinds, root)
    (kind, value), = root.items()
    expect(kind in ("text", "messages", "ids"), where, kinds, root)
    within = f"{where}, {kind}"
    if kind == "text":
        expect(isinstance(value, str), within, "a string", value)
        return where, kind, value
    one = "a token id" if kind == "ids" else "a message"
    expect(isinstance(value, list) and value, within, f"a list with at least {one}", value)
    for number, element in enumerate(value):
        if kind == "ids":
            expect(type(element) is int and 0 <= element < ID_LIMIT, f"{within}[{number}]",
                   f"a whole number from 0 to {ID_LIMIT - 1}", element)
        else:
            check_message(f"{within}[{number}]", element)
    return where, kind, value


def unique(pairs):
    """The members of an object, each with a name of its own."""
    result = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {json.dumps(name)} stands twice in one object")
        result[name] = value
    return result


def check_message(where, message):
    role, content = members(where, message, "role", "content")
    expect(isinstance(role, str) and role, f"{where}.role", "a string that is not empty", role)
    if not isinstance(content, list):
        expect(isinstance(content, str), f"{where}.content", "a string or a list of texts", content)
        return
    for number, part in enumerate(content):
        within = f"{where}.content[{number}]"
        if isinstance(part, dict) and isinstance(part.get("type"), str):
            expect(part["type"] == "text", f"{within}.type", '"text", as nothing else is supported', part["type"], 4)
        for name, value in zip(("type", "text"), members(within, part, "type", "text")):
            expect(isinstance(value, str), f"{within}.{name}", "a string", value)


def members(where, value, *names):
    """The values of an object that has these members and no others: tools and the like are not supported."""
    wanted = "an object with " + " and ".join(map(json.dumps, names))
    expect(isinstance(value, dict), where, wanted, value)
    expect(value.keys() <= set(names), where, f"{wanted} and nothing else", value, 4)
    expect(value.keys() == set(names), where, wanted, value)
    return [value[name] for name in names]


def tokens_of(prompts, tokenizer, limit, config):
    """(text or None, its form or None, whether ids were cut off, ids, pieces) of each prompt."""
    result, size, context = [], config.vocab_size, config.max_position_embeddings
    for where, kind, value in prompts:
        text = form = None
        ids = value
        if kind != "ids" and tokenizer is None:
            raise PackError(f"{where}: the checkpoint has no tokenizer, give ids")
        if kind == "text":
            text, form = value, "text"
        elif kind == "messages":
            if not tokenizer.chat_template:
                raise PackError(f"{where}: the checkpoint has no chat template, give a text or ids", 4)
            with blaming(f"{where}: the chat template does not take the conversation"):
                text, form = tokenizer.apply_chat_template(value, tokenize=False, add_generation_prompt=True), "conversation"
        if text is not None:
            with blaming(f"{where}: the tokenizer does not take the text"):
                ids = tokenizer(text, add_special_tokens=form == "text")["input_ids"]
        cut = bool(limit) and len(ids) > limit
        ids = ids[:limit] if limit else ids
        expect(ids, where, "a prompt with tokens", ids)
        if len(ids) > context:
            raise PackError(f"{where}: expected at most {context:,} tokens, the model's context, found {len(ids):,}: "
                            "shorten it, or cut all prompts with --tokens", 2)
        if max(ids) >= size:
            at = next(i for i, token in enumerate(ids) if token >= size)
            name = tokenizer.convert_ids_to_tokens(ids[at]) if tokenizer and ids[at] < len(tokenizer) else None
            raise PackError(f"{where}: expected ids from 0 to {size - 1}, the rows of the model's embedding, found {ids[at]}"
                            f"{f' ({name})' if name else ''} at position {at}", 4 if name == PICTURE else 3)
        result.append((text, form, cut, ids, pieces_of(tokenizer, ids) if tokenizer else [b""] * len(ids)))
    return result


def record(options):
    folder = Path(options.checkpoint)
    prompts = prompts_of(options.prompts)
    if not (folder / "config.json").is_file():
        raise PackError(f"{folder} is no checkpoint's folder (no config.json): name one")
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".gguf", ".partial")]
    check_output(options, options.output, [options.prompts, *files])
    try:
        import torch
        import transformers
        from float64 import exact, load, stages
        from logits import pooled
    except ImportError as error:
        raise PackError(f'`record` needs {error.name}, which is not installed: run it with "$(tools/python.sh golden)"', 4)

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    dtype = getattr(torch, options.dtype)
    with blaming(f"{folder}: transformers does not load the checkpoint"):
        config = transformers.AutoConfig.from_pretrained(folder)
        cls = config.architectures[0]
        tokenizer = None
        # Without a vocabulary transformers makes up a tokenizer that knows next to nothing.
        if any((folder / name).is_file() for name in VOCABULARIES):
            with contextlib.suppress(OSError, ValueError):
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    decoder = cls.endswith(("CausalLM", "ConditionalGeneration"))
    text_config = config.get_text_config()
    prompts = tokens_of(prompts, tokenizer, options.tokens, text_config)
    with blaming(f"{folder}: transformers does not load the checkpoint"):
        model = load(cls, folder, dtype)
    size = text_config.vocab_size
    kept = min(size, size if options.full else options.top)
    digest, types = model_digest(folder)
    with whole(Writer(options.output)) as writer:
        content = b"".join(
            np.asarray(ids, "<i4").tobytes() + np.asarray([len(p) for p in pieces], "<u4").tobytes() + b"".join(pieces)
            for *_, ids, pieces in prompts)
        index = {
            "schemaVersion": 3, "producer": f"transformers {transformers.__version__}", "arithmetic": options.dtype,
            "instructionSet": None,
            "model": {"name": folder.name, "architecture": architecture(cls, config.model_type),
                      "types": types, "digest": digest},
            "vocabulary": {"size": size if decoder else None, "digest": None}, "tokenizer": None,
            "top": None if options.full or not decoder else options.top, "stageSketch": None,
            "tailSketch": {"buckets": 256, "seed": 2} if decoder and kept < size else None,
            "prompts": [{"text": text, "form": form, "cut": cut, "tokenCount": len(ids)}
                        for text, form, cut, ids, _ in prompts],
            "tokens": writer.frame(content), "logits": [], "tails": [], "vectors": [], "stages": []}
        sketches, projections, signed, before = [], 16, None, 0
        for n, (*_, ids, _) in enumerate(prompts):
            batch = torch.tensor([ids])
            with (exact() if dtype == torch.float64 else torch.no_grad()), stages(model) as found:
                result = model(batch)
            if options.layers:
                states = [s.numpy().astype(np.float64) for s in found]
                if signed is None:
                    signed = signs(states[0].shape[1], projections, 1)
                    index["stageSketch"] = {"layers": text_config.num_hidden_layers, "width": states[0].shape[1],
                                            "projections": projections, "seed": 1}
                    sketches = [[] for _ in states]
                for s, state in enumerate(states):
                    state = state.astype(np.float32).astype(np.float64)
                    sketches[s].append(np.concatenate([(state ** 2).sum(1, keepdims=True), state @ signed.T], 1))
            if decoder:
                logits = result.logits[0, :, :size].numpy().astype(np.float32)
                step = max(1, min(32, (LIMIT // 4) // (44 + 8 * kept)))
                for first in range(0, len(ids), step):
                    rows = logits[first:first + step]
                    index["logits"].append(writer.frame(
                        logit_frame(rows, ids, first, kept), prompt=n, first=first, rows=len(rows)))
                    if index["tailSketch"]:
                        index["tails"].append(writer.frame(
                            tail_frame(rows, kept_ids(rows, kept), before + first, index["tailSketch"]),
                            prompt=n, first=first, rows=len(rows)))
                before += len(ids)
                continue
            hidden = found[-1].numpy()
            vectors = {"hidden": hidden}
            with blaming(f"{folder}: its pooling is not supported", 4):
                row = pooled(folder, hidden.astype(np.float64))
            if row is not None:
                vectors["pooled"] = row[None]
            pooler = getattr(getattr(model, "bert", model), "pooler", None)
            if pooler is not None:
                with torch.no_grad():
                    vectors["pooler"] = pooler(torch.from_numpy(hidden)[None]).numpy()
            head = getattr(result, "prediction_logits", getattr(result, "logits", None))
            if head is not None:
                vectors["scores"] = (head[0] if head.dim() == 3 else head).numpy()
            for kind in KINDS:
                if kind in vectors:
                    rows = np.asarray(vectors[kind], "<f4")
                    step = max(1, (LIMIT // 4) // (4 * rows.shape[1]))
                    for first in range(0, len(rows), step):
                        part = rows[first:first + step]
                        index["vectors"].append(writer.frame(
                            planes(part), kind=kind, prompt=n, first=first, rows=len(part), columns=part.shape[1]))
        for s, parts in enumerate(sketches):
            index["stages"].append(writer.frame(planes(np.concatenate(parts).astype("<f4")), stage=s))
        writer.index = index
    positions = sum(len(ids) for *_, ids, _ in prompts)
    tell(options.output, f"{counted(len(prompts), 'prompt')}, {counted(positions, 'position')}")


def number_within(least, most):
    """A type of an option: a whole number in digits."""
    def read(text):
        if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, found {text!r}")
        return int(text)
    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("show")
    command.add_argument("pack")
    command.set_defaults(run=show)
    command = commands.add_parser("export")
    command.add_argument("pack")
    command.add_argument("out")
    command.add_argument("--force", action="store_true", help="replace an existing OUT.npz")
    command.set_defaults(run=export)
    command = commands.add_parser("record")
    command.add_argument("checkpoint")
    command.add_argument("--prompts", required=True)
    command.add_argument("-o", "--output", required=True)
    command.add_argument("--tokens", type=number_within(*TOKENS), help="cut each prompt to its first N tokens")
    command.add_argument("--layers", action="store_true")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--top", type=number_within(*TOP), default=4096, help=f"logits of each position, {TOP[0]} at least")
    which.add_argument("--full", action="store_true", help="keep all logits")
    command.add_argument("--force", action="store_true", help="replace an existing REF.pack")
    command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    command.set_defaults(run=record)
    options = parser.parse_args()
    try:
        options.run(options)
        sys.stdout.flush()
    except PackError as error:
        print(f"parity_pack.py: {error}", file=sys.stderr)
        raise SystemExit(error.status)
    except BrokenPipeError:
        # Nobody reads any more; nothing is left for the interpreter to flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141)
    except OSError as error:
        # Inputs are checked when they are opened; what is left is the output, or a disk that fails.
        name = f"{error.filename}: " if error.filename else ""
        print(f"parity_pack.py: {name}{error.strerror or error}: check the name, its permissions and the disk",
              file=sys.stderr)
        raise SystemExit(5)


if __name__ == "__main__":
    main()
