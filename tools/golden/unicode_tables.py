#!/usr/bin/env python3
"""Writes formats/unicode/canonical.json5: the canonical decompositions that tokenizers normalize with.

Source: UnicodeData.txt as Python's unicodedata carries it. The tokenizers library knows those of Unicode 9; with
--check every scalar's NFD and NFC is compared with that library's.
"""
import argparse
import sys
import unicodedata
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "formats/unicode/canonical.json5"
# Characters with a decomposition that came after Unicode 9: the library leaves them whole.
LATER = {0x11938}


def scalars():
    return (c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)


def table():
    pairs, excluded = [], []
    for c in scalars():
        text = unicodedata.decomposition(chr(c))
        if not text or text.startswith("<") or c in LATER:
            continue
        parts = [int(x, 16) for x in text.split()]
        assert len(parts) <= 2
        pairs.append((c, parts[0], parts[1] if len(parts) == 2 else 0))
        if len(parts) == 2 and unicodedata.normalize("NFC", chr(c)) != chr(c):
            excluded.append(c)
    return pairs, excluded


def lines(numbers, per_line):
    rows = [numbers[i:i + per_line] for i in range(0, len(numbers), per_line)]
    return "".join("    " + " ".join(f"{n}," for n in row) + "\n" for row in rows)


def text():
    pairs, excluded = table()
    return (
        "// Canonical decompositions of Unicode 9, made by tools/golden/unicode_tables.py from UnicodeData.txt.\n"
        "// Hangul syllables are not listed: their decomposition is arithmetic.\n"
        "{\n"
        "  // Three numbers each: a character, and the one or two (else 0) that it stands for.\n"
        "  decompositions: [\n" + lines([n for p in pairs for n in p], 18) + "  ],\n"
        "  // Characters of two parts that composition never makes.\n"
        "  excluded: [\n" + lines(excluded, 18) + "  ],\n"
        "}\n")


def check():
    from tokenizers import normalizers
    nfd, nfc = normalizers.NFD(), normalizers.NFC()
    wrong = [c for c in scalars() if c not in LATER and (
        nfd.normalize_str(chr(c)) != unicodedata.normalize("NFD", chr(c))
        or nfc.normalize_str(chr(c)) != unicodedata.normalize("NFC", chr(c)))]
    if wrong or OUT.read_text(encoding="utf-8") != text():
        sys.exit(f"differs: {[hex(c) for c in wrong[:10]]}, or the file is stale")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        check()
    else:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(text(), encoding="utf-8")
