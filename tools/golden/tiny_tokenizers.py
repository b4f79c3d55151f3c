"""Tiny tokenizers in the real formats, trained on the text below (ours, written for this purpose).

Each function writes the files a checkpoint of that family has into a folder and returns the number of tokens.
"""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

sys.path.append(str(Path(__file__).resolve().parent.parent / "models"))
from common import (SPACE, gemma_tokenizer_files, gemma_tokenizer_json,  # noqa: E402
                    merges_of, write_json)

TEXT = """The patient was admitted with chest pain and shortness of breath. The pain started two hours ago.
She takes aspirin 100 mg and metoprolol 25 mg twice a day; there is no known allergy.
The electrocardiogram shows a normal rhythm at 72 beats per minute. Blood pressure is 135/85 mmHg.
A chest radiograph was taken: the heart is not enlarged, the lungs are clear, there is no effusion.
We discussed the findings with the patient and her daughter. They agreed to stay for observation.
On the second day the pain was gone. Troponin stayed below 0.04 in three samples taken at 3, 6 and 12 hours.
He said he'd had the same feeling last year, but it wasn't as strong. I'm not sure it's the heart, they'll see.
Weights are stored in rows, and each row is cut into blocks; a block has a scale and sometimes a minimum.
The quick brown fox jumps over the lazy dog while the other dogs sleep under the old bridge near the river.
When a file ends before its header says so, the reader stops and names the place where it happened.
Numbers: 0 1 2 3 4 5 6 7 8 9 10 11 12 100 256 1024 4096 65536 3.14159 2.71828 1e-6.
def add(left, right):
\treturn left + right  # the sum of both
if (a == b && c != d) { print("equal"); } else { print('different'); }
Der Patient klagt über Schmerzen in der Brust; die Größe der Dosis wird täglich überprüft.
Le médecin a examiné le malade à l'hôpital; la fièvre était élevée, mais le cœur battait régulièrement.
El paciente niega náuseas; mañana se hará otra radiografía del tórax.
Пациент жалуется на боль в груди и одышку. Давление в норме, ёлка стоит в углу.
患者は胸の痛みを訴えています。 病人感到胸痛，没有发烧。
The café's naïve coöperation résumé: ½ tablet, 37.5 °C, ±2 µg, 5–10 %, “quoted” … done.
"""
LINES = TEXT.splitlines()


def sentencepiece_bpe(size, **settings):
    """A trained SentencePiece BPE model with byte fallback, as bytes."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 2), model_writer=out, vocab_size=size, model_type="bpe",
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", num_threads=1,
        character_coverage=0.995, minloglevel=2, **settings)
    return out.getvalue()


def pieces_of(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(processor.vocab_size())], processor


def gemma(folder, size=480, chat_template=None, image=False, only_json=False):
    """Gemma's tokenizer: SentencePiece with user-defined pieces, and its BPE form."""
    symbols = ["<mask>", "[multimodal]"] + [f"<unused{i}>" for i in range(3)] + [
        "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\n\n\n"] + [SPACE * n for n in range(2, 6)] + [
        "<b>", "</b>"] + (["<start_of_image>", "<end_of_image>"] if image else [])
    model = sentencepiece_bpe(size, pad_id=0, eos_id=1, bos_id=2, unk_id=3, eos_piece="<eos>", bos_piece="<bos>",
                              user_defined_symbols=symbols, add_dummy_prefix=False, remove_extra_whitespaces=False)
    pieces, _ = pieces_of(model)
    vocabulary = {text: i for i, text in enumerate(pieces)}
    special = {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>",
               "<start_of_image>", "<end_of_image>"}
    added = [(i, text, text in special) for i, text in enumerate(pieces) if text in special or text in symbols]
    if image:
        added.append((len(pieces), "<image_soft_token>", True))
        write_json(folder / "added_tokens.json", {"<image_soft_token>": len(pieces)})
    if not only_json:
        (folder / "tokenizer.model").write_bytes(model)
    write_json(folder / "tokenizer.json", gemma_tokenizer_json(vocabulary, added), indent=1)
    gemma_tokenizer_files(folder, added, chat_template=chat_template, image=image)
    return len(pieces)


