"""An EventSource client that nobody here wrote follows the changes while the server is stopped and
killed again and again: it sees no id twice, no version of a key goes back, and what it knows at the
end is what the views are."""

import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

from common import EXAMPLES, LONG_SECONDS, Server, expect

JOIN = "user-activity"
RESTARTS = 10
# Events of one request, requests between two restarts, and keys.
BATCH, BATCHES, KEYS = 20, 15, 40
SEED = 20261123


class Follower:
    """`follow.mjs`, and all that it said."""

    def __init__(self, url):
        script = ["node", os.environ["FOLLOW"], url]
        self.process = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
        self.said = []
        self.more = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            with self.more:
                self.said.append(json.loads(line))
                self.more.notify_all()

    def all(self, kind):
        with self.more:
            return [thing for thing in self.said if thing["said"] == kind]

    def wait(self, holds, what):
        """Until something holds for what was said; it gives up if the client does."""
        deadline = time.monotonic() + LONG_SECONDS
        with self.more:
            while not holds(self.said):
                gave_up = [thing for thing in self.said if thing["said"] == "gave up"]
                expect(not gave_up, f"the client gave up: {gave_up}")
                left = deadline - time.monotonic()
                expect(left > 0 and self.process.poll() is None, f"{what} never happened; last {self.said[-5:]}")
                self.more.wait(min(left, 1))


def events(chance, number):
    """A batch of new events; some of the keys are changed more often than others."""
    lines = []
    for place in range(BATCH):
        user = f"user-{min(chance.randrange(KEYS), chance.randrange(KEYS))} é/%"
        at = 1_760_000_000_000 + number * BATCH + place
        kind = chance.choice(["user-created", "user-loggedIn", "order-submitted"])
        body = {"id": f"c-{number}-{place}", "type": kind, "timestamp": at}
        body["user"] = {"id": user, "name": f"name {number}"}
        body["order"] = {"userId": user}
        lines.append(json.dumps(body))
    return "\n".join(lines).encode()


def put(server, chance, first):
    for number in range(first, first + BATCHES):
        taken = server.post_events(events(chance, number), JOIN)
        expect(taken["accepted"] == BATCH, f"not all were accepted: {taken}")


def put_while_it_stops(server, chance, number, how):
    """Gives events until the server is gone, then the same again: what was on the way when it went
    may be in or not."""
    stopper = threading.Timer(chance.random() * 0.05, server.process.send_signal, [how])
    stopper.start()
    interrupted = []
    try:
        status = 200
        while status == 200:
            interrupted.append(events(chance, number + len(interrupted)))
            lines = {"content-type": "application/x-ndjson"}
            status, answer = server.request("POST", f"/v1/events/{JOIN}", interrupted[-1], lines)
        expect(status == 503, f"while it stops it answered {status}: {answer.decode()}")
    except (OSError, http.client.HTTPException):
        pass  # gone
    stopper.join()
    expected = 0 if how == signal.SIGTERM else -how
    code = server.process.wait(timeout=LONG_SECONDS)
    expect(code == expected, f"the server ended with {code}, expected {expected}")
    server.start()
    for batch in interrupted:
        server.post_events(batch, JOIN)
    return number + len(interrupted)


def check(server, changes):
    """What the follower was told, against what the server has."""
    ids = [change["id"] for change in changes]
    expect(all(ids), "a change came without an id")
    expect(len(set(ids)) == len(ids), f"{len(ids) - len(set(ids))} ids came twice")
    known = {}
    for change in changes:
        key, version, document = (change["data"][name] for name in ("key", "version", "document"))
        before = known.get(key, (0, None))[0]
        expect(version > before, f"{key!r} had version {before}, then {version}")
        known[key] = (version, document)
    views = {}
    after = ""
    while after is not None:
        page = server.get(f"/v1/views/{JOIN}?limit=1000{after}")
        views |= {view["key"]: (view["version"], view["document"]) for view in page["views"]}
        after = f"&after={page['next']}" if "next" in page else None
    expect(known.keys() == views.keys(), f"told of {len(known)} keys, there are {len(views)}")
    for key, view in views.items():
        expect(known[key] == view, f"{key!r} is {view}, the last that was told is {known[key]}")
    return len(views)


def caught_up(server, follower):
    """Waits for one last event, which comes after all others."""
    last = {"id": "last", "type": "user-created", "timestamp": 1_770_000_000_000, "user": {"id": "last", "name": "last"}}
    server.post_events(json.dumps(last).encode(), JOIN)
    seen = lambda said: any(thing["said"] == "change" and thing["data"]["key"] == "last" for thing in said)
    follower.wait(seen, "the last change")


def main():
    chance = random.Random(SEED)
    with Server(EXAMPLES / "user-activity" / "join.toml") as server:
        follower = Follower(f"{server.url}/v1/changes/{JOIN}?from=start")
        try:
            opened = lambda count: lambda said: sum(thing["said"] == "open" for thing in said) >= count
            follower.wait(opened(1), "the first connection")
            number = 0
            for restart in range(RESTARTS):
                put(server, chance, number)
                opens = len(follower.all("open"))
                how = signal.SIGTERM if restart % 2 == 0 else signal.SIGKILL
                number = put_while_it_stops(server, chance, number + BATCHES, how)
                # Now and then the client misses more than one start.
                if chance.random() < 0.7:
                    follower.wait(opened(opens + 1), "another connection")
            caught_up(server, follower)
            expect(not follower.all("reset"), "a reset, and nothing was erased")
            changes = follower.all("change")
            keys = check(server, changes)
        finally:
            follower.process.kill()
        opens = len(follower.all("open"))
        expect(opens > RESTARTS // 2, f"only {opens} connections in {RESTARTS} restarts")
        print(f"changes: {len(changes)} changes of {keys} keys in {opens} connections, {RESTARTS} restarts")
        server.stop()


if __name__ == "__main__":
    main()
