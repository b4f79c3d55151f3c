#!/usr/bin/env python3
"""Makes golden/tokens: small tokenizers of each kind, and what llama.cpp's own converter writes for them.

Each folder holds the tokenizer files of a checkpoint and expected.json:
  kind, rows, vocabSize   what the vocabulary is asked for with
  metadata                every tokenizer.* key of the converter's GGUF: [GGUF type, value]
The converter recognises pre-tokenizers by a hash that depends on the vocabulary, so its answer is given to it here
(PRE below); everything else is its own doing.

Run: LLAMA_CPP=path/to/llama.cpp tools/golden/vocabularies.py
Needs: sentencepiece, tokenizers 0.22.2, transformers 5.14.1, torch, numpy; llama.cpp as vendored in
llama_cpp_python 0.3.36. The training text is fixed, so the files come out the same.
"""
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEER = Path(os.environ["LLAMA_CPP"])
sys.path.insert(0, str(PEER / "gguf-py"))
sys.path.insert(0, str(PEER))

TEXT = [
    "The quick brown fox jumps over the lazy dog, 1234 times; it's fine.",
    "A patient with fever and cough was given 500 mg of amoxicillin twice a day.",
    "Größe, naïve café, Ελληνικά, русский текст, 日本語の文章, 한국어.",
    "def main():\n    return [x for x in range(10) if x % 2 == 0]\n\n",
    "She said: \"we've been there before, haven't we?\" They'll see. MRI and CT scans.",
] * 8


def export(path):
    from gguf import GGUFReader
    names = {8: "string", 4: "uint32", 7: "bool", 5: "int32", 6: "float32", 0: "uint8"}
    result = {}
    for key, field in GGUFReader(path).fields.items():
        if not key.startswith("tokenizer."):
            continue
        kinds = [int(t) for t in field.types]
        name = "[%s]" % names[kinds[1]] if kinds[0] == 9 else names[kinds[0]]
        result[key] = [name, field.contents()]
    return result


def convert(folder, pre):
    """The tokenizer.* keys that llama.cpp's converter writes for the folder."""
    import convert_hf_to_gguf
    from conversion.base import TextModel
    original = TextModel.get_vocab_base_pre
    if pre:
        TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    with tempfile.TemporaryDirectory() as temporary:
        out = os.path.join(temporary, "out.gguf")
        sys.argv = ["convert", str(folder), "--outfile", out, "--vocab-only"]
        try:
            convert_hf_to_gguf.main()
        finally:
            TextModel.get_vocab_base_pre = original
        return export(out)


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


CONFIGS = {
    "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
              "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
              "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
              "rope_theta": 10000.0},
    "qwen": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64,
             "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
             "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
             "rope_theta": 10000.0},
    "gemma": {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 64,
              "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
              "num_key_value_heads": 1, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
              "head_dim": 32, "sliding_window": 64, "rope_theta": 1000000.0,
              "rope_local_base_freq": 10000.0},
    "bert": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 64,
             "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
             "max_position_embeddings": 128, "type_vocab_size": 2, "layer_norm_eps": 1e-12},
}


def finish(name, kind, rows, folder, pre=None, config=None):
    dump(folder / "config.json", {**CONFIGS[kind], "vocab_size": rows, **(config or {})})
    metadata = convert(folder, pre)
    dump(folder / "expected.json", {"kind": kind, "rows": rows, "vocabSize": rows, "metadata": metadata})
    target = ROOT / "golden" / "tokens" / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    print("wrote", target)


def train_sentencepiece(folder, model_type="bpe", size=420, prefix=True, symbols=()):
    import sentencepiece
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(line.replace("\n", " ") for line in TEXT), encoding="utf-8")
    # The model keeps the paths it was trained with: relative ones say nothing of the machine.
    here = os.getcwd()
    os.chdir(folder)
    sentencepiece.SentencePieceTrainer.train(
        input=corpus.name, model_prefix="tokenizer", vocab_size=size,
        model_type=model_type, byte_fallback=True, add_dummy_prefix=prefix,
        remove_extra_whitespaces=False, normalization_rule_name="identity", num_threads=1,
        split_digits=True, user_defined_symbols=list(symbols), pad_id=3, pad_piece="<pad>",
        hard_vocab_limit=model_type == "bpe")
    os.chdir(here)
    corpus.unlink()
    (folder / "tokenizer.vocab").unlink()


def added(text, special):
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": special}


def sentencepiece_json(folder, tokens, prefix):
    """The tokenizers library's form of the folder's tokenizer.model: a merge for every split of every piece."""
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    vocab = {model.id_to_piece(i): i for i in range(model.vocab_size())}
    merges = []
    for piece, i in vocab.items():
        local = []
        for k in range(1, len(piece)):
            left, right = piece[:k], piece[k:]
            if left in vocab and right in vocab:
                local.append((left, right, model.get_score(i)))
        merges += sorted(local, key=lambda m: (vocab[m[0]], vocab[m[1]]))
    merges = [[l, r] for l, r, _ in sorted(merges, key=lambda m: -m[2])]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    normalizer = replace if not prefix else {
        "type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    sequence = [{"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB")]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, **token} for i, token in tokens], "normalizer": normalizer,
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, sequence[0]],
            "pair": [bos, sequence[0], bos, sequence[1]],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]
            + ([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else [])},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges}}


