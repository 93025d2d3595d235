"""What schemathesis cannot know from the document: names that are there, definitions and events
that say something, and which refusals are meant. Requests that shall be wrong stay as they are."""

import json

import schemathesis
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import AcceptedNegativeData, RejectedPositiveData

from common import EXAMPLES

JOINS = {"user-activity": ["user-1", "user-2", "user-3"], "device-fleet": ["dev-1", "dev-2"]}
DEFINITION = (EXAMPLES / "user-activity" / "join.toml").read_text()
EVENTS = [json.loads(line) for line in (EXAMPLES / "user-activity" / "events.ndjson").read_text().splitlines()]


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """In every other sound request, names and bodies of things that are there."""
    name = case.operation.definition.raw.get("operationId")
    if not sound(case) or name is None:
        return
    chance = sum(map(ord, case.id))
    if "join" in case.path_parameters and name not in ("removeJoin", "putJoin"):
        join = list(JOINS)[chance % 2]
        case.path_parameters["join"] = join
        if "key" in case.path_parameters and chance % 3:
            case.path_parameters["key"] = JOINS[join][chance % len(JOINS[join])]
    if name in ("putJoin", "removeJoin"):
        # The joins of the others stay.
        case.path_parameters["join"] = f"spare-{chance % 3}"
    if name in ("putJoin", "checkDefinition") and chance % 3:
        case.body = DEFINITION.replace("user-activity", case.path_parameters.get("join", "spare"))
    if name in ("putEvents", "putEventsToJoin") and chance % 2:
        case.body = body(case.media_type, EVENTS[chance % 7 :])
    if name == "followChanges":
        # From now on, a stream may say nothing for long.
        case.query = {**(case.query or {}), "from": "start"}


def sound(case):
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


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
    rules = ("`at` and `explain` exclude each other", "the body does not say which events are meant")
    return any(rule in refusal(failure, response) for rule in rules)


def fields_are_those_of_the_join(failure, case, response):
    """Which fields `where` may name depends on the join; the answer lists them."""
    return "; the views have `id`, " in refusal(failure, response)


def refusal(failure, response):
    """What was said to a request that follows the document."""
    return response.json()["detail"] if isinstance(failure, RejectedPositiveData) else ""


DELIBERATE = [wrong_events_go_into_quarantine, some_members_exclude_each_other, fields_are_those_of_the_join]
