#!/usr/bin/env python3
"""Real models through tincture and unmodified llama.cpp, held against transformers.

    tools/check/real_models.py --tincture PROGRAM --models DIR

Converts Gemma 3 270M and MiniLM, compares every tensor with llama.cpp's own conversion (by digest), loads the files in
stock llama.cpp and compares token ids, logits and embeddings with what transformers computed (golden/logits, made by
tools/golden/real_models.py). Each must be as near as llama.cpp's own conversion. Then quantizes with every recipe: each
file must load and predict. Exit status 1 at the first thing that is not so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from measures import nmse, stock_embeddings, stock_logits, tensor_digests  # noqa: E402

# The recorded distance of llama.cpp's conversion was measured on another processor, whose kernels round elsewhere.
ROUNDING = 1.10
# Worst distance from transformers that each recipe may have on Gemma 3 270M (whose weights came from 4 bits): three
# times what was measured, so that a broken type is seen and rounding is not.
LIMITS = {"bf16": 3e-4, "f16": 3e-4, "q8_0": 2e-3}


def check(condition, text):
    print(("ok    " if condition else "FAIL  ") + text, flush=True)
    if not condition:
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--models", required=True)
    options = parser.parse_args()
    golden = os.path.join(here, "..", "..", "golden", "logits")
    with open(os.path.join(golden, "real-models.json")) as file:
        record = json.load(file)

    def tincture(*arguments):
        done = subprocess.run([options.tincture, *arguments, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(done.returncode == 0, "tincture " + " ".join(os.path.basename(a) for a in arguments)
              + (": " + done.stderr.decode() if done.returncode else ""))

    with tempfile.TemporaryDirectory() as work:
        gguf = os.path.join(work, "out.gguf")

        expected = record["minilm"]
        tincture("convert", os.path.join(options.models, "minilm"), "-o", gguf, "--type", "f16")
        check(tensor_digests(gguf) == expected["peer_tensors"], "MiniLM: every tensor as in llama.cpp's conversion")
        rows = np.fromfile(os.path.join(golden, "minilm.f32"), "<f4").reshape(-1, expected["width"])
        tokens, found = stock_embeddings(gguf, record["sentences"], expected["ids"])
        check(tokens == expected["ids"], "MiniLM: llama.cpp's token ids are transformers'")
        distance = nmse(found, rows)
        check(distance <= expected["peer_nmse"] * ROUNDING,
              f"MiniLM: embeddings at NMSE {distance:.3e} from transformers (llama.cpp's conversion: {expected['peer_nmse']:.3e})")

        expected = record["gemma3-270m"]
        source = os.path.join(options.models, "gemma3-270m")
        columns = np.sort(np.random.default_rng(expected["columns_seed"]).choice(
            expected["vocabulary"], expected["columns"], replace=False))
        reference = np.fromfile(os.path.join(golden, "gemma3-270m.f32"), "<f4").reshape(len(expected["ids"]), -1)
        recipes = ["bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q4_k_m", "q4_k_s", "q4_0", "q4_1",
                   "iq4_nl", "iq4_xs", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"]
        for recipe in recipes:
            if recipe in ("bf16", "f16"):
                tincture("convert", source, "-o", gguf, "--force", "--type", recipe)
            else:
                tincture("quantize", source, "-o", gguf, "--force", "--recipe", recipe)
            if recipe == "bf16":
                check(tensor_digests(gguf) == expected["peer_tensors"],
                      "Gemma 3 270M: every tensor as in llama.cpp's conversion")
            tokens, logits = stock_logits(gguf, expected["ids"])
            check(tokens == expected["ids"], f"Gemma 3 270M {recipe}: llama.cpp's token ids are transformers'")
            distance = nmse(logits[:, columns], reference)
            agreement = float((logits.argmax(1) == np.array(expected["top1"])).mean())
            limit = expected["peer_nmse"] * ROUNDING if recipe == "bf16" else LIMITS.get(recipe, 0.25)
            check(distance <= limit,
                  f"Gemma 3 270M {recipe}: logits at NMSE {distance:.3e} (at most {limit:.3e}), top-1 agreement {agreement:.0%},"
                  f" {os.path.getsize(gguf) / 1e6:.0f} MB")


main()
