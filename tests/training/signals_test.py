#!/usr/bin/env python3
"""Stops a real `a48 train` at random moments and shows that nothing is lost (training.md R3, 1.6); every exit code once.

    signals_test.py PATH_TO_a48 [stops]

SIGTERM: exit status 6, and in the end the bits of a run that was never stopped. kill -9: at most the steps since the last checkpoint
are made again, and again the same bits. A second signal: 128 + its number.
Exit status: 0 all held, 1 not.
"""
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

DONE, USAGE, BAD_INPUT, CHECK_FAILED, NOT_FINITE, STOPPED, NO_RESOURCES = 0, 2, 3, 4, 5, 6, 7
STEPS, SAVE_INTERVAL = 60, 5
SEED = int(os.environ.get("A48_TEST_SEED", "48"))

CONFIG = {
    "model": {"vocab_size": 259, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
              "max_position_embeddings": 64},
    "stages": [{"mode": "a8", "until": 0.6}, {"mode": "a4.8", "until": 1.0}],
    "optim": {"learning_rate": 4e-3, "second_learning_rate": 2e-3, "min_lr": 1e-4, "warmup_steps": 3},
    "data": {"sequence_length": 32},
    "eval": {"interval": 10, "windows": 8, "prompts": ["light and"], "sample_tokens": 8},
    "run": {"max_steps": STEPS, "micro_batch_size": 4, "global_batch_size": 8, "save_interval": SAVE_INTERVAL,
            "state_hash": True, "threads": 1},
}

failures = []


def expect(condition, message):
    if not condition:
        failures.append(message)
        print(f"FAILED: {message}", flush=True)


def start(a48, *arguments):
    return subprocess.Popen([a48, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, timeout=120):
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def events(run, kind):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]  # a line that was cut would not parse
    return [event for event in found if event["event"] == kind]


def hashes(run):
    return {event["step"]: event["state_hash"] for event in events(run, "step")}


def difference(run, reference):
    found = hashes(run)
    other = [step for step in reference if step in found and found[step] != reference[step]]
    return f"not logged: {sorted(set(reference) - set(found))}, other states: {other}"


def logged_step(run):
    """The newest step in the log of a living process, whose last line may still be growing."""
    path = run / "metrics.jsonl"
    whole = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return max((event["step"] for event in map(json.loads, whole) if event["event"] == "step"), default=0)


def saved_step(run):
    steps = [int(p.name[5:]) for p in (run / "checkpoints").glob("step-*") if p.name[5:].isdigit()]
    return max(steps, default=0)


def random_stops(a48, config, folder, reference, startup, stops, choose):
    """Stops at random moments until the run is done; returns the number of stops that hit a living process.

    Every third falls into the start-up, by the clock; the others follow a random step, at whatever speed the machine runs now.
    """
    run, hits = folder / "stopped", 0
    targets = sorted(choose.sample(range(1, STEPS - 4), stops))
    for attempt in range(20 * stops):
        resumed = saved_step(run)
        process = start(a48, "train", config, f"run.dir={run}")
        if hits < stops:
            if attempt % 3 == 0:
                time.sleep(startup * choose.uniform(0.2, 0.7))
            else:
                while process.poll() is None and logged_step(run) < max(targets[hits], resumed + 1):
                    time.sleep(0.002)
                time.sleep(choose.uniform(0.0, 0.02))
            process.send_signal(signal.SIGTERM)
        status, output = finish(process)
        if status == DONE:
            if hits >= stops or saved_step(run) == STEPS:
                break
            continue
        if status == -signal.SIGTERM:  # before the program could install its handler: nothing was begun
            continue
        hits += 1
        expect(status == STOPPED, f"SIGTERM number {hits}: exit status {status}\n{output}")
        leftovers = [p.name for p in (run / "checkpoints").glob(".tmp-*")] if run.exists() else []
        expect(not leftovers, f"SIGTERM number {hits} left {leftovers}")
        if status != STOPPED:
            return hits
    expect(hashes(run) == reference, "after the SIGTERMs the run's states differ from the straight run's: " + difference(run, reference))
    return hits


