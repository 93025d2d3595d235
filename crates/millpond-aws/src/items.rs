//! The items of the two tables: rows and views as attributes, and back. `docs/aws-items.md` tells
//! their readers the same.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use millpond_core::store::Row;
use millpond_core::{At, Fingerprint, Join, Position, Snapshot, State, View};
use serde_json::value::RawValue;

/// An item of a table.
pub type Item = HashMap<String, AttributeValue>;

/// The partition key of both tables: the join key.
pub const ID: &str = "id";
/// The sort key of the events table: a row's position.
pub const SEQUENCE: &str = "sequence";
/// A row's event, as it was received.
pub const EVENT: &str = "event";
/// When a row was written, in milliseconds since 1970 UTC.
pub const PUT_AT: &str = "put_at";

/// A view's version; a write is conditional on it.
pub const VERSION: &str = "_version";
/// The definition that made a view.
pub const FINGERPRINT: &str = "_fingerprint";
/// Counts the deployments of definitions: a newer one's views are not an older one's to write.
pub const GENERATION: &str = "_generation";
const EVENTS: &str = "_events";
const FOLDED_TO: &str = "_folded_to";
const TRIMMED_TO: &str = "_trimmed_to";
const STATE: &str = "_state";
const SNAPSHOT: &str = "_snapshot";
const OVERFLOW: &str = "_overflow";
/// Rows may be stored that the view has not folded.
pub const BEHIND: &str = "_behind";
/// Inside a snapshot.
const THROUGH: &str = "through";
const CLOSED_AT: &str = "closed_at";
const SNAPSHOT_EVENTS: &str = "events";
const SNAPSHOT_STATE: &str = "state";

/// A snapshot's state that is larger lies in an item of its own: every write of a view is billed
/// for the whole item.
const SNAPSHOT_BYTES_INLINE: usize = 1024;
/// What a view's item may hold; DynamoDB's limit is 400 KB.
const ITEM_BYTES_MAX: usize = 390 * 1024;
/// Digits of a number; DynamoDB refuses more.
const DIGITS_MAX: usize = 38;
/// Digits before the first place: DynamoDB's numbers end at 1e126.
const MAGNITUDE_MAX: i64 = 125;
const MAGNITUDE_MIN: i64 = -128;
/// Levels of a field's value; DynamoDB's limit is 32, and a field of an item is one.
const DEPTH_MAX: usize = 30;
/// Digits of the latest timestamp there is.
const TIMESTAMP_DIGITS: usize = 15;

/// Why an item is not what was stored.
#[derive(Debug, thiserror::Error)]
#[error("the item of key `{key}` is damaged: {what}")]
pub struct Damaged {
    /// Its join key.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// A view is larger than an item may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// What its item would take.
    pub bytes: usize,
}

/// A view as it is stored.
#[derive(Debug, PartialEq)]
pub struct ViewItems {
    /// The view's item.
    pub view: Item,
    /// The item of its snapshot, if that is too large to lie in the view's.
    pub snapshot: Option<Item>,
}

/// What a view's item says.
#[derive(Debug, PartialEq)]
pub struct StoredView {
    /// The view; without its snapshot's state if that lies apart.
    pub view: Box<View>,
    /// Whether the snapshot's state lies in the item of [`snapshot_id`].
    pub is_split: bool,
    /// It grew larger than an item may be: rows are kept, and not folded any more. It is as it was
    /// before that.
    pub is_overflow: bool,
}

/// A position as text whose order is that of positions.
#[must_use]
pub fn sequence(at: At<'_>) -> String {
    format!("{:0TIMESTAMP_DIGITS$}/{}", at.timestamp, at.id)
}

/// Reads [`sequence`].
#[must_use]
pub fn position(sequence: &str) -> Option<Position> {
    let (timestamp, id) = sequence.split_once('/')?;
    // Nothing else: another spelling of a time has another place in the order of text.
    if timestamp.len() != TIMESTAMP_DIGITS || !timestamp.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(Position::new(timestamp.parse().ok()?, id))
}

/// The partition key of the item that holds a key's snapshot. No join key has a control character.
#[must_use]
pub fn snapshot_id(key: &str) -> String {
    format!("{key}\u{1f}snapshot")
}

/// The join key of a view's item; `None` for that of a snapshot.
#[must_use]
pub fn view_key(item: &Item) -> Option<&str> {
    item.get(ID)?.as_s().ok().map(String::as_str).filter(|id| !id.contains('\u{1f}'))
}

/// A row's item.
#[must_use]
pub fn row_item(key: &str, row: &Row) -> Item {
    Item::from([
        (ID.into(), text(key)),
        (SEQUENCE.into(), text(sequence(row.position.at()))),
        (EVENT.into(), text(&*row.body)),
        (PUT_AT.into(), number(row.put_at)),
    ])
}

/// Reads [`row_item`]: its key and row.
///
/// # Errors
/// What is wrong with it.
pub fn row(item: &Item) -> Result<(&str, Row), Damaged> {
    let read = Reader::new(item);
    let position = read.position(SEQUENCE)?;
    Ok((read.text(ID)?, Row { position, put_at: read.number(PUT_AT)?, body: read.text(EVENT)?.into() }))
}

/// A view's items: its document's fields at the top level, and beside them what it takes to go on.
///
/// # Errors
/// If an item would be too large.
pub fn view_items(join: &Join, key: &str, view: &View, generation: u64) -> Result<ViewItems, TooLarge> {
    let mut item = Item::from([
        (ID.into(), text(key)),
        (VERSION.into(), number(view.version)),
        (FINGERPRINT.into(), text(view.fingerprint.to_string())),
        (GENERATION.into(), number(generation)),
        (EVENTS.into(), number(view.events)),
        (FOLDED_TO.into(), text(sequence(view.folded_to.at()))),
        (STATE.into(), blob(view.state.to_bytes())),
    ]);
    if view.behind {
        item.insert(BEHIND.into(), AttributeValue::Bool(true));
    }
    if let Some(trimmed_to) = &view.trimmed_to {
        item.insert(TRIMMED_TO.into(), text(sequence(trimmed_to.at())));
    }
    let mut apart = None;
    if let Some(snapshot) = &view.snapshot {
        let (inline, state) = (snapshot_map(snapshot), snapshot.state.to_bytes());
        if state.len() <= SNAPSHOT_BYTES_INLINE {
            let state = (SNAPSHOT_STATE.into(), blob(state));
            item.insert(SNAPSHOT.into(), AttributeValue::M(inline.into_iter().chain([state]).collect()));
        } else {
            item.insert(SNAPSHOT.into(), AttributeValue::M(inline.clone()));
            let rest = [(ID.into(), text(snapshot_id(key))), (SNAPSHOT_STATE.into(), blob(state))];
            apart = Some(inline.into_iter().chain(rest).collect());
        }
    }
    item.extend(fields(&view.state.document(join, key)));
    for item in [Some(&item), apart.as_ref()].into_iter().flatten() {
        let bytes = item_bytes(item);
        if bytes > ITEM_BYTES_MAX {
            return Err(TooLarge { bytes });
        }
    }
    Ok(ViewItems { view: item, snapshot: apart })
}

fn snapshot_map(snapshot: &Snapshot) -> Item {
    Item::from([
        (THROUGH.into(), text(sequence(snapshot.through.at()))),
        (SNAPSHOT_EVENTS.into(), number(snapshot.events)),
        (CLOSED_AT.into(), number(snapshot.closed_at)),
    ])
}

/// The names and values of an update that marks a view as too large.
#[must_use]
pub fn overflow_marks(view: &View, generation: u64) -> Item {
    Item::from([
        (VERSION.into(), number(view.version)),
        (FINGERPRINT.into(), text(view.fingerprint.to_string())),
        (GENERATION.into(), number(generation)),
        (OVERFLOW.into(), AttributeValue::Bool(true)),
    ])
}

/// What must not stay beside the marks of a view that was another definition's: its state, and its snapshot, but for
/// that of an erased key.
#[must_use]
pub fn made_by_another(next: &View) -> Vec<&'static str> {
    let is_kept = next.snapshot.as_ref().is_some_and(Snapshot::is_of_erased);
    [STATE].into_iter().chain((!is_kept).then_some(SNAPSHOT)).collect()
}

/// Which deployment wrote a view.
///
/// # Errors
/// If it does not say.
pub fn generation(item: &Item) -> Result<u64, Damaged> {
    Reader::new(item).number(GENERATION)
}

