#!/usr/bin/env python3
"""The runtime and llama.cpp side by side in one run: prompt processing, generation, parity of 16 x 512 tokens, start-up,
memory of a long context.

    tools/bench/runtime.py --tincture .build/release/tincture --checkpoint DIR/gemma3-270m
        [--peer-bin DIR] [--rounds 5] [--threads 2] [--types bf16,q8_0,q4_k_m] [--parts speed,parity,start,memory]

speed    512 tokens of prompt and 128 of generation: `llama-bench` against `tincture run --json`, engine and exact
         arithmetic, on the same files (made by tincture), in turns; medians of tokens a second and their ratio.
parity   `llama-perplexity --kl-divergence-base` on BF16 and `--kl-divergence` on the others, against `tincture record` and
         `verify`: time of both passes, size of what lies between them, and the figures: mean and percentiles of the KL
         divergence over the same positions (the second half of each 512 tokens but the last, as llama-perplexity scores).
start    wall time of `tincture run` for one token after a short prompt.
memory   peak memory of `tincture run --context 8192` with a prompt of 8,000 tokens.

The text is made by tools/check/texts.py, the same on every machine. The peer's programs come from tools/bench/peer.sh.
Exit status 1 when a run fails or a target is missed.
"""

import argparse
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "check"))
import texts  # noqa: E402

CHUNKS, LENGTH = 16, 512


