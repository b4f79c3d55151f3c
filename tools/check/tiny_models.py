#!/usr/bin/env python3
"""Every architecture through tincture and unmodified llama.cpp, held against transformers.

    tools/check/tiny_models.py --tincture PROGRAM

Converts each tiny random checkpoint of golden/models to F32, runs the token ids of golden/logits/tiny through the file in
stock llama.cpp and compares logits or hidden states at every position with what transformers computed. Then to every
float type, and to a quantized recipe that llama.cpp must load. Exit status 1 at the first difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from measures import nmse  # noqa: E402
from stock import Stock  # noqa: E402

# llama.cpp keeps keys and values as F16, which alone puts F32 files 1e-7 to 3e-6 from transformers; its BF16 and F16
# kernels round activations too. A wrong norm, scale or rotary base is a thousand times further away.
LIMITS = {"f32": 5e-6, "bf16": 1e-3, "f16": 1e-4}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--only")
    options = parser.parse_args()
    golden = os.path.join(here, "..", "..", "golden")
    with open(os.path.join(golden, "logits", "tiny", "index.json")) as file:
        index = json.load(file)
    # The others (golden/heads) have heads that this llama.cpp interface does not show.
    models = [name for name in index if os.path.isdir(os.path.join(golden, "models", name))]
    failures = 0
    with tempfile.TemporaryDirectory() as work:
        gguf = os.path.join(work, "out.gguf")
        for name in sorted(models):
            if options.only and options.only != name:
                continue
            entry = index[name]
            reference = np.fromfile(os.path.join(golden, "logits", "tiny", name + ".f32"), "<f4")
            reference = reference.reshape(-1, entry["width"])
            for head in ("2_Dense", "3_Dense"):  # llama.cpp runs these on every token when it does not pool
                path = os.path.join(golden, "models", name, head, "model.safetensors")
                if os.path.exists(path):
                    reference = reference @ load_file(path)["linear.weight"].astype(np.float32).T
            for kind in ("f32", "f16", "bf16", "q8_0"):
                verb = ["convert", "--type", kind] if kind in LIMITS else ["quantize", "--recipe", kind]
                done = subprocess.run(
                    [options.tincture, verb[0], os.path.join(golden, "models", name), "-o", gguf, "--force", "--quiet",
                     *verb[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                if done.returncode != 0:
                    print(f"FAIL  {name} {kind}: {done.stderr.decode()}")
                    failures += 1
                    continue
                stock = Stock(gguf, pooled=False)
                found = stock.hidden(entry["ids"]) if entry["kind"] == "hidden" else stock.logits(entry["ids"])
                stock.close()
                # llama.cpp adds rows to no vocabulary, but a head may have rows without a token.
                distance = nmse(found[:, :reference.shape[1]], reference)
                limit = LIMITS.get(kind, 5e-2)
                good = np.isfinite(found).all() and distance <= limit
                failures += not good
                print(f"{'ok   ' if good else 'FAIL '} {name} {kind}: {entry['kind']} at NMSE {distance:.2e} (at most {limit:.0e})",
                      flush=True)
    sys.exit(1 if failures else 0)


main()
