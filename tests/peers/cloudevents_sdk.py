"""The CloudEvents SDK for Python gives events to the server in every mode of the HTTP binding; the
answers, the stored events and the views must be what was sent."""

import base64
import json
from datetime import datetime, timezone

from cloudevents.core.bindings.http import HTTPMessage, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from common import Server, expect

JOIN = "messages"
DEFINITION = """
name = "messages"
[key]
"com.example.said" = "subject"
[view]
said  = { count = "com.example.said" }
text  = { latest = "data.text" }
total = { sum = "data.amount" }
# Extensions, and data that is no JSON, are for conditions; events are stored as they came.
shop  = { count = "com.example.said", where = 'event.myshop == "Köln %41 \\"x\\""' }
plain = { count = "com.example.said", where = 'event.data == "a \\"plain\\" text, ü"' }
bytes = { count = "com.example.said", where = 'has(event.data_base64)' }
"""
FORMAT = JSONFormat()
# A key with everything that needs care in a header, a URL or JSON.
SUBJECT = "Zoë %20/\"\\ 100% 日本 😀"
TEXTS = ["plain", "Ünïcödé", "日本語", "😀 \"quoted\" \\ %41 \t tab", ""]


def event(number, subject=SUBJECT, data=None, content_type="application/json", **extensions):
    attributes = {
        "id": f"m {number} é",
        "source": "https://example.com/shop?a=1&b=ü#x",
        "type": "com.example.said",
        "subject": subject,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678000 + number % 1000, tzinfo=timezone.utc),
        "datacontenttype": content_type,
        **extensions,
    }
    return CloudEvent({name: value for name, value in attributes.items() if value is not None}, data)


def structured(sent):
    message = to_structured(sent, FORMAT)
    return message.headers, message.body


def binary(sent):
    message = to_binary(sent, FORMAT)
    return message.headers, message.body


def batch(*sent):
    """The SDK writes the events; the batch format only puts them into an array."""
    body = b"[" + b",".join(FORMAT.write(one) for one in sent) + b"]"
    return {"content-type": "application/cloudevents-batch+json; charset=utf-8"}, body


class Peer:
    def __init__(self, server):
        self.server = server

    def gives(self, message, *statuses, status=200):
        headers, body = message
        found, answer = self.server.request("POST", f"/v1/events/{JOIN}", body, headers)
        expect(found == status, f"answered {found}, expected {status}: {answer.decode()}\n{headers}\n{body[:300]}")
        answer = json.loads(answer)
        if status == 200:
            told = [event["status"] for event in answer["events"]]
            expect(told == list(statuses), f"told {answer['events']}, expected {statuses}\n{headers}\n{body[:300]}")
            expect(answer["received"] == len(statuses), f"counted {answer}")
        return answer

    def view(self, key):
        return self.server.get(f"/v1/views/{JOIN}/{quoted(key)}")

    def stored(self, key):
        page = self.server.get(f"/v1/views/{JOIN}/{quoted(key)}/events?limit=1000")
        return {entry["id"]: entry["event"] for entry in page["events"]}

    def sees(self, key, **fields):
        view = self.view(key)
        expect(view["id"] == key, f"the view of {key!r} says {view}")
        for name, value in fields.items():
            expect(view[name] == value, f"{name} of {key!r} is {view[name]!r}, expected {value!r}")


def quoted(key):
    from urllib.parse import quote

    return quote(key, safe="")


def each_mode_gives_the_same(peer):
    """One event in any mode is one event: the others are duplicates, and it reads back as it was."""
    sent = event(1, data={"text": "Zoë 日本 😀", "amount": 1}, traceparent="00-ab-cd-01", myshop="Köln %41 \"x\"")
    for first, others in [(binary, (structured, batch)), (structured, (binary, batch)), (batch, (structured, binary))]:
        subject = f"{first.__name__} {SUBJECT}"
        one = event(1, subject, sent.get_data(), traceparent="00-ab-cd-01", myshop="Köln %41 \"x\"")
        peer.gives(first(one), "accepted")
        for other in others:
            taken = peer.gives(other(one), "duplicate")
            expect(taken["accepted"] == 0, f"{other.__name__} after {first.__name__} counted {taken}")
        peer.sees(subject, said=1, text="Zoë 日本 😀", total=1, shop=1)
        (stored,) = peer.stored(subject).values()
        read = from_structured(HTTPMessage({}, json.dumps(stored).encode()), FORMAT)
        expect(read.get_data() == one.get_data(), f"stored {stored}")
        for name, value in one.get_attributes().items():
            expect(read.get_attributes()[name] == value, f"{name} was stored as {read.get_attributes()[name]!r}")