def random_kills(a48, config, folder, reference, startup, seconds, kills, choose):
    run = folder / "killed"
    for _ in range(kills):
        process = start(a48, "train", config, f"run.dir={run}")
        time.sleep(startup + choose.uniform(0.0, seconds / 2))
        process.kill()
        finish(process)
        made = max(hashes(run), default=0)
        expect(made - saved_step(run) <= SAVE_INTERVAL,
               f"kill -9 at step {made} found the last checkpoint at {saved_step(run)}")
    status, output = finish(start(a48, "train", config, f"run.dir={run}"))
    expect(status == DONE, f"after kill -9: exit status {status}\n{output}")
    expect(hashes(run) == reference, "after the kills the run's states differ from the straight run's: " + difference(run, reference))
    hidden = [p.name for p in (run / "checkpoints").iterdir() if p.name.startswith(".")]
    expect(not hidden, f"left over after the kills: {hidden}")


def wait_for_step(run, step, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if logged_step(run) >= step:
            return
        time.sleep(0.02)
    expect(False, f"{run.name} did not reach step {step}")


def second_signal(a48, config, folder):
    run = folder / "twice"
    process = start(a48, "train", config, f"run.dir={run}", "run.global_batch_size=256", "run.micro_batch_size=256")
    wait_for_step(run, 1)
    process.send_signal(signal.SIGTERM)
    for line in process.stdout:  # said at once, though the step goes on
        if "again to stop now" in line:
            break
    expect(process.poll() is None, "the first signal ended the process before its step")
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    expect(status in (128 + signal.SIGINT, 128 + signal.SIGTERM), f"a second signal: exit status {status}\n{output}")


def dry_run(a48, config, folder):
    """Says how long the run will take, and leaves nothing, finished or interrupted."""
    run = folder / "dry"
    status, output = finish(start(a48, "train", config, f"run.dir={run}", "--dry-run"))
    expect(status == DONE and "expected time: about" in output, f"--dry-run: exit status {status}\n{output}")
    expect(not run.exists(), "--dry-run left its run folder")
    before = sorted(folder.iterdir())
    process = start(a48, "train", config, f"run.dir={run}", "--dry-run", "run.global_batch_size=4096")
    for line in process.stdout:
        if "stage 1 of" in line:  # its step begins
            break
    process.send_signal(signal.SIGTERM)
    status, output = finish(process)
    expect(status == STOPPED, f"an interrupted --dry-run: exit status {status}\n{output}")
    expect(sorted(folder.iterdir()) == before, "an interrupted --dry-run left something")


def with_nan(checkpoint, run):
    """A copy of a checkpoint whose weights end in a NaN, with hashes that fit: no file check can find it."""
    copy = run / "checkpoints" / checkpoint.name
    shutil.copytree(checkpoint, copy)
    weights = copy / "model.safetensors"
    data = weights.read_bytes()[:-4] + struct.pack("<f", float("nan"))
    weights.write_bytes(data)
    manifest = copy / "manifest.json"
    text = manifest.read_text()
    old = {entry["name"]: entry["sha256"] for entry in json.loads(text)["files"]}["model.safetensors"]
    text = text.replace(old, hashlib.sha256(data).hexdigest())
    own = json.loads(text)["self_sha256"]
    text = text.replace(own, hashlib.sha256(text.replace(own, "0" * 64).encode()).hexdigest())
    manifest.write_text(text)
    return copy


def exit_codes(a48, config, folder, run):
    def status_of(wanted, *arguments, says=""):
        status, output = finish(start(a48, *arguments))
        expect(status == wanted, f"a48 {' '.join(map(str, arguments))}: exit status {status}, expected {wanted}\n{output}")
        expect(says in output, f"a48 {' '.join(map(str, arguments))} does not say '{says}'\n{output}")

    status_of(DONE, "train", config, f"run.dir={run}", says="is finished")
    status_of(USAGE, "train", config, f"run.dir={folder / 'x'}", "run.max_stepps=3", says="max_steps")
    status_of(USAGE, "train", config, f"run.dir={run}", "run.seed=2", says="run.seed")
    status_of(BAD_INPUT, "train", config, f"run.dir={folder / 'x'}", "data.path=/nowhere", says="/nowhere")
    status_of(BAD_INPUT, "train", "--resume", folder / "nothing")
    poisoned = with_nan(run / "checkpoints" / f"step-{STEPS:08}", folder / "poisoned")
    status_of(NOT_FINITE, "train", config, f"run.dir={folder / 'nan'}", f"init.from={poisoned}", says="in a row")
    expect((folder / "nan" / "rejected-step-1.json").exists(), "the first rejected step left no dump")
    status_of(STOPPED, "train", config, f"run.dir={folder / 'limit'}", "run.max_minutes=0.00001", says="run.max_minutes")
    if not pathlib.Path("/dev/nvidia0").exists():
        status_of(NO_RESOURCES, "train", config, f"run.dir={folder / 'x'}", "run.device=cuda", says="cpu")
    expect(not (folder / "x").exists(), "a start that failed left its run folder")
    status_of(STOPPED, "train", config, f"run.dir={folder / 'threads'}", "run.threads=99", "run.max_minutes=0.00001",
              says="run.threads: 99 threads on")

    status_of(DONE, "inspect", run, says=f"latest: step-{STEPS:08}")
    status_of(DONE, "inspect", run / "checkpoints" / f"step-{STEPS:08}", "--verify", "--json", says='"ternary"')
    status_of(DONE, "inspect", run, "--step", 3, says="_train_000000.bin")
    # An altered weight: found by a verifying look, and by the resume, which falls back.
    newest = run / "checkpoints" / f"step-{STEPS:08}" / "model.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    status_of(CHECK_FAILED, "inspect", newest.parent, "--verify", says="model.safetensors")
    status_of(DONE, "train", config, f"run.dir={run}", says="falling back")


def main():
    a48, stops = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 6
    choose = random.Random(SEED)
    print(f"seed: {SEED} (A48_TEST_SEED sets another)")
    with tempfile.TemporaryDirectory(prefix="a48-signals-") as name:
        folder = pathlib.Path(name)
        words = ["light", "and", "the", "water", "day", "was", "called", "night", "earth", "first"]
        text = random.Random(1)
        (folder / "text.txt").write_text("\n".join(" ".join(text.choice(words) for _ in range(9)) for _ in range(300)))
        status, output = finish(start(a48, "prepare", "--out", folder / "data", "--tokenizer", "bytes", folder / "text.txt"))
        expect(status == DONE, f"prepare: exit status {status}\n{output}")
        config = folder / "config.json"
        config.write_text(json.dumps(CONFIG | {"data": CONFIG["data"] | {"path": str(folder / "data")}}))

        straight = folder / "straight"
        begin = time.time()
        process = start(a48, "train", config, f"run.dir={straight}")
        while not (straight / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)
        startup = time.time() - begin
        status, output = finish(process)
        seconds = time.time() - begin - startup
        expect(status == DONE, f"the straight run: exit status {status}\n{output}")
        reference = hashes(straight)
        expect(len(reference) == STEPS, f"the straight run logged {len(reference)} steps")
        if not failures:
            hits = random_stops(a48, config, folder, reference, startup, stops, choose)
            expect(2 * hits >= stops, f"only {hits} of {stops} SIGTERMs met a run")
            print(f"{hits} SIGTERMs in a run of {seconds:.1f} s after {startup:.1f} s of start-up")
            random_kills(a48, config, folder, reference, startup, seconds, max(2, stops // 3), choose)
            second_signal(a48, config, folder)
            dry_run(a48, config, folder)
            exit_codes(a48, config, folder, straight)
    print("all held" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