def run(command, accepted=(0,)):
    """(standard output, standard error, seconds, peak bytes) of one process."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        elapsed = time.monotonic() - start
        out.seek(0)
        log.seek(0)
        found = out.read().decode(errors="replace"), log.read().decode(errors="replace")
        status = os.waitstatus_to_exitcode(status)
        if status not in accepted:
            sys.exit(f"failed ({status}): {' '.join(map(str, command))}\n{found[0][-1000:]}\n{found[1][-2000:]}")
    return *found, elapsed, usage.ru_maxrss * 1024


class Bench:
    def __init__(self, options, work):
        self.options, self.work, self.missed = options, work, []
        self.files = {}
        for kind in dict.fromkeys(["bf16", *options.types]):
            self.files[kind] = os.path.join(work, kind + ".gguf")
            verb = ["convert", "--type"] if kind in ("f32", "f16", "bf16") else ["quantize", "--recipe"]
            run([options.tincture, verb[0], options.checkpoint, "-o", self.files[kind], verb[1], kind, "--quiet"])

    def peer(self, program, *arguments):
        return run([os.path.join(self.options.peer_bin, program), *arguments])

    def tincture(self, *arguments):
        out, _, seconds, peak = run([self.options.tincture, *arguments, "--threads", self.options.threads, "--json"])
        return json.loads(out), seconds, peak

    def target(self, name, good):
        if not good:
            self.missed.append(name)
        return "" if good else "  MISSED"

    def prompt(self, count):
        """A text that is `count` tokens with the one every prompt begins with."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(os.path.join(self.options.checkpoint, "tokenizer.json"))
        text = texts.long_text(1 + count // 80)
        offsets = tokenizer.encode(text).offsets
        for end in range(count, count + 8):
            part = text[:offsets[end - 1][1]]
            if len(tokenizer.encode(part).ids) == count:
                return part
        raise SystemExit(f"no text of {count} tokens")

    # speed

    def speed(self):
        prompt = self.prompt(512)
        print(f"{'tokens a second, medians of ' + str(self.options.rounds):34} {'llama.cpp':>10} {'engine':>10} {'ratio':>6}"
              f" {'exact':>10} {'ratio':>6}")
        for kind in self.options.types:
            file = self.files[kind]
            rates = {}
            for turn in range(self.options.rounds):
                order = ["peer", "engine", "exact"]
                for who in order if turn % 2 == 0 else order[::-1]:
                    for what, rate in self.rates(who, file, prompt).items():
                        rates.setdefault((who, what), []).append(rate)
            for what, name in (("prompt", "prompt of 512 tokens"), ("generation", "generation of 128 tokens")):
                peer, engine, exact = (statistics.median(rates[who, what]) for who in ("peer", "engine", "exact"))
                # Ratios of neighbours in time: the machine's noise meets both.
                near = [statistics.median(a / b for a, b in zip(rates[who, what], rates["peer", what]))
                        for who in ("engine", "exact")]
                word = self.target(f"{kind} {name}", near[0] >= 1 and near[1] >= 0.5)
                print(f"{kind + ', ' + name:34} {peer:10.1f} {engine:10.1f} {near[0]:6.2f} {exact:10.1f} {near[1]:6.2f}{word}",
                      flush=True)

    def rates(self, who, file, prompt):
        if who == "peer":
            out, _, _, _ = self.peer("llama-bench", "-m", file, "-p", 512, "-n", 128, "-t", self.options.threads, "-r", 1,
                                     "-o", "json")
            found = {("generation" if entry["n_gen"] else "prompt"): entry["avg_ts"] for entry in json.loads(out)}
            return found
        whole, _, _ = self.tincture("run", file, "-p", prompt, "-n", 1, "--temp", 0, "--arithmetic", who)
        if whole["promptTokenCount"] != 512:
            sys.exit(f"a prompt of {whole['promptTokenCount']} tokens, not 512")
        short, _, _ = self.tincture("run", file, "-p", self.options.opening, "-n", 129, "--temp", 0, "--ignore-end", "--arithmetic", who)
        if short["generatedTokenCount"] != 128:
            sys.exit(f"{short['generatedTokenCount']} tokens were timed, not 128")
        return {"prompt": 512 / whole["promptSeconds"], "generation": 128 / short["generationSeconds"]}

    # parity

    def parity(self):
        chunks = self.options.chunks
        text, base = os.path.join(self.work, "text.txt"), os.path.join(self.work, "base.dat")
        with open(text, "w") as file:
            file.write(texts.long_text(chunks * LENGTH // 90))
        common = ["-t", self.options.threads, "-c", LENGTH, "--chunks", chunks]
        kinds = [kind for kind in self.options.types if kind != "bf16"]
        print(f"{chunks} x {LENGTH} tokens, BF16 as the base")
        _, log, first, peak = self.peer("llama-perplexity", "-m", self.files["bf16"], "-f", text, *common,
                                        "--kl-divergence-base", base)
        print(f"  llama-perplexity, first pass   {first:7.1f} s, {os.path.getsize(base) / 1e6:6.0f} MB written, peak {peak / 1e6:.0f} MB",
              flush=True)
        ids = self.base_ids(base)
        theirs = {}
        for kind in kinds:
            out, log, seconds, peak = self.peer("llama-perplexity", "-m", self.files[kind], *common, "--kl-divergence",
                                                "--kl-divergence-base", base)
            theirs[kind] = figures(out + log) | {"seconds": seconds}
            print(f"  second pass, {kind:8}          {seconds:7.1f} s, peak {peak / 1e6:.0f} MB", flush=True)
        os.remove(base)
        prompts, pack = os.path.join(self.work, "prompts.jsonl"), os.path.join(self.work, "reference.pack")
        with open(prompts, "w") as file:
            file.writelines(json.dumps({"ids": row}) + "\n" for row in ids)
        for arithmetic in ("engine", "exact"):
            if os.path.exists(pack):
                os.remove(pack)
            _, record, peak = self.tincture("record", self.files["bf16"], "--prompts", prompts, "-o", pack, "--arithmetic", arithmetic)
            print(f"  tincture record, {arithmetic:6}        {record:7.1f} s, {os.path.getsize(pack) / 1e6:6.0f} MB written, peak {peak / 1e6:.0f} MB",
                  flush=True)
            for kind in kinds:
                report, verify, peak = self.verify(kind, pack, arithmetic)
                ratio = (record + verify) / (first + theirs[kind]["seconds"])
                word = self.target(f"record and verify of {kind}, {arithmetic}", arithmetic == "exact" or ratio <= 1)
                print(f"  tincture verify, {kind:8}      {verify:7.1f} s, peak {peak / 1e6:.0f} MB; both passes {ratio:.2f} of llama-perplexity's{word}",
                      flush=True)
                self.compare(kind, arithmetic, report, theirs[kind])

    def verify(self, kind, pack, arithmetic):
        """A verdict of red (exit status 1) has figures too."""
        out, _, seconds, peak = run([self.options.tincture, "verify", self.files[kind], "--against", pack, "--arithmetic",
                                     arithmetic, "--positions", "--threads", self.options.threads, "--json"], (0, 1))
        return json.loads(out), seconds, peak

    def compare(self, kind, arithmetic, report, theirs):
        rows = [entry for entry in report["positions"] if LENGTH // 2 <= entry["position"] < LENGTH - 1]
        divergences = np.array([entry["divergence"] for entry in rows])
        loss, base = (np.array([entry[name] for entry in rows]) for name in ("candidateLoss", "referenceLoss"))
        ours = {"mean": divergences.mean(), "median": np.median(divergences), "99.0%": np.quantile(divergences, 0.99),
                "99.9%": np.quantile(divergences, 0.999), "maximum": divergences.max(),
                "same top": 100 * np.mean([e["referenceTop"] == e["candidateTop"] for e in rows]),
                "ln ratio": (loss - base).mean(), "perplexity": np.exp(loss.mean())}
        for name, value in ours.items():
            print(f"      {name:12} ours {value:11.6f}  llama-perplexity {theirs[name]:11.6f}  ratio {value / theirs[name]:.4f}")
        if arithmetic == "engine":  # llama.cpp has no exact arithmetic to compare with
            near = abs(ours["mean"] / theirs["mean"] - 1) <= 0.02
            print(f"      mean KL divergence of {len(rows)} positions, within 2 %"
                  + self.target(f"KL divergence of {kind}", near), flush=True)

    def base_ids(self, path):
        """The prompts as llama-perplexity ran them: its chunks, the first token of each replaced by the opening one."""
        with open(path, "rb") as file:
            if file.read(8) != b"_logits_":
                sys.exit("llama-perplexity's file has another format")
            length, _, chunks = struct.unpack("<III", file.read(12))
            ids = np.frombuffer(file.read(4 * length * chunks), "<i4").reshape(chunks, length).copy()
        if (length, chunks) != (LENGTH, self.options.chunks):
            sys.exit(f"llama-perplexity made {chunks} chunks of {length} tokens")
        ids[:, 0] = ids[0, 0]
        return ids.tolist()

    # start and memory

    def start(self):
        file = self.files[self.options.types[-1]]
        walls, firsts = [], []
        for _ in range(2 * self.options.rounds + 1):
            report, seconds, _ = self.tincture("run", file, "-p", "The patient", "-n", 1, "--temp", 0)
            walls.append(seconds)
            firsts.append(report["secondsToFirstToken"])
        wall, first = statistics.median(walls), statistics.median(firsts)
        print(f"start-up: one token after a short prompt in {wall * 1000:.0f} ms of wall time (median of {len(walls)}, least"
              f" {min(walls) * 1000:.0f}), first token after {first * 1000:.0f} ms by its own clock (at most 300)"
              + self.target("start-up", wall <= 0.3), flush=True)

    def memory(self):
        prompt = self.prompt(8000)
        for kind in self.options.types:
            for arithmetic in ("engine", "exact"):
                report, seconds, peak = self.tincture("run", self.files[kind], "-p", prompt, "-n", 8, "--temp", 0, "--context", 8192,
                                                      "--arithmetic", arithmetic)
                print(f"memory: {report['promptTokenCount']} tokens of context, {kind}, {arithmetic}: peak {peak / 2**20:.0f} MiB"
                      f" (at most 1024), {seconds:.1f} s" + self.target(f"memory of {kind}, {arithmetic}", peak <= 2**30), flush=True)


def figures(text):
    """The numbers llama-perplexity prints."""
    found = {}
    for name, pattern in (("mean", r"Mean +KLD: +(\S+)"), ("median", r"Median +KLD: +(\S+)"), ("99.0%", r"99\.0% +KLD: +(\S+)"),
                          ("99.9%", r"99\.9% +KLD: +(\S+)"), ("maximum", r"Maximum KLD: +(\S+)"),
                          ("same top", r"Same top p: +(\S+)"), ("ln ratio", r"Mean ln\(PPL\(Q\)/PPL\(base\)\) +: +(\S+)"),
                          ("perplexity", r"Mean PPL\(Q\) +: +(\S+)")):
        match = re.search(pattern, text)
        if not match:
            sys.exit(f"llama-perplexity printed no {name}:\n{text[-2000:]}")
        found[name] = float(match[1])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--peer-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--types", type=lambda text: text.split(","), default=["bf16", "q8_0", "q4_k_m"])
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["speed", "parity", "start", "memory"])
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="of 512 tokens, for parity")
    parser.add_argument("--opening", default="The history of medicine in")
    options = parser.parse_args()
    if not options.peer_bin:
        options.peer_bin = subprocess.run([os.path.join(here, "peer.sh")], check=True, stdout=subprocess.PIPE,
                                          text=True).stdout.split()[0]
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(options, work)
        for part in options.parts:
            getattr(bench, part)()
    if bench.missed:
        sys.exit("targets missed: " + ", ".join(bench.missed))


if __name__ == "__main__":
    main()
