"""What the scripts beside this one share: a stand-in for AWS on a free port, with roles enforced."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
START_SECONDS = 60
# Longer than any command here may take.
LONG_SECONDS = 120


class Stack:
    """ministack with nothing in it; killed at the end."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="millpond-aws-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        tools = Path(sys.executable).parent
        # What has AWS_ENDPOINT_URL itself gives it to the functions.
        own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LAMBDA_EXECUTOR": "local", "AUTH": "true",
               "AWS_ENDPOINT_URL": self.url, "IOT_MTLS_PORT": "0"}
        self.log = open(Path(self.folder.name) / "ministack.log", "w+")
        self.process = subprocess.Popen(
            [tools / "ministack"], cwd=self.folder.name, env=os.environ | own, stdout=self.log, stderr=self.log,
        )
        program = Path(os.environ["MILLPOND_AWS"]).resolve()
        self.environment = os.environ | {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "MILLPOND_SERVICE": "user-activity",
            "PATH": f"{program.parent}:{tools}:{os.environ['PATH']}",
        }
        self.wait()
        return self

    def wait(self):
        until = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        self.log.seek(0)
        self.__exit__()
        sys.exit(f"ministack did not start:\n{self.log.read()[-4000:]}")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def run(self, *arguments):
        """Runs `millpond-aws`; what it printed."""
        done = subprocess.run(
            ["millpond-aws", *arguments], env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONG_SECONDS,
        )
        if done.returncode != 0:
            sys.exit(f"millpond-aws {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout
