#!/usr/bin/env python3
"""The parts of quickstart.sh that read or write JSON: the run's configuration, its prompts, the tables of results.

    quickstart_report.py config --data DIR --run DIR --out FILE (--steps N | --minutes M --timing RUN) [TEXT…]
    quickstart_report.py prompts CONFIG.json
    quickstart_report.py tables EVAL.json…      (written by `a48 eval --json`; the first one as staged)
    quickstart_report.py speeds RUN GENERATED.json PACKED.a48 GENERATED.json      (written by `generate --json`)
"""
import argparse
import json
import pathlib
import statistics
import sys

TEMPLATE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "quickstart.json"

COLUMNS = ("qkv", "out", "up", "gate", "down", "overall")
# Table 2 of arXiv 2411.04965, per cent of zeros; both rows are a4.8.
PAPER = {"paper, 700M": ((12.1, 50.0, 66.2, 12.1, 80.9, 42.5), "390M"),
         "paper, 7B": ((12.1, 50.0, 71.4, 12.0, 84.2, 44.5), "3.4B")}


# ------------------------------------------------------------------------------------------ configuration
def events(run, kind):
    with open(pathlib.Path(run) / "metrics.jsonl", encoding="utf-8") as lines:
        return [event for event in map(json.loads, lines) if event.get("event") == kind]


def opening_words(text, count=4):
    """The first words of the longest run of text after a line break, as a prompt: real words of the user's own text."""
    lines = [line.strip() for line in text.splitlines() if len(line.split()) > count]
    return [" ".join(lines[i * len(lines) // 4].split()[:count]) for i in range(4)] if lines else []


def write_config(options):
    config = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    run = config["run"]
    config["model"]["vocab_size"] = options.vocab_size
    config["data"]["path"] = options.data
    run["dir"] = options.run
    if options.texts and pathlib.Path(options.texts[0]).name != "kjv.txt":
        with open(options.texts[0], encoding="utf-8", errors="replace") as file:
            config["eval"]["prompts"] = opening_words(file.read(1_000_000))
    if options.steps:
        steps = options.steps
        run |= {"max_steps": steps, "save_interval": 0, "log_interval": 1}
        config["optim"]["warmup_steps"] = 5
        config["eval"] |= {"interval": 0, "prompts": []}
    else:
        step_seconds = statistics.median(event["step_ms"] for event in events(options.timing, "step")[4:]) / 1e3
        # Evaluations and checkpoints take their share of the time: 12 evaluations, each as long as some steps.
        evaluation = sum(event.get("seconds", 0.0) for event in events(options.timing, "eval")[-1:])
        steps = max(60, int((60 * options.minutes - 12 * evaluation) / step_seconds) // 10 * 10)
        interval = max(1, round(steps / 12))
        run |= {"max_steps": steps, "save_interval": max(1, steps // 5), "log_interval": max(1, steps // 40)}
        config["eval"]["interval"] = interval
        config["optim"]["warmup_steps"] = max(5, round(0.04 * steps))
        tokens = steps * run["global_batch_size"] * config["data"]["sequence_length"]
        print(f"{1e3 * step_seconds:.0f} ms a step: {steps} steps, {tokens:,} tokens in {options.minutes:g} minutes")
    pathlib.Path(options.out).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------- tables
def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip()
                     for row in rows)


def parameters(count):
    return f"{count / 1e9:.2f}B" if count >= 1e9 else f"{count / 1e6:.0f}M" if count >= 1e8 else f"{count / 1e6:.2f}M"


def print_tables(paths):
    evaluations = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in paths]
    notes = {"a8": "8-bit activations", "a16": "ternary weights alone"}
    rows = [["validation", "loss", "perplexity", "bits per byte", "tokens", ""]]
    for i, e in enumerate(evaluations):
        rows.append([e["mode"], f"{e['nll_per_token']:.4f}", f"{e['perplexity']:.2f}", f"{e['bits_per_byte']:.3f}", f"{e['tokens']:,}",
                     "as staged" if i == 0 else notes.get(e["mode"], "")])
    print(aligned(rows))

    print("\nShare of zeros among the values that enter each matrix, per cent (Table 2 of the paper: arXiv 2411.04965)")
    rows = [["", "QKV", "Out", "Up", "Gate", "Down", "Overall", "active weights"]]
    for i, e in enumerate(evaluations[:2]):
        rows.append([f"this run, {e['mode']}"] + [f"{e['sparsity'][c]:.1f}" for c in COLUMNS] +
                    [parameters(e["active_parameters"])])
    rows += [[name] + [f"{value:.1f}" for value in values] + [active] for name, (values, active) in PAPER.items()]
    print(aligned(rows))


def print_speeds(run, of_run, packed, of_packed):
    """Size of the weights, and tokens per second of the same prompt: as trained, and packed."""
    step = (pathlib.Path(run) / "checkpoints" / "latest").read_text(encoding="utf-8").strip()
    weights = pathlib.Path(run) / "checkpoints" / step / "model.safetensors"
    rows = [["", "weights", "tokens per second"]]
    texts = []
    for name, file, result in (("trained, fp32", weights, of_run), ("packed", pathlib.Path(packed), of_packed)):
        generated = json.loads(pathlib.Path(result).read_text(encoding="utf-8"))
        texts.append(generated["results"][0])
        rows.append([name, f"{file.stat().st_size / 1e6:.2f} MB", f"{generated['tokens'] / generated['seconds']:.0f}"])
    print(aligned(rows))
    print(f"\nFrom the packed file: {texts[1]['prompt']}{texts[1]['text']}")


def main():
    parser = argparse.ArgumentParser(description="Configuration, prompts and tables of scripts/quickstart.sh.")
    commands = parser.add_subparsers(dest="command", required=True)
    config = commands.add_parser("config", help="write the run's configuration")
    config.add_argument("--data", required=True)
    config.add_argument("--vocab-size", type=int, required=True)
    config.add_argument("--run", required=True)
    config.add_argument("--out", required=True)
    config.add_argument("--steps", type=int, help="so many steps, to time them")
    config.add_argument("--minutes", type=float, help="as many steps as fit")
    config.add_argument("--timing", help="run folder of the timed steps")
    config.add_argument("texts", nargs="*")
    prompts = commands.add_parser("prompts", help="print the prompts of a configuration, one a line")
    prompts.add_argument("config")
    tables = commands.add_parser("tables", help="print the tables of results")
    tables.add_argument("evaluations", nargs="+")
    speeds = commands.add_parser("speeds", help="print sizes and speeds of the trained and the packed model")
    for name in ("run", "of_run", "packed", "of_packed"):
        speeds.add_argument(name)
    options = parser.parse_args()
    if options.command == "config":
        write_config(options)
    elif options.command == "prompts":
        print(*json.loads(pathlib.Path(options.config).read_text(encoding="utf-8"))["eval"]["prompts"], sep="\n")
    elif options.command == "speeds":
        print_speeds(options.run, options.of_run, options.packed, options.of_packed)
    else:
        print_tables(options.evaluations)


if __name__ == "__main__":
    sys.exit(main())
