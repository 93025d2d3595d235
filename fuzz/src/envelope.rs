//! Any bytes in any envelope: identity, type, time and keys are where a plain reading of the JSON
//! finds them.

use std::sync::LazyLock;

use millpond_core::envelope::Envelope;
use millpond_core::{Event, Join, Reason};
use serde_json::Value;

use crate::{DEVICE_FLEET, USER_ACTIVITY};

/// Keys that are taken from the body whatever is around it, and from the envelope's own members.
const ORDERS: &str = r#"
name = "orders"
[key]
o = ["order.user", "data.order.user", "detail.order.user", "subject"]
[view]
last  = { latest = "order" }
at    = { max = "time" }
from  = { set = "source" }
quote = { latest = '"source"' }
"#;

static JOINS: LazyLock<[Join; 3]> =
    LazyLock::new(|| [ORDERS, DEVICE_FLEET, USER_ACTIVITY].map(|text| Join::parse(text).expect("it is right")));

/// What is read is what a plain reading finds.
pub fn run(bytes: &[u8]) {
    for join in &*JOINS {
        let Ok(event) = Event::read(join, bytes) else { continue };
        let value: Value = serde_json::from_slice(bytes).expect("an event is JSON");
        let there = |name: &str| value.get(name).is_some_and(|member| !member.is_null());
        let envelope = match () {
            () if there("specversion") => Envelope::CloudEvents,
            () if there("detail-type") && there("detail") => Envelope::EventBridge,
            () => Envelope::Native,
        };
        assert_eq!(event.envelope(), envelope);
        let text = |name: &str| value[name].as_str().expect("it is a string");
        let (id, kind) = match envelope {
            Envelope::Native => (text("id").to_owned(), text("type")),
            Envelope::CloudEvents => (format!("{} {}", text("source"), text("id")), text("type")),
            Envelope::EventBridge => (text("id").to_owned(), text("detail-type")),
        };
        assert_eq!((event.id.as_ref(), event.kind.as_ref()), (id.as_str(), kind));
        if envelope == Envelope::Native {
            assert_eq!(Some(event.timestamp), value["timestamp"].as_u64());
        }
        keys(join, &event, &value);
    }
}

fn keys(join: &Join, event: &Event<'_>, value: &Value) {
    let Some(kind) = join.type_index(&event.kind) else { return };
    let keys = match event.keys(join, kind) {
        Ok(keys) => keys,
        Err(rejection) => return assert_eq!(rejection.reason, Reason::InvalidKey),
    };
    let plain: Vec<&str> = join
        .key_sources(kind)
        .iter()
        .filter_map(|source| at(value, event.envelope(), &join.shown(source)))
        .filter_map(Value::as_str)
        .collect();
    assert!(keys.iter().all(|key| plain.contains(&key.as_ref())), "{keys:?}, and not {plain:?}");
    assert!(plain.iter().all(|key| keys.iter().any(|known| known == key)), "{keys:?}, and not {plain:?}");
}

/// The value at a path of one of the definitions here, of which none has quotes.
fn at<'v>(value: &'v Value, envelope: Envelope, path: &str) -> Option<&'v Value> {
    let body = match envelope {
        Envelope::Native => None,
        Envelope::CloudEvents => Some("data"),
        Envelope::EventBridge => Some("detail"),
    };
    let inside = body.filter(|body| path != "subject" && !path.starts_with(&format!("{body}.")));
    let path: Vec<&str> = inside.into_iter().chain(path.split('.')).collect();
    path.iter().try_fold(value, |value, segment| match value {
        Value::Array(elements) => elements.get(segment.parse::<usize>().ok()?),
        _ => value.get(segment),
    })
}
