//! An event in its one normal form, read from any envelope and borrowed from its text.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::envelope::{Envelope, Member, member};
use crate::extract::{Slots, extract};
use crate::join::{Join, Source, TypeIndex};
use crate::json::unquoted;
use crate::position::At;
use crate::reject::{Reason, Rejection};

/// The largest event, in bytes: what fits into one item of the AWS home, in both homes.
pub const EVENT_BYTES_MAX: usize = 390 * 1024; // DynamoDB's item limit is 400 KB, key and attributes included
/// The longest event id, in bytes. A position must fit into a sort key of 1,024 bytes.
pub const ID_BYTES_MAX: usize = 512;
/// The longest join key, in bytes. DynamoDB's partition keys end at 2,048.
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest event type, in bytes.
pub const TYPE_BYTES_MAX: usize = 256;
/// 9999-12-31: later timestamps are units gone wrong, and would not fit the 15 digits of a sort key.
const TIMESTAMP_MAX: u64 = 253_402_300_799_999;

/// An event that can be joined by nobody or somebody: its identity is known and sound.
#[derive(Debug)]
pub struct Event<'a> {
    /// The identity: `id`, or source and id of a CloudEvent.
    pub id: Cow<'a, str>,
    /// The type.
    pub kind: Cow<'a, str>,
    /// Milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// The text it was read from.
    pub text: &'a str,
    envelope: Envelope,
    slots: Slots<'a>,
}

/// The keys an event joins; nearly always one.
pub type Keys<'a> = SmallVec<[Cow<'a, str>; 1]>;

impl<'a> Event<'a> {
    /// Reads one event.
    ///
    /// # Errors
    /// Why it cannot be an event of any join; the caller keeps the bytes in quarantine.
    pub fn read(join: &Join, bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() > EVENT_BYTES_MAX {
            let detail = format!("{} bytes; an event has at most {EVENT_BYTES_MAX}", bytes.len());
            return Err(Rejection::new(Reason::TooLarge, detail));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let detail = format!("byte {} is not part of a UTF-8 character", error.valid_up_to());
            Rejection::new(Reason::InvalidUtf8, detail)
        })?;
        Self::from_text(join, text)
    }

    fn from_text(join: &Join, text: &'a str) -> Result<Self, Rejection> {
        let reading = join.reading();
        let mut slots: Slots<'a> = SmallVec::from_elem(None, reading.slot_count);
        extract(text, &reading.wanted, &mut slots)?;
        let envelope = Envelope::of(&slots);
        Ok(Self {
            id: identity(&slots, envelope)?,
            kind: kind(&slots, envelope)?,
            timestamp: timestamp(&slots, envelope)?,
            text,
            envelope,
            slots,
        })
    }

    /// Its place in the history of each of its keys.
    #[must_use]
    pub fn position(&self) -> At<'_> {
        At { timestamp: self.timestamp, id: &self.id }
    }

    /// The keys it joins, without repeats.
    ///
    /// # Errors
    /// If it carries no key, or one that is no proper string.
    pub fn keys(&self, join: &Join, kind: TypeIndex) -> Result<Keys<'a>, Rejection> {
        let mut keys = Keys::new();
        for source in join.key_sources(kind) {
            let Some(raw) = self.raw(join, source) else { continue };
            let key = match raw {
                Cow::Borrowed(raw) => proper_string(raw, KEY_BYTES_MAX),
                Cow::Owned(raw) => proper_string(&raw, KEY_BYTES_MAX).map(|key| Cow::Owned(key.into_owned())),
            };
            let key = key.map_err(|fault| {
                Rejection::new(Reason::InvalidKey, format!("key at `{}` {fault}", join.shown(source)))
            })?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            let paths: Vec<_> =
                join.key_sources(kind).iter().map(|source| format!("`{}`", join.shown(source))).collect();
            return Err(Rejection::new(Reason::InvalidKey, format!("no key at {}", paths.join(" or "))));
        }
        Ok(keys)
    }

    /// The raw JSON of a value; `None` if it is absent or null.
    pub(crate) fn raw(&self, join: &Join, source: &Source) -> Option<Cow<'a, str>> {
        let raw = match source {
            Source::Timestamp => return Some(Cow::Owned(self.timestamp.to_string())),
            Source::Id => return Some(Cow::Owned(crate::json::quoted(&self.id))),
            Source::Type => return Some(Cow::Owned(crate::json::quoted(&self.kind))),
            Source::Source => member(&self.slots, Member::Source),
            Source::Subject => member(&self.slots, Member::Subject),
            Source::Body(path) => join.reading().value(&self.slots, self.envelope, *path),
        };
        raw.filter(|raw| *raw != "null").map(Cow::Borrowed)
    }

    /// The one form of an event from any envelope: the body's members, and the envelope's own.
    #[must_use]
    pub fn normal_form(&self) -> serde_json::Value {
        let mut whole: serde_json::Map<_, _> = serde_json::from_str(self.text).unwrap_or_default();
        let body = match self.envelope {
            Envelope::Native => None,
            Envelope::CloudEvents => whole.get("data").cloned(),
            Envelope::EventBridge => whole.get("detail").cloned(),
        };
        if let Some(serde_json::Value::Object(body)) = body {
            for (name, value) in body {
                whole.entry(name).or_insert(value);
            }
        }
        whole.insert("id".into(), self.id.as_ref().into());
        whole.insert("type".into(), self.kind.as_ref().into());
        whole.insert("timestamp".into(), self.timestamp.into());
        whole.into()
    }

    /// How it was wrapped.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        self.envelope
    }
}

