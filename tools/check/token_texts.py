#!/usr/bin/env python3
"""Seeded texts for tokenizers: eight languages, clinical notes, emoji, control characters, very long words, tokens in text.

A text is a str without lone surrogates. The same seed and count give the same texts.
"""
import pydoc_data.topics
import random
import sys

WORDS = {
    "en": """the patient was seen in clinic today with a three day history of worsening shortness of breath and
        cough I'm we'll they've don't it's she'd you're HE'S WE'LL can't o'clock rock'n'roll 's 'Tis unbelievable
        tokenization internationalization state-of-the-art e.g. i.e. Dr. Smith's co-operate naïve café résumé""",
    "ru": """пациент поступил с жалобами на боль в груди и одышку при нагрузке температура тела тридцать восемь
        градусов Ёлка ёж объём подъезд Москва СССР съёмка что-то по-русски""",
    "kk": """науқас кеуде тұсындағы ауырсынуға және ентігуге шағымданды Қазақстан әрбір өмір ұлттық ғылым үшін
        құжат іс-шара ІҢІР һәм""",
    "de": """der Patient klagt über Rückenschmerzen und Übelkeit Straße Größe Fußgängerübergang STRASSE ẞ
        Donaudampfschifffahrtsgesellschaft Kreislaufstillstand""",
    "pt": """o paciente não apresenta alergias conhecidas pressão arterial coração ação até você está ÇÃO
        lingüiça às""",
    "hi": """रोगी को तीन दिन से बुखार और खांसी है क्षेत्र ज्ञान हिन्दी श्रीमान् १२३ डॉक्टर की सलाह""",
    "zh": """患者 主诉 胸痛 三天 你好 世界 中华人民共和国 ，。！？ 「引号」 體溫 ㍿ 豈 㐀 𠀀 ０１２ Ａｂｃ""",
    "ja": """患者は三日前から咳と発熱があり ガギグ ガギグ ﾊﾝｶｸ ー々〆 です。""",
    "ko": """환자는 사흘 전부터 기침과 열이 있었다 한국어 각 ᄒᆞᆫ글 안녕하세요""",
    "ar": """المريض يعاني من ألم في الصدر السُّكَّر ١٢٣ ، ؟ ﷺ لا""",
    "vi": """bệnh nhân đau ngực tiếng Việt Nguyễn ướt Ế ộ""",
    "th": """ผู้ป่วยมีไข้และไอสามวัน น้ำ""",
}
CLINICAL = """BP 120/80 mmHg;HR 72/min;SpO2 98 %;T 38.5 °C;E11.9;I10;J45.909;S72.001A;Z79.4;ICD-10: C50.911;
    Na+ 140 mmol/L;K⁺ 4.2 mEq/L;Hb 13,5 g/dl;5 mg p.o. b.i.d.;10 µg/kg/min;½ tablet q8h;HbA1c ↑ 8.1%;CRP <5 mg/l;
    ≥3×10⁹/L;EF 55±5 %;RR 12–16;pH 7.35-7.45;PaO₂/FiO₂ > 300;q.d./q.h.s.;1,000 IU;0.9% NaCl @ 125 mL/hr;
    A1c=6.5;∆MAP −12;NYHA III–IV;CHA₂DS₂-VASc 4;37½°;30 mL × 2;(++);?PE;s/p CABG x3;[unclear];{dose};12345678;
    2024-11-26T18:04:41Z;+49 (0)30 1234-567;a@b.example;https://example.org/x?y=1&z=%20#f;C:\\Users\\x;__init__;a_b_c;
    ==>;!!!???...;---;***bold***;$1,234.56;€5;№ 7;§ 12;#hash;@home;~;^;`code`;|;<tag>;</tag>;&amp;""".split(";")
EMOJI = ["😀", "🤷🏽‍♀️", "👨‍👩‍👧‍👦", "🇰🇿", "❤️", "☺", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏿", "🫨", "🩺", "1️⃣", "™", "©️"]
SPACES = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085",
          "\x0b", "\x0c", "\u1680", "\u200b", "\ufeff", "\u180e", " " * 9, "\n" * 5, "\t\t\t"]