def llama_sentencepiece(work):
    folder = work / "llama-spm"
    folder.mkdir()
    train_sentencepiece(folder)
    dump(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "pad_token": None, "tokenizer_class": "LlamaTokenizer",
        "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"})
    finish("llama-spm", "llama", 424, folder, config={"bos_token_id": 1, "eos_token_id": 2})


def gemma_sentencepiece(work):
    folder = work / "gemma-spm"
    folder.mkdir()
    symbols = ["<mask>", "[multimodal]", "<unused0>", "<start_of_turn>", "<end_of_turn>",
               "\u2581\u2581", "\u2581\u2581\u2581", "<b>"]
    train_sentencepiece(folder, prefix=False, symbols=symbols)
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    special = {"<unk>", "<s>", "</s>", "<pad>", "<mask>", "<start_of_turn>", "<end_of_turn>"}
    tokens = [(model.piece_to_id(t), added(t, t in special))
              for t in ["<unk>", "<s>", "</s>", "<pad>"] + symbols]
    tokens.append((420, added("<image_soft_token>", True)))
    dump(folder / "tokenizer.json", sentencepiece_json(folder, tokens, prefix=False))
    dump(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "pad_token": "<pad>", "tokenizer_class": "GemmaTokenizer",
        "added_tokens_decoder": {str(i): token for i, token in tokens}})
    dump(folder / "added_tokens.json", {"<image_soft_token>": 420})
    dump(folder / "generation_config.json", {"eos_token_id": [2, tokens[8][0]]})
    finish("gemma-spm", "gemma", 420, folder,
           config={"bos_token_id": 1, "eos_token_id": [2, tokens[8][0]], "pad_token_id": 3})


def llama_json(work):
    folder = work / "llama-json"
    folder.mkdir()
    train_sentencepiece(folder)
    tokens = [(i, added(t, True)) for i, t in enumerate(["<unk>", "<s>", "</s>", "<pad>"])]
    dump(folder / "tokenizer.json", sentencepiece_json(folder, tokens, prefix=True))
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    scores = [model.get_score(i) for i in range(model.vocab_size())]
    (folder / "tokenizer.model").unlink()
    dump(folder / "tokenizer_config.json", {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
        "tokenizer_class": "PreTrainedTokenizerFast"})
    # Of one llama.cpp run only: the order of merging, which its converter drops, stands beside.
    dump(folder / "scores.json", scores)
    finish("llama-json", "llama", 420, folder, config={"bos_token_id": 1, "eos_token_id": 2})


def byte_level(work, name, kind, pattern, pre, ignore_merges, template, specials, extra, rows,
               normalizer=None, string_merges=False, chat=None, named=None):
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from tokenizers import decoders, trainers, AddedToken
    folder = work / name
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if normalizer:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in extra])
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{template} $A", pair=f"{template} $A {template} $B",
            special_tokens=[(template, tokenizer.token_to_id(template))])
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    data = json.loads(tokenizer.to_str())
    if string_merges:
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    dump(folder / "tokenizer.json", data)
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", **(named or {})}
    if chat:
        tokenizer_config["chat_template"] = chat
    dump(folder / "tokenizer_config.json", tokenizer_config)
    finish(name, kind, rows, folder, pre=pre,
           config={"bos_token_id": tokenizer.token_to_id(specials[0]),
                   "eos_token_id": tokenizer.token_to_id(specials[-1])})


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def word_piece(work, name, lowercase, files, rows):
    from tokenizers import BertWordPieceTokenizer
    folder = work / name
    folder.mkdir()
    tokenizer = BertWordPieceTokenizer(lowercase=lowercase)
    tokenizer.train_from_iterator(TEXT, vocab_size=300, min_frequency=1, show_progress=False)
    vocab = tokenizer.get_vocab()
    if "vocab.txt" in files:
        lines = [t for t, _ in sorted(vocab.items(), key=lambda item: item[1])]
        (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "tokenizer.json" in files:
        from tokenizers import processors
        tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
        tokenizer.save(str(folder / "tokenizer.json"))
        dump(folder / "tokenizer.json", json.loads((folder / "tokenizer.json").read_text()))
    dump(folder / "tokenizer_config.json", {
        "do_lower_case": lowercase, "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]",
        "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"})
    finish(name, "bert", rows, folder, pre="jina-v2-en", config={"pad_token_id": 0})


def main():
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        llama_sentencepiece(work)
        gemma_sentencepiece(work)
        llama_json(work)
        byte_level(work, "llama-bpe", "llama", LLAMA3, "llama-bpe", True, "<|begin_of_text|>",
                   ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], ["<tool>"], 410,
                   named={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"})
        byte_level(work, "qwen-bpe", "qwen", QWEN2, "qwen2", False, None,
                   ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "\u2581x y"], 412,
                   normalizer=True,
                   named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                          "bos_token": None, "add_bos_token": False},
                   chat=[{"name": "default", "template": "{{ messages }}"},
                         {"name": "tool use", "template": "{{ tools }}"}])
        byte_level(work, "gpt2-bpe", "llama", None, "gpt-2", False, None, ["<|endoftext|>"], [], 401,
                   string_merges=True,
                   named={"bos_token": {"__type": "AddedToken", **added("<|endoftext|>", True)},
                          "eos_token": "<|endoftext|>",
                          "unk_token": "<|endoftext|>"})
        word_piece(work, "bert-uncased", True, ["tokenizer.json", "vocab.txt"], 300)
        word_piece(work, "bert-cased", False, ["tokenizer.json"], 304)
        word_piece(work, "bert-vocab-txt", False, ["vocab.txt"], 300)


if __name__ == "__main__":
    main()
