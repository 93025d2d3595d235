//! Envelopes: the same event in each of the three gives the same view, and what is no event is
//! refused with its reason and words that help.

use millpond_core::envelope::Envelope;
use millpond_core::event::EVENT_BYTES_MAX;
use millpond_core::memory::MemoryStore;
use millpond_core::process::consumer::{Boundary, FUTURE_MS_MAX, Outcome, Read, consume, read};
use millpond_core::{Event, Join, Reason, State};
use millpond_testkit::runner;
use pollster::block_on;
use proptest::prelude::*;

const NOW: u64 = 1_769_860_800_000; // 2026-01-31T12:00:00Z

const ORDERS: &str = r#"
name = "orders"
[key]
"order-submitted" = ["order.userId", "data.order.userId"]
[view]
last   = { latest = "order" }
total  = { sum = "order.total" }
big    = { count = "order-submitted", where = "event.order.total > 50" }
at     = { max = "timestamp" }
at_too = { max = "time" }
ages   = { sum = "timestamp" }
type   = { set = "type" }
"#;

fn orders() -> Join {
    Join::parse(ORDERS).expect("the definition is right")
}

fn native(body: &str) -> String {
    format!(r#"{{"id":"o-1","type":"order-submitted","timestamp":{NOW},{body}}}"#)
}

fn cloud_event(time: &str, body: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"o-1","source":"/shop","type":"order-submitted","time":"{time}","datacontenttype":"application/json","data":{{{body}}}}}"#
    )
}

fn event_bridge(time: &str, body: &str) -> String {
    format!(
        r#"{{"version":"0","id":"o-1","detail-type":"order-submitted","source":"shop","account":"1","time":"{time}","region":"eu","resources":[],"detail":{{{body}}}}}"#
    )
}

fn document(join: &Join, text: &str) -> (String, Envelope, String) {
    let read = read(join, text.as_bytes(), NOW);
    let Ok(Read::Joins(event, kind, keys)) = read else { panic!("{text}: {read:?}") };
    assert_eq!(keys.len(), 1);
    let mut state = State::empty(join);
    state.fold(join, kind, &event);
    (state.document(join, &keys[0]), event.envelope(), event.id.to_string())
}

#[test]
fn one_definition_gives_one_view_of_all_three_envelopes() {
    let body = r#""order":{"userId":"u1","total":99.5}"#;
    let join = orders();
    let expected = format!(
        r#"{{"id":"u1","last":{{"total":99.5,"userId":"u1"}},"total":99.5,"big":1,"at":{NOW},"at_too":{NOW},"ages":{NOW},"type":["order-submitted"]}}"#
    );
    let time = "2026-01-31T12:00:00Z";
    assert_eq!(document(&join, &native(body)), (expected.clone(), Envelope::Native, "o-1".into()));
    assert_eq!(
        document(&join, &cloud_event(time, body)),
        (expected.clone(), Envelope::CloudEvents, "/shop o-1".into())
    );
    assert_eq!(document(&join, &event_bridge(time, body)), (expected, Envelope::EventBridge, "o-1".into()));
}

