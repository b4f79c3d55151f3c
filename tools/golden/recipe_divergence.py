#!/usr/bin/env python3
"""How far llama-quantize's files of Gemma 3 270M stand from BF16, recipe by recipe, by an unmodified llama.cpp.

    tools/golden/recipe_divergence.py --reference gemma3-270m-bf16.gguf --peer-bin DIR OUT.json

DIR holds llama-quantize. Writes, for every recipe, the mean KL divergence in nats over 1,024 positions of the repository's
own text (tools/check/texts.py), its standard error and the file's size: what tools/check/real_models.py holds tincture's
files against.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "check"))
from measures import divergence, log_probabilities, token_windows  # noqa: E402
from texts import long_text  # noqa: E402

RECIPES = ["q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q4_k_m", "q4_k_s", "q4_0", "q4_1", "iq4_nl", "iq4_xs",
           "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--peer-bin", required=True)
    parser.add_argument("out")
    options = parser.parse_args()
    windows = token_windows(options.reference, long_text(60), 1024)
    references = list(log_probabilities(options.reference, windows))
    recipes = {}
    with tempfile.TemporaryDirectory() as work:
        quantized = os.path.join(work, "peer.gguf")
        for recipe in RECIPES:
            subprocess.run([os.path.join(options.peer_bin, "llama-quantize"), options.reference, quantized, recipe, "2"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            values, _ = divergence(references, quantized, windows)
            recipes[recipe] = {"kl": float(values.mean()), "error": float(values.std() / np.sqrt(values.size)),
                               "bytes": os.path.getsize(quantized)}
            print(recipe, recipes[recipe], flush=True)
    record = {"positions": sum(len(rows) for rows in references), "notes": 60, "recipes": recipes}
    with open(options.out, "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


main()
