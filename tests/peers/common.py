"""What the scripts beside this one share: a real server on a free port, and plain requests to it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
# Longer than anything here may take.
LONG_SECONDS = 60


class Server:
    """`millpond serve` with a data folder of its own; killed at the end."""

    def __init__(self, *definitions, port=0):
        self.binary = os.environ["MILLPOND"]
        self.definitions = [str(definition) for definition in definitions]
        self.folder = tempfile.TemporaryDirectory(prefix="millpond-peers-")
        self.log = open(Path(self.folder.name) / "serve.log", "a+")
        self.port = port
        os.mkdir(self.data())
        self.start()

    def data(self):
        return f"{self.folder.name}/data"

    def start(self):
        command = [self.binary, "serve", *self.definitions, "--data", self.data()]
        command += ["--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        ready = self.process.stdout.readline()
        if " on http://" not in ready:
            self.fail(f"the server did not start, it said {ready!r}")
        self.url = ready.strip().rsplit(" on ", 1)[1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=LONG_SECONDS)
        expected = 0 if how == signal.SIGTERM else -how
        if code != expected:
            self.fail(f"the server ended with {code} after signal {how}, expected {expected}")

    def fail(self, what):
        self.log.seek(0)
        sys.exit(f"{what}; its log:\n{self.log.read()[-4000:]}")

    def check_log(self):
        """A sound server logs no panics and no errors."""
        self.log.seek(0)
        bad = [line for line in self.log if "panicked" in line or " ERROR " in line]
        if bad:
            self.fail(f"the server logged {len(bad)} errors, the first: {bad[0]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ended = self.process.poll()
        if ended is None:
            self.process.kill()
            self.process.wait()
        if kind is None:
            self.check_log()
        else:
            self.log.seek(0)
            print(f"the server had {'ended with ' + str(ended) if ended is not None else 'not ended'}; its log:")
            print(self.log.read()[-4000:])
        self.log.close()
        self.folder.cleanup()

    def request(self, method, path, body=None, headers=None):
        """Status and body of an answer, whatever the status."""
        request = urllib.request.Request(self.url + path, method=method, data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=LONG_SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get(self, path):
        status, body = self.request("GET", path)
        expect(status == 200, f"GET {path} answered {status}: {body.decode()}")
        return json.loads(body)

    def post_events(self, lines, join=None):
        path = f"/v1/events/{join}" if join else "/v1/events"
        status, body = self.request("POST", path, lines, {"content-type": "application/x-ndjson"})
        expect(status == 200, f"POST {path} answered {status}: {body.decode()}")
        return json.loads(body)


def expect(holds, claim):
    """Ends the script unless something holds."""
    if not holds:
        raise AssertionError(claim)