/// Reads a view's item, for the definition of `join`.
///
/// # Errors
/// What is wrong with it.
pub fn view(join: &Join, item: &Item) -> Result<StoredView, Damaged> {
    let read = Reader::new(item);
    let fingerprint = u128::from_str_radix(read.text(FINGERPRINT)?, 16).map(Fingerprint);
    let fingerprint = fingerprint.map_err(|_| read.damaged(format!("`{FINGERPRINT}` is no fingerprint")))?;
    let is_ours = fingerprint == join.fingerprint();
    let is_marked = |name| matches!(item.get(name), Some(AttributeValue::Bool(true)));
    let is_overflow = is_ours && is_marked(OVERFLOW);
    // One that was marked when it was to be written first has nothing else.
    let has_state = item.contains_key(STATE);
    let is_ours = is_ours && has_state;
    let mut view = View {
        version: read.number(VERSION)?,
        fingerprint,
        // Of another definition it cannot be used.
        state: if is_ours { read.state(join, STATE)? } else { State::empty(join) },
        folded_to: if has_state { read.position(FOLDED_TO)? } else { Position::default() },
        events: if has_state { read.number(EVENTS)? } else { 0 },
        snapshot: None,
        trimmed_to: item.contains_key(TRIMMED_TO).then(|| read.position(TRIMMED_TO)).transpose()?,
        behind: is_overflow || is_marked(BEHIND),
    };
    let mut is_split = false;
    if let Some(snapshot) = item.get(SNAPSHOT) {
        let snapshot = snapshot.as_m().map_err(|_| read.damaged(format!("`{SNAPSHOT}` is no map")))?;
        let inline = Reader { key: read.key, item: snapshot };
        is_split = is_ours && !snapshot.contains_key(SNAPSHOT_STATE);
        let snapshot = Snapshot {
            state: if is_ours && !is_split { inline.state(join, SNAPSHOT_STATE)? } else { State::empty(join) },
            through: inline.position(THROUGH)?,
            events: inline.number(SNAPSHOT_EVENTS)?,
            closed_at: inline.number(CLOSED_AT)?,
        };
        // That of an erased key keeps out what came before, by any definition.
        view.snapshot = Some(snapshot).filter(|snapshot| is_ours || snapshot.is_of_erased());
    }
    Ok(StoredView { view: Box::new(view), is_split, is_overflow })
}

/// Puts the state of a snapshot's own item into its view; `None` if it is of another snapshot, made
/// since the view was read.
///
/// # Errors
/// What is wrong with it.
pub fn joined(join: &Join, mut view: Box<View>, snapshot: Option<&Item>) -> Result<Option<Box<View>>, Damaged> {
    let (Some(known), Some(item)) = (&mut view.snapshot, snapshot) else { return Ok(None) };
    let read = Reader::new(item);
    if read.position(THROUGH)? != known.through {
        return Ok(None);
    }
    known.state = read.state(join, SNAPSHOT_STATE)?;
    Ok(Some(view))
}

/// Reads attributes of an item.
struct Reader<'i> {
    key: &'i str,
    item: &'i Item,
}

impl<'i> Reader<'i> {
    fn new(item: &'i Item) -> Self {
        let key = item.get(ID).and_then(|id| id.as_s().ok()).map_or("?", String::as_str);
        Self { key, item }
    }

    fn damaged(&self, what: String) -> Damaged {
        Damaged { key: self.key.to_owned(), what }
    }

    fn get<T>(&self, name: &str, read: impl FnOnce(&'i AttributeValue) -> Option<T>, is: &str) -> Result<T, Damaged> {
        let found = self.item.get(name).and_then(read);
        found.ok_or_else(|| self.damaged(format!("`{name}` is no {is}")))
    }

    fn text(&self, name: &str) -> Result<&'i str, Damaged> {
        self.get(name, |value| value.as_s().ok().map(String::as_str), "text")
    }

    fn number(&self, name: &str) -> Result<u64, Damaged> {
        self.get(name, |value| value.as_n().ok()?.parse().ok(), "whole number")
    }

    fn position(&self, name: &str) -> Result<Position, Damaged> {
        self.get(name, |value| position(value.as_s().ok()?), "position")
    }

    fn state(&self, join: &Join, name: &str) -> Result<State, Damaged> {
        let bytes = self.get(name, |value| value.as_b().ok(), "state")?;
        State::from_bytes(join, bytes.as_ref()).map_err(|bad| self.damaged(format!("`{name}` is no state: {bad}")))
    }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn blob(bytes: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// What an item is billed for, and limited by.
#[must_use]
pub fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

/// DynamoDB's own sums: 3 bytes and 1 a member for what holds others; numbers by two digits a byte.
fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.len() + item_bytes(map),
        _ => 1,
    }
}