fn identity<'a>(slots: &Slots<'a>, envelope: Envelope) -> Result<Cow<'a, str>, Rejection> {
    let id = required(slots, Member::Id, "id", ID_BYTES_MAX, Reason::InvalidId)?;
    if envelope != Envelope::CloudEvents {
        return Ok(id);
    }
    // A URI reference has no spaces, so one parts the two without ambiguity.
    let source = required(slots, Member::Source, "source", ID_BYTES_MAX, Reason::InvalidId)?;
    if source.contains(' ') {
        return Err(Rejection::new(Reason::InvalidId, "`source` has a space in it; expected a URI reference"));
    }
    let identity = format!("{source} {id}");
    if identity.len() > ID_BYTES_MAX {
        let detail = format!("source and id have {} bytes together; at most {ID_BYTES_MAX}", identity.len());
        return Err(Rejection::new(Reason::InvalidId, detail));
    }
    Ok(Cow::Owned(identity))
}

fn kind<'a>(slots: &Slots<'a>, envelope: Envelope) -> Result<Cow<'a, str>, Rejection> {
    match envelope {
        Envelope::EventBridge => {
            required(slots, Member::DetailType, "detail-type", TYPE_BYTES_MAX, Reason::InvalidType)
        }
        _ => required(slots, Member::Type, "type", TYPE_BYTES_MAX, Reason::InvalidType),
    }
}

fn timestamp(slots: &Slots<'_>, envelope: Envelope) -> Result<u64, Rejection> {
    let fault = |detail: String| Rejection::new(Reason::InvalidTimestamp, detail);
    if envelope == Envelope::Native {
        let raw = member(slots, Member::Timestamp)
            .ok_or_else(|| fault("no `timestamp`; expected milliseconds since 1970 UTC".into()))?;
        let expected = || {
            fault(format!(
                "`timestamp` is {}; expected whole milliseconds since 1970 UTC, up to the year 9999",
                shortened(raw)
            ))
        };
        return raw.parse().ok().filter(|ms| *ms <= TIMESTAMP_MAX).ok_or_else(expected);
    }
    let raw =
        member(slots, Member::Time).ok_or_else(|| fault("no `time`; expected an RFC 3339 date and time".into()))?;
    let expected =
        || fault(format!("`time` is {}; expected RFC 3339 after 1970, such as 2026-01-31T12:00:00Z", shortened(raw)));
    let text = unquoted(raw).ok_or_else(expected)?;
    let instant: jiff::Timestamp = text.parse().map_err(|_| expected())?;
    u64::try_from(instant.as_millisecond()).map_err(|_| expected())
}

fn required<'a>(
    slots: &Slots<'a>,
    which: Member,
    name: &str,
    bytes_max: usize,
    reason: Reason,
) -> Result<Cow<'a, str>, Rejection> {
    let raw = member(slots, which).ok_or_else(|| Rejection::new(reason, format!("no `{name}`")))?;
    proper_string(raw, bytes_max).map_err(|fault| Rejection::new(reason, format!("`{name}` {fault}")))
}

/// A string that can name something: not empty, not too long, without control characters.
fn proper_string(raw: &str, bytes_max: usize) -> Result<Cow<'_, str>, String> {
    let text = unquoted(raw).ok_or_else(|| format!("is {}; expected a string", shortened(raw)))?;
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > bytes_max {
        return Err(format!("has {} bytes; at most {bytes_max}", text.len()));
    }
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("has a control character in it".into());
    }
    Ok(text)
}

/// Enough of a raw value to recognise it.
fn shortened(raw: &str) -> String {
    match raw.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &raw[..end]),
        None => format!("`{raw}`"),
    }
}
