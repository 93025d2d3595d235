"""What schemathesis cannot know from the document: names that are there, definitions and events
that say something, and which refusals are meant. Requests that shall be wrong stay as they are."""

import json
import os
import urllib.request
import zlib

import schemathesis
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import AcceptedNegativeData, RejectedPositiveData

from common import EXAMPLES

# Keys of the joins that openapi.py serves.
JOINS = {"hurried": ["user-1", "user-2", "user-3"], "device-fleet": ["north", "south"]}
DEFINITION = (EXAMPLES / "user-activity" / "join.toml").read_text()
EVENTS = [json.loads(line) for line in (EXAMPLES / "user-activity" / "events.ndjson").read_text().splitlines()]


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """In every other sound request, names and bodies of things that are there."""
    name = case.operation.definition.raw.get("operationId")
    if name in ("putJoin", "removeJoin") and case.path_parameters.get("join") in JOINS:
        # The joins of the others stay, whatever is wrong with the request.
        case.path_parameters["join"] = "spare-0"
    if not sound(case) or name is None:
        return
    # By what is sent, so that the next run does the same.
    chance = zlib.crc32(repr((name, case.path_parameters, case.query, case.body)).encode(errors="replace"))
    if "join" in case.path_parameters and name not in ("removeJoin", "putJoin"):
        join = list(JOINS)[chance % 2]
        case.path_parameters["join"] = join
        if "key" in case.path_parameters and chance % 3:
            case.path_parameters["key"] = JOINS[join][chance % len(JOINS[join])]
    if "id" in case.path_parameters and chance % 3:
        case.path_parameters["id"] = some_entry(join)
    if name in ("putJoin", "removeJoin"):
        case.path_parameters["join"] = f"spare-{chance % 3}"
    if name in ("putJoin", "checkDefinition") and chance % 3:
        case.body = DEFINITION.replace("user-activity", case.path_parameters.get("join", "spare"))
    if name == "previewJoin" and chance % 3:
        case.body = {"definition": DEFINITION, "events": body("application/x-ndjson", EVENTS[chance % 7 :])}
    if name in ("putEvents", "putEventsToJoin") and chance % 2:
        case.body = body(case.media_type, EVENTS[chance % 7 :])
    if name in ("acceptLate", "dropLate") and chance % 2:
        case.body = {"key": late["key"], "position": late["position"]} if (late := some_late()) else {"all": True}
        case.path_parameters["join"] = "hurried"
    if name == "followChanges":
        # From now on, a stream may say nothing for long.
        case.query = {**(case.query or {}), "from": "start"}


def sound(case):
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


def some_entry(join):
    """An entry of the quarantine, or an id that none has."""
    entries = asked(f"/v1/quarantine/{join}?limit=1")["quarantine"]
    return entries[0]["id"] if entries else "0" * 32


def some_late():
    entries = asked("/v1/late/hurried?limit=1")["late"]
    return entries[0] if entries else None


def asked(path):
    with urllib.request.urlopen(os.environ["MILLPOND_URL"] + path) as answer:
        return json.load(answer)


def body(media_type, events):
    if media_type == "application/cloudevents+json":
        return cloud_event(events[0])
    if media_type == "application/cloudevents-batch+json":
        return [cloud_event(event) for event in events]
    if media_type == "application/json":
        return events
    return "\n".join(map(json.dumps, events))


def cloud_event(event):
    return {"specversion": "1.0", "source": "/peers", "time": "2026-01-02T03:04:05Z", "data": event, **naming(event)}


def naming(event):
    return {"id": event["id"], "type": event["type"]}


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """Whether a failure counts. Each that does not is a promise of docs/http.md."""
    return not any(reason(failure, case, response) for reason in DELIBERATE)


def wrong_events_go_into_quarantine(failure, case, response):
    """A piece of a body that is no event is kept and named; it costs the others nothing."""
    if not isinstance(failure, AcceptedNegativeData) or not case.path.startswith("/v1/events"):
        return False
    answers = response.json()["events"]
    return all(answer["status"] in ("quarantined", "duplicate", "ignored", "accepted") for answer in answers)


def some_members_exclude_each_other(failure, case, response):
    """Rules between parameters, or between members of a choice: the document has them in words."""
    rules = ("`at` and `explain` exclude each other", "`field` and `limit` go with `explain`", "the body does not say which events are meant")
    return any(rule in refusal(failure, response) for rule in rules)


def fields_are_those_of_the_join(failure, case, response):
    """Which fields `where` may name depends on the join; the answer lists them. Numbers are bounded
    by their digits, not by their size."""
    rules = ("; the views have `", "numbers have at most 28 digits on each side of the point")
    return any(rule in refusal(failure, response) for rule in rules)


def ids_of_changes_are_opaque(failure, case, response):
    """An id that the stream did not give is refused; what makes one is nobody's business."""
    rules = ("expected an id that the stream gave", "is no place in a stream of changes")
    return any(rule in refusal(failure, response) for rule in rules)


def refusal(failure, response):
    """What was said to a request that follows the document."""
    return response.json()["detail"] if isinstance(failure, RejectedPositiveData) else ""


DELIBERATE = [
    wrong_events_go_into_quarantine,
    some_members_exclude_each_other,
    fields_are_those_of_the_join,
    ids_of_changes_are_opaque,
]