/// The fields of a document, without its `id`, and its mark: here, that is of items.
fn fields(document: &str) -> Item {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(document).expect("a document is a JSON object");
    let rest = fields.into_iter().filter(|(name, _)| name != ID && name != OVERFLOW);
    rest.map(|(name, value)| (name, attribute(value.get(), DEPTH_MAX).unwrap_or_else(|| text(value.get())))).collect()
}

/// A JSON value as an attribute; `None` if it is nested too deep.
fn attribute(json: &str, depth: usize) -> Option<AttributeValue> {
    let depth = depth.checked_sub(1)?;
    let is = "a document's values are JSON";
    Some(match json.as_bytes()[0] {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).expect(is);
            let member = |(name, value): (String, &RawValue)| Some((name, attribute(value.get(), depth)?));
            AttributeValue::M(members.into_iter().map(member).collect::<Option<_>>()?)
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(json).expect(is);
            AttributeValue::L(values.into_iter().map(|value| attribute(value.get(), depth)).collect::<Option<_>>()?)
        }
        b'"' => AttributeValue::S(serde_json::from_str(json).expect(is)),
        b't' => AttributeValue::Bool(true),
        b'f' => AttributeValue::Bool(false),
        b'n' => AttributeValue::Null(true),
        _ if fits(json) => AttributeValue::N(json.to_owned()),
        _ => text(json), // more digits than DynamoDB has
    })
}

/// Whether DynamoDB takes a number as it is.
fn fits(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    // The place of the first digit that is not zero: 0 for ones.
    let magnitude = whole.len() as i64 - 1 - leading as i64 + exponent;
    significant.is_empty()
        || significant.trim_end_matches('0').len() <= DIGITS_MAX && (MAGNITUDE_MIN..=MAGNITUDE_MAX).contains(&magnitude)
}

#[cfg(test)]
mod tests {
    use millpond_core::process::consumer::{Read, read};
    use millpond_core::view::Folded;

    use super::*;

    const TAGS: &str = r#"
        name     = "tags"
        lateness = "1h"
        [key]
        seen = "user"
        [view]
        tag   = { latest = "tag", of = "seen" }
        times = { count = "seen" }
    "#;

    /// A fuzzer found that a sign was taken for a digit, so that one place had two texts, and the
    /// second was not where the order of places has it.
    #[test]
    fn a_place_has_one_text() {
        let at = position("000001760000000/e-1").expect("it is a place");
        assert_eq!(sequence(at.at()), "000001760000000/e-1");
        for text in
            ["+00001760000000/e-1", "-00000000000000/e", "1760000000/e-1", "000001760000000", "00000176000000 /e"]
        {
            assert_eq!(position(text), None, "{text}");
        }
    }

    /// A fuzzer found that a state whose bytes somebody had altered was taken as long as it could be read, and that to
    /// show it then ended the function, and with it the batch that other keys were in.
    #[test]
    fn a_state_that_cannot_be_shown_is_told_as_damage() {
        let join = Join::parse(TAGS).expect("the definition is right");
        let event = br#"{"id":"1","type":"seen","timestamp":1760000000000,"user":"u1","tag":{"a":"b"}}"#;
        let Ok(Read::Joins(event, kind, _)) = read(&join, event, 1_760_000_000_000) else { panic!("it is refused") };
        let mut state = State::empty(&join);
        state.fold(&join, kind, &event);
        let folded = Folded { state, folded_to: event.position().to_position(), events: 1 };
        let stored = view_items(&join, "u1", &View::unstored(&join, folded, None), 1).expect("it is small").view;
        assert!(view(&join, &stored).is_ok());
        let bytes = stored[STATE].as_b().expect("a state is bytes").as_ref();
        let text = bytes.windows(5).position(|window| window == br#"{"a":"#).expect("the value is there");
        for (at, byte, what) in [(text, b'x', "no JSON"), (text + 4, b'"', "no member"), (0, 1, "fewer fields")] {
            let (mut altered, mut bytes) = (stored.clone(), bytes.to_vec());
            bytes[at] = byte;
            altered.insert(STATE.into(), blob(bytes));
            let told = view(&join, &altered).map(drop).expect_err(what).to_string();
            assert!(told.contains("`_state` is no state"), "{what}: {told}");
        }
    }
}
