#!/usr/bin/env python3
"""The main job, ours and llama.cpp's side by side in one run: wall time, peak memory and their ratio.

    tools/bench/main_job.py --tincture .build/release/tincture --checkpoint DIR
        [--peer-bin DIR --peer-source DIR] [--large DIR] [--rounds 5] [--threads 2] [--work DIR]

Each case runs both programs in turns, ROUNDS times, and takes the median of each: the machine's noise meets both. The
peer's programs come from tools/bench/peer.sh (run by itself when they are not named); its converter needs the packages
of `tools/python.sh golden`. --large adds the checkpoint of tools/models/synthetic.py: peak memory and throughput.
Prints a table; exit status 1 when a run fails or a target is missed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time


def run(command):
    """(seconds, peak bytes) of one process. What earlier runs left to be written is written first: ours waits until its
    file is on the disk, the peer's does not, and would have ours wait for its bytes too."""
    os.sync()
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        elapsed = time.monotonic() - start
        if status != 0:
            log.seek(0)
            sys.exit(f"failed ({status}): {' '.join(command)}\n{log.read().decode(errors='replace')[-2000:]}")
    return elapsed, usage.ru_maxrss * 1024


def paired(ours, theirs, rounds, outputs):
    seconds, peaks = ([], []), ([], [])
    for turn in range(rounds):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        for which in order:
            command = (ours, theirs)[which]
            if command is None:
                continue
            if os.path.exists(outputs[which]):
                os.remove(outputs[which])
            elapsed, peak = run(command)
            seconds[which].append(elapsed)
            peaks[which].append(peak)
    take = lambda values: statistics.median(values) if values else None
    return take(seconds[0]), take(seconds[1]), max(peaks[0]), max(peaks[1], default=None)


def folder_bytes(path):
    return sum(os.path.getsize(os.path.join(path, n)) for n in os.listdir(path) if n.endswith(".safetensors"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--peer-bin")
    parser.add_argument("--peer-source")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--large")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work")
    parser.add_argument("--recipes", default="q8_0,q4_0,q4_k_m")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    if not options.peer_bin or not options.peer_source:
        lines = subprocess.run([os.path.join(here, "peer.sh")], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        options.peer_bin, options.peer_source = lines[-2:]
    work = options.work or tempfile.mkdtemp(prefix="tincture-bench-")
    out, peer_out = os.path.join(work, "ours.gguf"), os.path.join(work, "peer.gguf")
    bf16 = os.path.join(work, "bf16.gguf")
    threads = str(options.threads)
    tincture = [options.tincture]
    common = ["--threads", threads, "--quiet", "--force"]
    missed = []

    print(f"{'case':44} {'ours s':>8} {'peer s':>8} {'ratio':>6} {'ours MB':>8} {'peer MB':>8}  target")

    def report(name, result, target, limit_ratio=None, limit_bytes=None):
        ours, theirs, peak, peer_peak = result
        ratio = ours / theirs if theirs else None
        bad = (limit_ratio is not None and ratio > limit_ratio) or (limit_bytes is not None and peak > limit_bytes)
        if bad:
            missed.append(name)
        print(f"{name:44} {ours:8.3f} {theirs or float('nan'):8.3f} {ratio or float('nan'):6.3f} {peak / 1e6:8.0f}"
              f" {(peer_peak or float('nan')) / 1e6:8.0f}  {target}{'  MISSED' if bad else ''}", flush=True)

    convert_peer = [options.peer_python, os.path.join(options.peer_source, "convert_hf_to_gguf.py"), options.checkpoint,
                    "--outtype", "bf16", "--outfile", peer_out]
    result = paired(tincture + ["convert", options.checkpoint, "-o", out, "--type", "bf16"] + common, convert_peer,
                    max(1, options.rounds // 2), [out, peer_out])
    report("convert bf16", result, "<= 1/10, <= 400 MB", 0.1, 400e6)
    os.replace(peer_out, bf16)
    quantize = os.path.join(options.peer_bin, "llama-quantize")
    for recipe in options.recipes.split(","):
        result = paired(tincture + ["quantize", bf16, "-o", out, "--recipe", recipe] + common,
                        [quantize, bf16, peer_out, recipe, threads], options.rounds, [out, peer_out])
        report(f"quantize {recipe} from BF16 GGUF", result, "<= 1/2", 0.5)
    result = paired(tincture + ["quantize", options.checkpoint, "-o", out, "--recipe", "q4_k_m"] + common,
                    [quantize, bf16, peer_out, "q4_k_m", threads], options.rounds, [out, peer_out])
    report("quantize q4_k_m from safetensors", result, "<= llama-quantize alone", 1.0)
    if options.large:
        # In turns, the same command on both: one definition of throughput, the same noise. The first, uncounted round
        # brings the files into the page cache where they fit.
        small, large = ([*tincture, "quantize", folder, "-o", path, "--recipe", "q4_k_m", *common]
                        for folder, path in ((options.checkpoint, out), (options.large, peer_out)))
        run(small)
        run(large)
        result = paired(large, small, min(3, options.rounds), [peer_out, out])
        rate, small_rate = folder_bytes(options.large) / result[0], folder_bytes(options.checkpoint) / result[1]
        report("quantize q4_k_m, large (ours) and small", result, "<= 1 GiB", None, 1 << 30)
        print(f"throughput: small {small_rate / 1e6:.0f} MB/s, large {rate / 1e6:.0f} MB/s of safetensors,"
              f" ratio {rate / small_rate:.2f} (target >= 1)")
        if rate < small_rate:
            missed.append("throughput of the large checkpoint")
    for name in (out, peer_out, bf16):
        if os.path.exists(name):
            os.remove(name)
    if missed:
        sys.exit("targets missed: " + ", ".join(missed))


main()