def llama_sentencepiece(folder, size=420):
    """Llama 1/2 and Mistral: SentencePiece with a dummy prefix, and its BPE form."""
    model = sentencepiece_bpe(size, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, add_dummy_prefix=True,
                              remove_extra_whitespaces=False)
    (folder / "tokenizer.model").write_bytes(model)
    pieces, _ = pieces_of(model)
    vocabulary = {text: i for i, text in enumerate(pieces)}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, text in enumerate(["<unk>", "<s>", "</s>"])],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocabulary,
                  "merges": [" ".join(pair) for pair in merges_of(vocabulary)]},
    }, indent=1)
    token = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False,
        "added_tokens_decoder": {str(i): {"content": text, **token, "special": True}
                                 for i, text in enumerate(["<unk>", "<s>", "</s>"])},
        "bos_token": "<s>", "clean_up_tokenization_spaces": False, "eos_token": "</s>", "legacy": False,
        "model_max_length": 1000000000000000019884624838656, "pad_token": None, "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": False})
    write_json(folder / "special_tokens_map.json", {
        f"{kind}_token": {"content": text, **token} for kind, text in
        (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"))})
    return len(pieces)


# The split patterns of Llama 3 and Qwen 2 as their tokenizer.json give them.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(pattern, size):
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(LINES * 2, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    return tokenizer


def finish(folder, tokenizer, **changes):
    """Writes tokenizer.json with changes to its model part. Returns it parsed."""
    tree = json.loads(tokenizer.to_str())
    tree["model"].update(changes)
    write_json(folder / "tokenizer.json", tree, indent=1)
    return tree


def added_decoder(tokenizer):
    return {str(i): {"content": t.content, "lstrip": t.lstrip, "normalized": t.normalized, "rstrip": t.rstrip,
                     "single_word": t.single_word, "special": t.special}
            for i, t in sorted(tokenizer.get_added_tokens_decoder().items())}


def llama3(folder, size=420):
    """Llama 3: byte-level BPE with its special tokens behind the vocabulary."""
    tokenizer = byte_level(LLAMA3, size)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|start_header_id|>",
             "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens([AddedToken(n, normalized=False, special=True) for n in names])
    bos = tokenizer.token_to_id(names[0])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=f"{names[0]} $A", pair=f"{names[0]} $A {names[0]}:1 $B:1",
                                      special_tokens=[(names[0], bos)])])
    finish(folder, tokenizer, ignore_merges=True)
    write_json(folder / "tokenizer_config.json", {
        "added_tokens_decoder": added_decoder(tokenizer), "bos_token": names[0],
        "chat_template": "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
                         "'<|end_header_id|>\\n\\n' + m['content'] + '<|eot_id|>' }}{% endfor %}",
        "clean_up_tokenization_spaces": True, "eos_token": names[5],
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(folder / "special_tokens_map.json", {
        "bos_token": {"content": names[0], "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False},
        "eos_token": {"content": names[5], "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False}})
    return tokenizer.get_vocab_size()


def qwen2(folder, size=400, thinking=False):
    """Qwen 2 and 3: byte-level BPE with NFC; vocab.json and merges.txt beside tokenizer.json."""
    tokenizer = byte_level(QWEN2, size)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([AddedToken(n, normalized=False, special=True)
                                  for n in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    if thinking:
        tokenizer.add_tokens([AddedToken(n, normalized=False, special=False) for n in ("<think>", "</think>")])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tree = finish(folder, tokenizer)
    write_json(folder / "vocab.json", tree["model"]["vocab"], indent=None)
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in tree["model"]["merges"]), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": added_decoder(tokenizer),
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
        "chat_template": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + "
                         "'<|im_end|>\\n' }}{% endfor %}",
        "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 32768, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})
    return tokenizer.get_vocab_size()


def wordpieces(tokenizer, count):
    """All single characters, then the commonest words and word endings. (The trainer of the tokenizers library
    breaks ties by chance; this gives the same pieces to everybody.)"""
    words = Counter(word for line in LINES for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
        tokenizer.normalizer.normalize_str(line)))
    letters, wholes, endings = set(), Counter(), Counter()
    for word, seen in words.items():
        letters |= {word[0]} | {"##" + c for c in word[1:]}
        if len(word) > 1:
            wholes[word] += seen
        for cut in range(1, len(word) - 1):
            endings["##" + word[cut:]] += seen
    letters = sorted(letters)
    commonest = sorted((wholes + endings).items(), key=lambda item: (-item[1], item[0]))
    return letters + [piece for piece, _ in commonest[:count - len(letters)]]


SPECIAL = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert(folder, size=400, lowercase=True, only_vocabulary=False, special=SPECIAL):
    """BERT's WordPiece: vocab.txt, and tokenizer.json unless only_vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True,
                                                      strip_accents=None, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    words = special + wordpieces(tokenizer, size - len(special))
    tokenizer.model = models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]",
                                       max_input_chars_per_word=100)
    (folder / "vocab.txt").write_text("".join(w + "\n" for w in words), encoding="utf-8")
    config = {"cls_token": "[CLS]", "do_basic_tokenize": True, "do_lower_case": lowercase, "mask_token": "[MASK]",
              "model_max_length": 64, "never_split": None, "pad_token": "[PAD]", "sep_token": "[SEP]",
              "strip_accents": None, "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer",
              "unk_token": "[UNK]"}
    if only_vocabulary:
        write_json(folder / "tokenizer_config.json", {"do_lower_case": lowercase, "model_max_length": 64})
        return len(words)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))])
    tree = json.loads(tokenizer.to_str())
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tree["added_tokens"] = [{"id": words.index(w), "content": w, "single_word": False, "lstrip": False,
                             "rstrip": False, "normalized": False, "special": True} for w in known]
    write_json(folder / "tokenizer.json", tree, indent=1)
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", {
        "cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]",
        "unk_token": "[UNK]"})
    return len(words)
