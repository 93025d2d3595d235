"""schemathesis, a client made from nothing but /openapi.json, finds no answer that the document does
not allow. What it leaves out on purpose is in schemathesis.toml and openapi_hooks.py."""

import os
import subprocess
import sys
from pathlib import Path

from common import EXAMPLES, Server, expect

HERE = Path(__file__).resolve().parent
JOINS = ["user-activity", "device-fleet"]
# Seconds; a run takes less than one minute.
LONGEST = 600


def main():
    definitions = [EXAMPLES / join / "join.toml" for join in JOINS]
    with Server(*definitions) as server:
        for join in JOINS:
            server.post_events((EXAMPLES / join / "events.ndjson").read_bytes(), join)
        server.post_events(b"no event\n{}\n")
        program = Path(sys.executable).with_name("schemathesis")
        command = [program, "--config-file", "schemathesis.toml", "run", f"{server.url}/openapi.json", "--no-color"]
        environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([*command, *sys.argv[1:]], cwd=HERE, env=environment, timeout=LONGEST)
        expect(done.returncode == 0, "schemathesis found answers that the document does not allow: see above")
        status, body = server.request("GET", "/readyz")
        expect(status == 200, f"after all this the server is not ready: {body.decode()}")
        for join in JOINS:
            _, body = server.request("POST", f"/v1/joins/{join}/verify")
            expect(b'"differences":0' in body, f"after all this verify says {body.decode()}")
        server.stop()


if __name__ == "__main__":
    main()
