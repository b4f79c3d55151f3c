#!/usr/bin/env python3
"""Writes golden/tokens/ids: what the tokenizers and sentencepiece libraries make of seeded texts and of every character.

    tools/golden/token_ids.py golden

texts.json: the texts. NAME.json: for each text its ids, its ids with control tokens as ordinary text and the text that the
ids decode to. characters.json: ranges of scalars by what the library's parts do with them.
"""
import json
import sys
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools/check"))
from token_texts import Texts  # noqa: E402

SEED, COUNT, LONGEST = 20241126, 160, 240
FOLDERS = ["tokens/bert-uncased", "tokens/gemma-spm", "tokens/gpt2-bpe", "tokens/llama-bpe", "tokens/llama-json",
           "tokens/qwen-bpe", "models/bert-cased", "models/gemma3", "models/llama", "models/llama3", "models/qwen2"]
PIECES = ["tokens/llama-spm"]


def scalars():
    return [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def ranges(chosen):
    out = []
    for c in chosen:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return [n for pair in out for n in pair]


def characters():
    """Ranges, flattened to first and last."""
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    chinese = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    accents = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    words = pre_tokenizers.BertPreTokenizer()
    result = {"dropped": [], "space": [], "ideograph": [], "accent": [], "punctuation": []}
    for c in scalars():
        char = chr(c)
        cleaned = clean.normalize_str(f"a{char}b")
        if cleaned == "ab":
            result["dropped"].append(c)
        if cleaned == "a b":
            result["space"].append(c)
        if chinese.normalize_str(char) == f" {char} ":
            result["ideograph"].append(c)
        if accents.normalize_str(char) == "":
            result["accent"].append(c)
        if [w for w, _ in words.pre_tokenize_str(f"a{char}b")] == ["a", char, "b"]:
            result["punctuation"].append(c)
    for name, pattern in (("letter", r"\p{L}"), ("number", r"\p{N}"), ("mark", r"\p{M}"), ("white", r"\s")):
        split = pre_tokenizers.Split(Regex(pattern), "removed")
        result[name] = [c for c in scalars() if not split.pre_tokenize_str(chr(c))]
    return {name: ranges(chosen) for name, chosen in result.items()}


FLAGGED = [("<l>", dict(lstrip=True)), ("<r>", dict(rstrip=True)), ("<w>", dict(single_word=True)),
           ("Both", dict(lstrip=True, rstrip=True)), ("NORM\u00c9", dict(normalized=True)), ("plain", dict(normalized=False)),
           ("pla", dict(normalized=False)), ("<s1>", dict(special=True, rstrip=True)), (" sp", dict(normalized=False))]
FLAGGED_TEXTS = ["a <l> b", "a  \t<l>  b", "<l><l>", " <r>  \n<r> x", "<r>\u3000\u00a0y", "a<w>b <w> c", "<w>", "<w><w> <w>", "\u00e9<w>",
                 "_<w>", "1<w>", "(<w>)", "  Both  Both both", "xBothx", "norm\u00e9 NORM\u00c9 norme\u0301 NORME\u0301", "xnorm\u00e9x",
                 "plain plai pla plainpla Plain", "<s1>  <s1>a <s1>", "<l> <r> <l> <s1> <l>", "a sp  sp", "<r> sp", " <l>\u0301", ""]


def flagged(golden, source, target):
    """A tokenizer with tokens of every flag, and its ids."""
    folder = golden / target
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(golden / source / "tokenizer.json"))
    for text, flags in FLAGGED:
        flags = {"normalized": False, **flags}
        token = tokenizers.AddedToken(text, **{k: v for k, v in flags.items() if k != "special"}, special=flags.get("special", False))
        (tokenizer.add_special_tokens if flags.get("special") else tokenizer.add_tokens)([token])
    data = json.loads(tokenizer.to_str())
    write(folder / "tokenizer.json", data)
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    golden = Path(sys.argv[1])
    out = golden / "tokens/ids"
    texts = [t for t in Texts(SEED).list(COUNT * 3) if len(t) <= LONGEST][:COUNT]
    write(out / "texts.json", texts)
    for folder in FOLDERS:
        tokenizer = tokenizers.Tokenizer.from_file(str(golden / folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        ids = [e.ids for e in tokenizer.encode_batch(texts)]
        decoded = tokenizer.decode_batch(ids, skip_special_tokens=False)
        tokenizer.encode_special_tokens = True
        literal = [e.ids for e in tokenizer.encode_batch(texts)]
        write(out / (folder.replace("/", "-") + ".json"),
              {"folder": folder, "ids": ids,
               "literal": {str(i): l for i, (l, n) in enumerate(zip(literal, ids)) if l != n}, "decoded": decoded})
    for folder in PIECES:
        model = sentencepiece.SentencePieceProcessor(model_file=str(golden / folder / "tokenizer.model"))
        skipped = [i for i, t in enumerate(texts)
                   if "\x00" in t or any(c in t for c in ("<s>", "</s>", "<unk>", "<pad>"))]
        write(out / (folder.replace("/", "-") + ".json"),
              {"folder": folder, "skipped": skipped, "ids": [[model.bos_id()] + model.encode(t) for t in texts]})
    for source, target in (("tokens/bert-uncased", "tokens/flags-bert"), ("tokens/qwen-bpe", "tokens/flags-bpe")):
        tokenizer = flagged(golden, source, target)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        ids = [tokenizer.encode(t).ids for t in FLAGGED_TEXTS]
        tokenizer.encode_special_tokens = True
        write(out / (target.replace("/", "-") + ".json"),
              {"folder": target, "texts": FLAGGED_TEXTS, "ids": ids,
               "literal": [tokenizer.encode(t).ids for t in FLAGGED_TEXTS]})
    write(out / "characters.json", characters())


if __name__ == "__main__":
    main()