def texts_and_numbers_come_through(peer):
    for mode in (structured, binary):
        for number, text in enumerate(TEXTS):
            subject = f"text {number} {mode.__name__}"
            peer.gives(mode(event(number, subject, {"text": text, "amount": 0.1})), "accepted")
            peer.sees(subject, said=1, text=text, total=0.1)


def data_that_is_no_json(peer):
    said = "a \"plain\" text, ü"
    peer.gives(binary(event(1, "plain", said, "text/plain; charset=utf-8")), "accepted")
    peer.sees("plain", said=1, plain=1, bytes=0)
    peer.gives(structured(event(1, "plain", said, "text/plain; charset=utf-8")), "duplicate")
    picture = bytes(range(256))
    peer.gives(binary(event(1, "picture", picture, "image/png")), "accepted")
    peer.sees("picture", said=1, plain=0, bytes=1)
    (stored,) = peer.stored("picture").values()
    expect(stored["data_base64"] == base64.b64encode(picture).decode(), f"stored {stored}")
    expect(stored["datacontenttype"] == "image/png", f"stored {stored}")
    peer.gives(structured(event(1, "picture", picture, "image/png")), "duplicate")
    xml = "<a>ü</a>".encode()
    peer.gives(binary(event(1, "xml", xml, "application/xml")), "accepted")
    peer.sees("xml", said=1, bytes=1)
    peer.gives(structured(event(1, "xml", xml, "application/xml")), "duplicate")
    peer.gives(structured(event(1, "none", None, None)), "accepted")
    peer.sees("none", said=1, text=None, total=0, bytes=0)


def batches(peer):
    many = [event(number, "batch", {"text": str(number), "amount": number}) for number in range(100)]
    peer.gives(batch(*many), *["accepted"] * 100)
    peer.gives(batch(*many[:10], event(100, "batch", {"amount": 100})), *["duplicate"] * 10, "accepted")
    peer.gives(batch())
    peer.sees("batch", said=101, total=sum(range(101)))
    expect(len(peer.stored("batch")) == 101, "not all of the batch is stored")


def what_is_wrong_is_said(peer):
    """One wrong event costs no other, and what is no message costs nothing."""
    headers, body = structured(event(1, "wrong"))
    no_id = json.dumps({name: value for name, value in json.loads(body).items() if name != "id"}).encode()
    answer = peer.gives((headers, no_id), "quarantined")
    expect("id" in answer["events"][0]["detail"], f"the answer does not say that the id is missing: {answer}")
    future = CloudEvent({**event(2, "wrong").get_attributes(), "time": datetime(2999, 1, 1, tzinfo=timezone.utc)}, {})
    peer.gives(batch(event(3, "wrong"), future, event(4, "wrong")), "accepted", "quarantined", "accepted")
    peer.sees("wrong", said=2)
    for bad in [(headers, body[:-5]), (headers, b""), (batch()[0], body), (batch()[0], b"[" + body)]:
        problem = peer.gives(bad, status=400)
        expect(problem["type"] == "urn:millpond:bad-request", f"not the right problem: {problem}")
    binary_headers, _ = binary(event(5, "wrong"))
    peer.gives((binary_headers, b"{no json"), status=400)
    problem = peer.gives(({"content-type": "application/cloudevents+avro"}, b"x"), status=415)
    expect("application/cloudevents+json" in problem["detail"], f"it does not say what to send: {problem}")
    peer.sees("wrong", said=2)


def main():
    with Server() as server:
        status, body = server.request("PUT", f"/v1/joins/{JOIN}", DEFINITION.encode(), {"content-type": "application/toml"})
        expect(status == 201, f"the join was not made: {status} {body.decode()}")
        peer = Peer(server)
        stories = [each_mode_gives_the_same, texts_and_numbers_come_through, data_that_is_no_json, batches]
        for story in [*stories, what_is_wrong_is_said]:
            story(peer)
            print(f"cloudevents: {story.__name__.replace('_', ' ')}")
        _, body = server.request("POST", f"/v1/joins/{JOIN}/verify")
        expect(json.loads(body)["differences"] == 0, f"verify found {body.decode()}")
        server.stop()


if __name__ == "__main__":
    main()
