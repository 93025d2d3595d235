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
START_SECONDS = 60


class Stack:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="millpond-aws-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        tools = Path(sys.executable).parent
        own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LAMBDA_EXECUTOR": "local", "AUTH": "true",
               "AWS_ENDPOINT_URL": url, "IOT_MTLS_PORT": "0"}
        self.log = open(Path(self.folder.name) / "ministack.log", "w+")
        self.process = subprocess.Popen([tools / "ministack"], cwd=self.folder.name, env=os.environ | own, stdout=self.log, stderr=self.log)
        program = Path(os.environ["MILLPOND_AWS"]).resolve()
        self.environment = os.environ | {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
            "PATH": f"{program.parent}:{tools}:{os.environ['PATH']}",
        }
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{url}/_ministack/health", timeout=5).read()
                return self
            except OSError:
                if time.monotonic() > until:
                    sys.exit("no start")
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