ODD = ["\x00", "\x01", "\x1f", "\x7f", "\x80", "\x9f", "\u00ad", "\u200d", "\u200e", "\u202e", "\u2060", "\ufffd", "\ufffe",
       "\uffff", "\U0010ffff", "\ue000", "\u0301", "e\u0301", "a\u0328\u0301", "\u1e9b\u0323", "İ", "ı", "ſ", "'ſ", "ß", "Σ", "ς",
       "ﬁ", "ǆ", "Å", "\u212b", "\u0344", "\u0958", "▁", "▁▁", "▁a", "a▁", "Ġ", "Ċ", "ĠĠ", "##", "##ing", "<0x0A>", "<0xE2>",
       "\u2581\u2581\u2581", "\U00011938", "\ua7ce", "\U00010d4a", "\u166d", "\U000111c9", "\u2e43", "\u0b55", "ͅ"]
BLOCKS = [(0x20, 0x7e), (0xa0, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0x1e00, 0x1fff),
          (0x2000, 0x206f), (0x20a0, 0x2bff), (0x3040, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfaff),
          (0xfb00, 0xffef), (0x10000, 0x10fff), (0x1f300, 0x1faff), (0x20000, 0x2a6df), (0, 0x1f), (0, 0x10ffff)]
CONTROL = ["<bos>", "<eos>", "<pad>", "<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "[CLS]", "[SEP]", "[MASK]", "[UNK]",
           "[PAD]", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
           "<unused7>", "<image_soft_token>", "<think>", "<tool>", "<table>", "[multimodal]", "<h1>", "</div>", "[unused5]"]


def scalar(rng):
    low, high = rng.choice(BLOCKS)
    while True:
        code = rng.randint(low, high)
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code)


def natural():
    """Lines of Python's own texts: its licence and its manual's topics."""
    lines = []
    for name in sorted(pydoc_data.topics.topics):
        lines += pydoc_data.topics.topics[name].split("\n")
    lines += str(getattr(sys.modules["builtins"], "license", "")).split("\n")
    return [line for line in lines if line.strip()]


class Texts:
    def __init__(self, seed, extra_control=()):
        self.rng = random.Random(seed)
        self.words = {k: v.split() for k, v in WORDS.items()}
        self.languages = sorted(self.words)
        self.natural = natural()
        self.control = CONTROL + list(extra_control)

    def sentence(self):
        rng = self.rng
        language = rng.choice(self.languages)
        words = [rng.choice(self.words[language]) for _ in range(rng.randint(1, 14))]
        if rng.random() < 0.3:
            words[0] = words[0].capitalize()
        if rng.random() < 0.1:
            words = [w.upper() for w in words]
        text = ("" if language in ("zh", "ja", "th") and rng.random() < 0.7 else " ").join(words)
        return text + rng.choice(["", ".", "!", "?", "...", "。", " ", ":", ";"])

    def piece(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return self.sentence()
        if kind < 0.50:
            return " ".join(rng.choice(CLINICAL).strip() for _ in range(rng.randint(1, 5)))
        if kind < 0.60:
            return rng.choice(self.natural)
        if kind < 0.66:
            return "".join(rng.choice(EMOJI) for _ in range(rng.randint(1, 6)))
        if kind < 0.76:
            return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 4)))
        if kind < 0.84:
            return "".join(rng.choice(ODD) for _ in range(rng.randint(1, 4)))
        if kind < 0.91:
            return "".join(scalar(rng) for _ in range(rng.randint(1, 20)))
        if kind < 0.95:
            return rng.choice(self.control)
        if kind < 0.97:
            return str(rng.randint(0, 10 ** rng.randint(1, 30)))
        word = rng.choice(self.words[rng.choice(self.languages)])
        return (word * (150 // len(word) + 1))[:rng.choice([99, 100, 101, 102, 150])]

    def text(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.002:
            return rng.choice(["a", "ab", " ", "\n", "\t", "é", "▁", "=", "あ", "🤷"]) * rng.randint(100, 3000)
        if kind < 0.004:
            return "".join(rng.choice("abcdefghij") for _ in range(rng.randint(200, 5000)))
        if kind < 0.006:
            return "".join(rng.choice(["the", "THE", "é", "x"]) for _ in range(rng.randint(10, 600)))
        parts = [self.piece() for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 6]))]
        return rng.choice(["", " ", " "]).join(parts)

    def list(self, count):
        fixed = ["", " ", "  ", "\n", "a", " a", "a ", "▁", "\x00", "'s", "it's", "IT'S", "'ſ"]
        return (fixed + [self.text() for _ in range(max(0, count - len(fixed)))])[:count]
