//! What Lambda hands over, and what the Kinesis Producer Library puts into a record.

use std::collections::BTreeMap;

use millpond_aws::handlers::payload::{Change, Payload, asked, change, kinesis};
use millpond_aws::items::sequence;
use millpond_aws::kpl::user_records;
use serde_json::value::RawValue;

/// What an aggregate begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// A payload; or, behind a first byte that JSON never begins with, an aggregate.
pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0xf3, message)) => aggregate(message),
        _ => payload(bytes),
    }
}

fn payload(bytes: &[u8]) {
    // Members that are not read may hold bytes that are no text, and numbers that are too large.
    let text = String::from_utf8_lossy(bytes);
    let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(&text).ok();
    // serde takes an array for a struct too.
    let is_there =
        |name: &str| members.as_ref().is_none_or(|them| them.get(name).is_some_and(|raw| raw.get() != "null"));
    match Payload::read(bytes, "something") {
        Ok(Payload::Records(records)) => {
            assert!(is_there("Records"));
            for record in records {
                read_anyhow(record);
            }
        }
        Ok(Payload::Keys(keys)) => {
            assert!(members.is_none() || !is_there("Records") && (is_there("key") || is_there("keys")));
            assert!(is_there("keys") || keys.len() == 1);
        }
        Err(error) => assert!(error.to_string().contains("expected something")),
    }
}

fn read_anyhow(record: &RawValue) {
    if let Ok(read) = kinesis(record) {
        // An aggregate's parts lie in it, and are no more than it is.
        let parts = user_records(&read.data);
        assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= read.data.len());
    }
    if let Ok(Change::Inserted { row, .. }) = change(record) {
        assert!(!sequence(row.position.at()).is_empty());
    }
    if let Ok(asked) = asked(record) {
        let Ok(message) = serde_json::from_str::<BTreeMap<String, &RawValue>>(record.get()) else { return };
        let body: String = serde_json::from_str(message["body"].get()).expect("it was read");
        let wanted: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(&body).ok();
        if let (Ok(key), Some(wanted)) = (asked.key, wanted) {
            assert_eq!(serde_json::from_str::<String>(wanted["key"].get()).ok(), Some(key));
        }
    }
}

/// The digest is put behind the message here: no fuzzer finds one.
fn aggregate(message: &[u8]) {
    let sealed = [&MAGIC[..], message, &md5::compute(message).0].concat();
    let records = user_records(&sealed);
    assert_eq!(records, user_records(&sealed));
    let is_itself = records == [&sealed[..]];
    let inside = |part: &[u8]| part.is_empty() || message.windows(part.len()).any(|window| window == part);
    assert!(is_itself || records.iter().all(|part| inside(part)), "a record that is not in it");
    let unsealed = [&MAGIC[..], message].concat();
    assert!(user_records(&unsealed).len() <= message.len() + 1);
}
