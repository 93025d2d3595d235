"""Runs the commands of docs/aws.md in their order, and compares what they print with what is there.

In what is there, `…` is any text, and alone in a line any lines.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Stack

PAGE = ROOT / "docs/aws.md"
# What was put takes its way through stream, tables and queues; and ten seconds make history here.
PATIENCE_SECONDS = 90
# Commands that change nothing that another run of them would miss.
REPEATABLE = re.compile(r"millpond-aws (view|events|explain|status|verify|late|quarantine|snapshot|logs)\b|aws dynamodb get-item")


def commands(page):
    """Each command, with the text that it is to print."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, text = part.partition("\n")
            yield command, text


def pattern(text):
    lines = []
    for line in text.splitlines():
        lines.append(r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n")
    return re.compile("".join(lines))


def main():
    with Stack() as stack, tempfile.TemporaryDirectory(prefix="millpond-steps-") as folder:
        os.symlink(ROOT / "examples", Path(folder) / "examples")
        environment = dict(stack.environment)
        count = 0
        for command, text in commands(PAGE.read_text()):
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value
                continue
            count += 1
            run(command, pattern(text), text, folder, environment)
        print(f"steps: {count} commands of {PAGE.name} print what it says")


def run(command, expected, text, folder, environment):
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS,
        )
        if expected.fullmatch(done.stdout):
            return
        if not REPEATABLE.match(command) or time.monotonic() > until:
            sys.exit(f"$ {command}\nprinted:\n{done.stdout}\nexpected:\n{text}")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
