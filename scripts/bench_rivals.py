#!/usr/bin/env python3
"""Times a48-run beside other engines on models of the same shape, alternated, and prints the ratios.

Each repetition runs every engine once, one process after the other, so that a slow drift of the machine hits all of them
alike; ratios are taken within a repetition. A repetition during which other processes used more than 10 % of the machine is
done again. Rivals are whatever offers llama-bench's command line (llama.cpp, ik_llama.cpp, bitnet.cpp).

usage: bench_rivals.py --ours build/a48-run --model 700M.a48 --rival NAME=LLAMA_BENCH:MODEL.gguf … [options]
example:
  scripts/bench_rivals.py --ours build/a48-run --model 700M.a48 --density up=0.385,down=0.191,out=0.5 \\
      --rival ik=ik/build/bin/llama-bench:700M-IQ2_BN_R4.gguf --tests tg32,tg32@d2048 --threads 1,2 --reps 5
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys

MAX_FOREIGN = 0.10
RETRIES = 3


def cpu_seconds():
    """(busy, total) seconds of all cores since boot."""
    with open("/proc/stat") as file:
        values = [int(x) / os.sysconf("SC_CLK_TCK") for x in file.readline().split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)


def own_seconds():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(command):
    """Output of a command, and the share of the machine that others used meanwhile."""
    before, own = cpu_seconds(), own_seconds()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after, own = cpu_seconds(), own_seconds() - own
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}: {lines[-1]}")
    busy, total = after[0] - before[0], after[1] - before[1]
    return done.stdout, max(0.0, busy - own) / total if total > 0 else 0.0


class Ours:
    def __init__(self, name, program, model, options):
        self.name, self.program, self.model, self.options = name, program, model, options
        self.last = None

    def rate(self, test, threads):
        kind, count, depth = parse(test)
        command = [self.program, "bench", "prefill" if kind == "pp" else "decode", self.model, "--json", "--reps", "1",
                   "--tokens", count, "--threads", str(threads), *self.options]
        if kind == "tg":
            command += ["--depth", depth or "0"]
        output, foreign = timed(command)
        self.last = json.loads(output)["results"][0]
        return self.last["tokens_per_s"]["median"], foreign


class Rival:
    def __init__(self, name, program, model, options):
        self.name, self.program, self.model, self.options = name, program, model, options

    def has_option(self, option):
        usage = subprocess.run([self.program, "--help"], capture_output=True, text=True).stdout
        return re.search(rf"^\s+{option}[ ,]", usage, re.MULTILINE) is not None

    def rate(self, test, threads):
        kind, count, depth = parse(test)
        command = [self.program, "-m", self.model, "-r", "1", "-o", "json", *self.options]
        if kind == "pp":
            command += ["-p", count, "-n", "0", "-t", str(threads)]
        elif depth is None:
            command += ["-p", "0", "-n", count, "-t", str(threads)]
        elif self.has_option("-gp"):
            command += ["-p", "0", "-n", "0", "-gp", f"{depth},{count}", "-tgb", f"{threads},{os.cpu_count()}"]
        elif self.has_option("-d"):
            command += ["-p", "0", "-n", count, "-d", depth, "-t", str(threads)]
        else:
            sys.exit(f"bench_rivals.py: {self.program} cannot decode behind a prompt; leave out {test} or this rival")
        output, foreign = timed(command)
        record = json.loads(output)[-1]
        return int(count) / (record["samples_ns"][0] * 1e-9), foreign


def parse(test):
    found = re.fullmatch(r"(pp|tg)(\d+)(?:@d(\d+))?", test)
    if not found or (found[1] == "pp" and found[3]):
        sys.exit(f"bench_rivals.py: test {test}: allowed are ppN, tgN and tgN@dDEPTH")
    return found.groups()


def engine(kind, text, options):
    """NAME=PROGRAM:MODEL[,FLAG …]"""
    found = re.fullmatch(r"([^=]+)=([^:]+):([^,]+)((?:,[^,]+)*)", text)
    if not found:
        sys.exit(f"bench_rivals.py: {text}: expected NAME=PROGRAM:MODEL[,FLAG,VALUE…]")
    name, program, model, flags = found.groups()
    for path in (program, model):
        if not os.path.exists(path):
            sys.exit(f"bench_rivals.py: {path}: no such file")
    return kind(name, program, model, [flag for flag in flags.split(",") if flag] + options)


def measure(engines, tests, threads, reps):
    """{(test, threads): [[rate of each engine] of each repetition]}, and how many were dropped."""
    kept, dropped = {}, 0
    for test in tests:
        for count in threads:
            rows = kept.setdefault((test, count), [])
            for _ in range(reps):
                for attempt in range(RETRIES + 1):
                    pairs = [engine.rate(test, count) for engine in engines]
                    print(f"{test} {count}T " + ", ".join(f"{e.name} {p[0]:.1f}" for e, p in zip(engines, pairs)) +
                          f" tokens/s, others used at most {max(p[1] for p in pairs):.0%}", file=sys.stderr)
                    if max(p[1] for p in pairs) <= MAX_FOREIGN or attempt == RETRIES:
                        break
                    dropped += 1
                rows.append([p[0] for p in pairs])
    return kept, dropped


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="a48-run (or a48)")
    parser.add_argument("--model", required=True, help="a packed model; `a48-run bench make-model` makes one of a shape")
    parser.add_argument("--rival", action="append", default=[], help="NAME=PROGRAM:MODEL[,FLAG,VALUE…]; may be repeated")
    parser.add_argument("--tests", default="pp64,pp512,tg32", help="ppN, tgN, tgN@dDEPTH")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--density", help="forced shares of our work: up=U,down=D,out=O; dense mode is 1,1,1")
    parser.add_argument("--kv-bits", default="0")
    parser.add_argument("--q-bits", default="16")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    cache = ["--kv-bits", args.kv_bits, "--q-bits", args.q_bits]
    ours = Ours("a48", args.ours, args.model, cache)
    if args.density:
        rate = ours.rate
        ours.rate = lambda test, threads: with_density(ours, rate, args.density, test, threads)
    engines = [ours] + [engine(Rival, text, []) for text in args.rival]
    tests, threads = args.tests.split(","), [int(t) for t in args.threads.split(",")]
    kept, dropped = measure(engines, tests, threads, args.reps)

    lines = []
    for (test, count), rows in kept.items():
        line = {"test": test, "threads": count,
                "tokens_per_s": {e.name: statistics.median(r[i] for r in rows) for i, e in enumerate(engines)}}
        for i, rival in enumerate(engines[1:], 1):
            ratios = sorted(r[0] / r[i] for r in rows)
            line.setdefault("ratio", {})[rival.name] = {"median": statistics.median(ratios), "least": ratios[0],
                                                        "most": ratios[-1]}
        line["density"] = (ours.last or {}).get("density")
        lines.append(line)
    if args.json:
        print(json.dumps({"model": args.model, "reps": args.reps, "dropped": dropped, "results": lines}, indent=1))
        return
    print("| test | threads | " + " | ".join(e.name for e in engines) + " | " +
          " | ".join(f"a48 / {e.name}" for e in engines[1:]) + " |")
    print("|---" * (2 + len(engines) + len(engines) - 1) + "|")
    for line in lines:
        print(f"| {line['test']} | {line['threads']} | " + " | ".join(f"{line['tokens_per_s'][e.name]:.1f}" for e in engines) +
              " | " + " | ".join("{median:.2f} [{least:.2f}–{most:.2f}]".format(**line["ratio"][e.name])
                                 for e in engines[1:]) + " |")
    print(f"\n{args.reps} repetitions, alternated; {dropped} repeated because the machine was busy.")


def with_density(ours, rate, density, test, threads):
    """Only decoding leaves work out."""
    base = ours.options
    ours.options = base + (["--density", density] if test.startswith("tg") else [])
    try:
        return rate(test, threads)
    finally:
        ours.options = base


if __name__ == "__main__":
    main()
