#!/usr/bin/env python3
"""Quality per byte: how far quantized files stand from a reference, by an unmodified llama.cpp.

    tools/bench/quality.py --text FILE [--tokens 2048] [--window 256] REFERENCE.gguf FILE.gguf ...

Runs the text through every file in windows and prints, for each, its size and the mean, median and 99th percentile of the
KL divergence from the reference in nats, with the standard error of the mean, and the top-1 agreement. The first half of
each window only serves as context.
"""

import argparse
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "check"))
from measures import Stock, divergence, log_probabilities  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("reference")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    stock_ = Stock(options.reference)
    with open(options.text, encoding="utf-8") as file:
        ids = stock_.tokens(file.read())[:options.tokens]
    stock_.close()
    windows = [ids[i:i + options.window] for i in range(0, len(ids) - options.window + 1, options.window)]
    # One model at a time: the reference's rows stay, about 1 GB for 1,024 scored positions of a 262k vocabulary.
    references = list(log_probabilities(options.reference, windows, options.window // 2))
    print(f"{'file':32} {'MB':>8} {'mean KLD':>9} {'± s.e.':>8} {'median':>8} {'p99':>8} {'top-1':>6}")
    for path in options.files:
        values, same = divergence(references, path, windows, options.window // 2)
        print(f"{os.path.basename(path):32} {os.path.getsize(path) / 1e6:8.1f} {values.mean():9.5f}"
              f" {values.std() / np.sqrt(values.size):8.5f} {np.median(values):8.5f} {np.quantile(values, 0.99):8.4f}"
              f" {same.mean():6.1%}", flush=True)


main()
