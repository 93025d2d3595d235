"""schemathesis, a client made from nothing but /openapi.json, finds no answer that the document does
not allow. What it leaves out on purpose is in schemathesis.toml and openapi_hooks.py."""

import os
import subprocess
import sys
import time
from pathlib import Path

from common import EXAMPLES, LONG_SECONDS, Server, expect

HERE = Path(__file__).resolve().parent
FLEET = EXAMPLES / "device-fleet"
USERS = EXAMPLES / "user-activity"
# Seconds; a run takes less than one minute.
LONGEST = 600


def main():
    with Server(FLEET / "join.toml") as server:
        fill(server)
        program = Path(sys.executable).with_name("schemathesis")
        command = [program, "--config-file", "schemathesis.toml", "run", f"{server.url}/openapi.json", "--no-color"]
        environment = {**os.environ, "PYTHONPATH": str(HERE), "MILLPOND_URL": server.url}
        done = subprocess.run([sys.executable, "-B", *command, *sys.argv[1:]], cwd=HERE, env=environment, timeout=LONGEST)
        expect(done.returncode == 0, "schemathesis found answers that the document does not allow: see above")
        status, body = server.request("GET", "/readyz")
        expect(status == 200, f"after all this the server is not ready: {body.decode()}")
        for join in ("device-fleet", "hurried"):
            _, body = server.request("POST", f"/v1/joins/{join}/verify")
            expect(b'"differences":0' in body, f"after all this verify says {body.decode()}")
        server.stop()


def fill(server):
    """The examples, one of them with closed history, late events, and a quarantine that is not empty."""
    server.post_events((FLEET / "events.ndjson").read_bytes(), "device-fleet")
    definition = (USERS / "join.toml").read_text().replace('"user-activity"', '"hurried"').replace('"7d"', '"1ms"')
    toml = {"content-type": "application/toml"}
    status, body = server.request("PUT", "/v1/joins/hurried", definition.encode(), toml)
    expect(status == 201, f"the join was not made: {status} {body.decode()}")
    server.post_events((USERS / "events.ndjson").read_bytes(), "hurried")
    deadline = time.monotonic() + LONG_SECONDS
    while server.get("/v1/joins/hurried/stats")["snapshots"] == 0:
        server.request("POST", "/v1/joins/hurried/snapshot")
        expect(time.monotonic() < deadline, "history is never closed")
    late = [
        f'{{"id":"late-{number}","type":"order-submitted","timestamp":{1_760_000_000_001 + number},"order":{{"userId":"user-1"}}}}'
        for number in range(200)
    ]
    taken = server.post_events("\n".join(late).encode(), "hurried")
    expect(taken["late"] == len(late), f"not late: {taken}")
    server.post_events(b"no event\n{}\n")


if __name__ == "__main__":
    main()
