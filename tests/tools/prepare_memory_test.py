#!/usr/bin/env python3
"""`prepare` reads a corpus of 60 MB within a bound of private memory, whether its documents are lines of JSONL or parts
of a text: files are mapped, and only the documents at hand are held. The shards of both are equal.

usage: prepare_memory_test.py A48_RUN
"""
import json
import pathlib
import resource
import subprocess
import sys
import tempfile

CORPUS_BYTES = 60_000_000
DATA_LIMIT = 40 << 20  # RLIMIT_DATA: heap, private mappings and stacks of threads (8 MiB each)


def main(program):
    with tempfile.TemporaryDirectory(prefix="a48-prepare-") as folder:
        root = pathlib.Path(folder)
        document = "".join(f"Line {i} of a document, with its \"share\" of the text.\n" for i in range(20))
        count = CORPUS_BYTES // len(document)
        with open(root / "c.jsonl", "w") as records, open(root / "c.txt", "w") as text:
            for i in range(count):
                one = f"Document {i}\n{document}"
                records.write(json.dumps({"id": i, "text": one}) + "\n")
                text.write(one + "***\n")
        shards = []
        for file, options in (("c.txt", ["--split", "***"]), ("c.jsonl", ["--field", "text"])):
            command = [program, "prepare", "--out", root / file[2:], "--name", "c", "--tokenizer", "bytes", "--json", *options,
                       root / file]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT)))
            if done.returncode != 0:
                print(f"{file} of {(root / file).stat().st_size} bytes, not prepared within {DATA_LIMIT} bytes of private "
                      f"memory:\n{done.stderr[-2000:]}")
                return 1
            shards.append(json.loads(done.stdout)["shards"])
        if shards[0] != shards[1]:
            print(f"text and JSONL give other shards:\n{shards[0]}\n{shards[1]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