#[test]
fn paths_may_name_the_body_member_or_leave_it_out() {
    let text = |path: &str| format!("name='n'\nkey.t='{path}user'\nview.v={{latest='{path}v'}}");
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-31T12:00:00Z","data":{"user":"u","v":7}}"#;
    for path in ["", "data."] {
        let join = Join::parse(&text(path)).unwrap();
        assert_eq!(document(&join, event).0, r#"{"id":"u","v":7}"#, "{path}");
    }
    let event =
        r#"{"id":"1","detail-type":"t","source":"s","time":"2026-01-31T12:00:00Z","detail":{"user":"u","v":7}}"#;
    for path in ["", "detail."] {
        let join = Join::parse(&text(path)).unwrap();
        assert_eq!(document(&join, event).0, r#"{"id":"u","v":7}"#, "{path}");
    }
    let event = r#"{"id":"1","type":"t","timestamp":5,"data":{"user":"u","v":7}}"#;
    assert_eq!(document(&Join::parse(&text("data.")).unwrap(), event).0, r#"{"id":"u","v":7}"#);
    // Alone, it is a member of the body as any other.
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-31T12:00:00Z","data":{"user":"u","data":7}}"#;
    let join = Join::parse("name='n'\nkey.t='user'\nview.v={latest='data'}").unwrap();
    assert_eq!(document(&join, event).0, r#"{"id":"u","v":7}"#);
}

#[test]
fn quoted_names_of_the_envelope_mean_the_body() {
    let join = Join::parse("name='n'\nkey.t='k'\nview.own={latest='time'}\nview.body={latest='\"time\"'}").unwrap();
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"1970-01-01T00:00:01Z","data":{"k":"u","time":"noon"}}"#;
    assert_eq!(document(&join, event).0, r#"{"id":"u","own":1000,"body":"noon"}"#);
}

#[test]
fn rfc_3339_times_are_milliseconds() {
    let join = orders();
    let body = r#""order":{"userId":"u1"}"#;
    for (time, ms) in [
        ("2026-01-31T12:00:00Z", NOW),
        ("2026-01-31T12:00:00.5Z", NOW + 500),
        ("2026-01-31T12:00:00.123456789Z", NOW + 123),
        ("2026-01-31T13:30:00+01:30", NOW),
        ("2026-01-31T04:00:00-08:00", NOW),
        ("2026-01-31t12:00:00z", NOW),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ] {
        for text in [cloud_event(time, body), event_bridge(time, body)] {
            assert_eq!(Event::read(&join, text.as_bytes()).map(|event| event.timestamp), Ok(ms), "{time}");
        }
    }
    for time in [
        "",
        "noon",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "1769860800000",
    ] {
        refused(&cloud_event(time, body), Reason::InvalidTimestamp, "expected RFC 3339 after 1970");
    }
}

#[test]
fn the_identity_of_a_cloud_event_is_source_and_id() {
    let join = orders();
    let with_source = |source: &str| cloud_event("2026-01-31T12:00:00Z", "").replace("/shop", source);
    let id = |source: &str| Event::read(&join, with_source(source).as_bytes()).map(|event| event.id.into_owned());
    assert_ne!(id("/shop"), id("/shop/2"));
    refused(&with_source(""), Reason::InvalidId, "`source` is empty");
    refused(&with_source("a b"), Reason::InvalidId, "`source` has a space in it");
    assert_eq!(id(&"s".repeat(508)).map(|id| id.len()), Ok(512));
    refused(&with_source(&"s".repeat(510)), Reason::InvalidId, "514 bytes together; at most 512");
    refused(
        &cloud_event("2026-01-31T12:00:00Z", "").replace("\"source\":\"/shop\",", ""),
        Reason::InvalidId,
        "no `source`",
    );
}

/// The text is refused for this reason, with these words.
fn refused(text: &str, reason: Reason, words: &str) {
    refused_bytes(text.as_bytes(), reason, words);
}

fn refused_bytes(bytes: &[u8], reason: Reason, words: &str) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
    match read(&orders(), bytes, NOW) {
        Ok(read) => panic!("{shown}: {read:?}"),
        Err(rejection) => {
            assert_eq!(rejection.reason, reason, "{shown}: {rejection}");
            assert!(rejection.detail.contains(words), "{shown}: {rejection}");
            assert!(rejection.detail.len() < 300, "{shown}: a detail is for reading: {rejection}");
        }
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    refused_bytes(b"", Reason::InvalidJson, "EOF");
    refused_bytes(b"{\"id\":", Reason::InvalidJson, "EOF");
    refused_bytes(b"not json", Reason::InvalidJson, "line 1 column");
    refused_bytes(b"{} {}", Reason::InvalidJson, "trailing");
    refused_bytes(b"null", Reason::NotAnObject, "expected a JSON object");
    refused_bytes(b"7", Reason::NotAnObject, "expected a JSON object");
    refused_bytes(b"\"text\"", Reason::NotAnObject, "expected a JSON object");
    refused_bytes(b"[{\"id\":\"1\"}]", Reason::NotAnObject, "expected a JSON object");
    refused_bytes(b"{\"id\":\"\xff\"}", Reason::InvalidUtf8, "byte 7");
    refused_bytes(b"\xef\xbb\xbf{}", Reason::InvalidJson, "line 1");
    refused(&native(r#""a":"\ud800""#), Reason::InvalidJson, "");
    refused(&native(r#""order":{"userId":"u1","total":1e999}"#), Reason::InvalidJson, "out of range");
}

#[test]
fn depth_size_and_repeated_members_are_refused_everywhere_in_an_event() {
    let nested = |levels: usize| native(&format!(r#""x":{}1{}"#, "[".repeat(levels), "]".repeat(levels)));
    refused(&nested(32), Reason::TooDeep, "deeper than 32 levels");
    refused(&nested(100_000), Reason::TooDeep, "deeper than 32 levels");
    let order_nested =
        |levels: usize| native(&format!(r#""order":{}1{}"#, "{\"a\":".repeat(levels), "}".repeat(levels)));
    refused(&order_nested(32), Reason::TooDeep, "deeper than 32 levels");
    assert!(Event::read(&orders(), nested(31).as_bytes()).is_ok());
    assert!(Event::read(&orders(), order_nested(31).as_bytes()).is_ok());

    refused(&native(r#""id":"again""#), Reason::DuplicateMember, "`id` appears twice");
    refused(&native(r#""x":[{"é":1,"\u00e9":2}]"#), Reason::DuplicateMember, "`é` appears twice");
    refused(&native(r#""order":{"userId":"u1","userId":"u2"}"#), Reason::DuplicateMember, "`userId` appears twice");

    let of_size = |bytes: usize| {
        native(&format!(
            r#""order":{{"userId":"u1"}},"x":"{}""#,
            "x".repeat(bytes - native(r#""order":{"userId":"u1"},"x":"""#).len())
        ))
    };
    assert!(matches!(read(&orders(), of_size(EVENT_BYTES_MAX).as_bytes(), NOW), Ok(Read::Joins(..))));
    refused(&of_size(EVENT_BYTES_MAX + 1), Reason::TooLarge, "an event has at most 399360");
}

#[test]
fn identity_type_timestamp_and_key_must_be_proper() {
    let event = |id: &str, kind: &str, timestamp: &str, user: &str| {
        format!(r#"{{"id":{id},"type":{kind},"timestamp":{timestamp},"order":{{"userId":{user}}}}}"#)
    };
    let (id, kind, timestamp, user) = ("\"1\"", "\"order-submitted\"", "1769860800000", "\"u1\"");
    assert!(matches!(read(&orders(), event(id, kind, timestamp, user).as_bytes(), NOW), Ok(Read::Joins(..))));
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    for (odd, words) in [
        ("null", "no `"),
        ("\"\"", "is empty"),
        ("7", "is `7`; expected a string"),
        ("true", "is `true`; expected a string"),
        ("[\"1\"]", "is `[\"1\"]`; expected a string"),
        ("\"a\\u0000b\"", "has a control character in it"),
        ("\"a\\n\"", "has a control character in it"),
        ("\"\u{7f}\"", "has a control character in it"),
    ] {
        refused(&event(odd, kind, timestamp, user), Reason::InvalidId, words);
        refused(&event(id, odd, timestamp, user), Reason::InvalidType, words);
        let words = words.replace("no `", "no key at `order.userId` or `data.order.userId`");
        refused(&event(id, kind, timestamp, odd), Reason::InvalidKey, &words);
    }
    refused(&event(&long(513), kind, timestamp, user), Reason::InvalidId, "`id` has 513 bytes; at most 512");
    refused(&event(id, &long(257), timestamp, user), Reason::InvalidType, "`type` has 257 bytes; at most 256");
    refused(
        &event(id, kind, timestamp, &long(1025)),
        Reason::InvalidKey,
        "key at `order.userId` has 1025 bytes; at most 1024",
    );
    assert!(read(&orders(), event(&long(512), kind, timestamp, &long(1024)).as_bytes(), NOW).is_ok());
    refused(r#"{"type":"t","timestamp":1}"#, Reason::InvalidId, "no `id`");
    refused(r#"{"id":"1","timestamp":1}"#, Reason::InvalidType, "no `type`");
    refused(r#"{"id":"1","type":"t"}"#, Reason::InvalidTimestamp, "no `timestamp`; expected milliseconds since 1970");
    for odd in
        ["\"1769860800000\"", "1.5", "1e3", "-1", "-0", "true", "{}", "253402300800000", "99999999999999999999999"]
    {
        refused(
            &event(id, kind, odd, user),
            Reason::InvalidTimestamp,
            &format!("`timestamp` is `{odd}`; expected whole milliseconds"),
        );
    }
    refused(&event(id, kind, "null", user), Reason::InvalidTimestamp, "no `timestamp`");
    refused(
        &event(&format!("[{}1]", "1,".repeat(900)), kind, timestamp, user),
        Reason::InvalidId,
        "…`; expected a string",
    );
}

#[test]
fn the_clock_may_differ_by_five_minutes_and_no_more() {
    let at = |timestamp: u64| native(r#""order":{"userId":"u1"}"#).replace(&NOW.to_string(), &timestamp.to_string());
    assert!(matches!(read(&orders(), at(NOW + FUTURE_MS_MAX).as_bytes(), NOW), Ok(Read::Joins(..))));
    refused(&at(NOW + FUTURE_MS_MAX + 1), Reason::Future, "300 s ahead of the clock; at most 300 s");
    refused(&at(253_402_300_799_999), Reason::Future, "ahead of the clock");
    for ancient in [0, 1] {
        assert!(matches!(read(&orders(), at(ancient).as_bytes(), NOW), Ok(Read::Joins(..))));
    }
    assert!(matches!(read(&orders(), at(u64::MAX / 1_000_000).as_bytes(), u64::MAX), Ok(Read::Joins(..))));
}

#[test]
fn each_reason_is_kept_with_the_bytes_it_is_about() {
    let (join, store) = (orders(), MemoryStore::default());
    let first = native(r#""order":{"userId":"u1"}"#);
    let conflicting = native(r#""order":{"userId":"u1","total":2}"#);
    let deep = "[".repeat(50);
    let large = " ".repeat(EVENT_BYTES_MAX + 1);
    let far = first.replace(&NOW.to_string(), &(NOW * 2).to_string());
    let cases: [(&[u8], Reason); 12] = [
        (b"\xff", Reason::InvalidUtf8),
        (b"{", Reason::InvalidJson),
        (b"[]", Reason::NotAnObject),
        (deep.as_bytes(), Reason::TooDeep),
        (b"{\"a\":1,\"a\":1}", Reason::DuplicateMember),
        (large.as_bytes(), Reason::TooLarge),
        (b"{}", Reason::InvalidId),
        (b"{\"id\":\"1\"}", Reason::InvalidType),
        (b"{\"id\":\"1\",\"type\":\"t\"}", Reason::InvalidTimestamp),
        (far.as_bytes(), Reason::Future),
        (b"{\"id\":\"1\",\"type\":\"order-submitted\",\"timestamp\":1}", Reason::InvalidKey),
        (conflicting.as_bytes(), Reason::Conflict),
    ];
    let outcomes = block_on(consume(&store, &join, first.as_bytes(), NOW, Boundary::Snapshot)).unwrap();
    assert!(matches!(outcomes[..], [Outcome::Accepted { .. }]));
    for (bytes, reason) in cases {
        let outcomes = block_on(consume(&store, &join, bytes, NOW, Boundary::Snapshot)).unwrap();
        let [Outcome::Quarantined(rejection)] = &outcomes[..] else { panic!("{reason}: {outcomes:?}") };
        assert_eq!(rejection.reason, reason);
        assert!(!rejection.detail.is_empty());
    }
    let kept = store.quarantined();
    assert_eq!(kept.iter().map(|kept| (&kept.bytes[..], kept.rejection.reason)).collect::<Vec<_>>(), cases);
    assert!(kept.iter().all(|kept| kept.at == NOW));
    // The one reason that is for inputs, not events, is the only one that is not provoked here.
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !cases.iter().any(|(_, case)| case == *reason)).collect();
    assert_eq!(missing, [&Reason::BrokenInput]);
    let codes: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
}

#[test]
fn what_an_event_is_does_not_depend_on_what_is_wanted_of_it() {
    // A definition can change: what one accepted, another must be able to read.
    let wants = Join::parse("name='n'\nkey.t='k'\nview.a={latest='v'}\nview.b={sum='w.x'}").unwrap();
    let wants_not = Join::parse("name='n'\nkey.t='k'\nview.a={count='t'}").unwrap();
    for value in [
        "1e999",
        "-1e999",
        "1e308",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"\\ud83d\\ude42\"",
        "\"\\q\"",
        "01",
        "1.",
        "tru",
        "[1e999]",
        "{\"x\":\"\\ud800\"}",
        "{\"x\":1e400}",
        "{\"x\":5,\"x\":5}",
        "nul",
        "\"\t\"",
    ] {
        for member in ["v", "w"] {
            let long_zeros = value.replace("1.", &format!("{}.", "1".repeat(400)));
            let text = format!(r#"{{"id":"1","type":"t","timestamp":1,"k":"u","{member}":{long_zeros}}}"#);
            let reasons = [&wants, &wants_not]
                .map(|join| Event::read(join, text.as_bytes()).map(|_| ()).map_err(|rejection| rejection.reason));
            assert_eq!(reasons[0], reasons[1], "{text}");
        }
    }
    let long = format!(r#"{{"id":"1","type":"t","timestamp":1,"k":"u","v":{}}}"#, "1".repeat(400));
    assert_eq!(Event::read(&wants, long.as_bytes()).is_ok(), Event::read(&wants_not, long.as_bytes()).is_ok());
}

#[test]
fn a_stored_body_reads_the_same_again() {
    let join = orders();
    let body = r#""order":{"userId":"u1","total":1}"#;
    let time = "2026-01-31T12:00:00Z";
    for text in [native(body), cloud_event(time, body), event_bridge(time, body)] {
        let store = MemoryStore::default();
        let outcomes = block_on(consume(&store, &join, text.as_bytes(), NOW, Boundary::Snapshot)).unwrap();
        let [Outcome::Accepted { row, .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
        let again = Event::read(&join, row.body.as_bytes()).unwrap();
        assert_eq!(again.position().to_position(), row.position);
        assert_eq!(again.text, text);
    }
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let pieces = proptest::sample::select(
        &[
            "{",
            "}",
            "[",
            "]",
            "\"",
            ":",
            ",",
            "\"id\":",
            "\"1\"",
            "\"type\":",
            "\"order-submitted\"",
            "\"timestamp\":",
            "1769860800000",
            "\"order\":",
            "{\"userId\":\"u1\"}",
            "\"specversion\":\"1.0\"",
            "\"data\":",
            "\"time\":",
            "\"detail\":",
            "\"detail-type\":",
            "\\u",
            "\\ud800",
            "é",
            "1e999",
            "-",
            "null",
            " ",
            "0.1",
        ][..],
    );
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        (any::<u16>(), any::<u8>(), 0..3usize).prop_map(|(place, byte, which)| {
            let body = r#""order":{"userId":"u1","total":1.5e1}"#;
            let time = "2026-01-31T12:00:00Z";
            let mut bytes =
                [native(body), cloud_event(time, body), event_bridge(time, body)][which].clone().into_bytes();
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
            bytes
        }),
    ];
    let join = orders();
    let lived = runner(3000).run(&bytes, |bytes| {
        if let Ok(Read::Joins(event, kind, _)) = read(&join, &bytes, NOW) {
            let mut state = State::empty(&join);
            state.fold(&join, kind, &event);
            let document: Result<serde_json::Value, _> = serde_json::from_str(&state.document(&join, "k"));
            prop_assert!(document.is_ok(), "{}", state.document(&join, "k"));
        }
        Ok(())
    });
    lived.unwrap();
}

/// A native event may have a member that EventBridge has too: it takes both to be an event of EventBridge.
#[test]
fn a_native_event_with_one_member_of_eventbridge_stays_native() {
    for member in [r#""detail-type":"x""#, r#""detail":{"x":1}"#] {
        let event = native(&format!(r#""order":{{"userId":"u-1","total":3}},{member}"#));
        let read = Event::read(&orders(), event.as_bytes()).expect("it is an event");
        assert_eq!(read.envelope(), Envelope::Native, "{member}");
    }
}

/// The envelope's own members can be keys: the subject of a CloudEvent, or its source.
#[test]
fn source_and_subject_of_the_envelope_can_be_keys() {
    let join = Join::parse(
        "name = \"j\"\n[key]\n\"order-submitted\" = [\"source\", \"subject\"]\n[view]\nn = { count = \"order-submitted\" }\n",
    )
    .expect("the definition is right");
    let event = cloud_event("2026-01-31T12:00:00Z", "").replacen("{", r#"{"subject":"lamp-7","#, 1);
    let outcomes =
        block_on(consume(&MemoryStore::default(), &join, event.as_bytes(), NOW, Boundary::Snapshot)).unwrap();
    let key = |outcome| if let Outcome::Accepted { key, .. } = outcome { Some(key) } else { None };
    let keys: Vec<_> = outcomes.into_iter().filter_map(key).collect();
    assert_eq!(keys, ["/shop".into(), "lamp-7".into()]);
}
