//! What goes over HTTP, as JSON: shared by server and client. Timestamps are milliseconds since 1970
//! UTC; positions are texts `timestamp/id`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Of a type that no join names.
    Ignored,
    /// Known already.
    Duplicate,
    /// Stored and folded, durably.
    Accepted,
    /// Came after its place was closed: kept in the late queue.
    Late,
    /// Could not be joined: kept in quarantine with its reason.
    Quarantined,
}

/// The answer to events that were taken. Each is durable: acknowledged means on disk.
///
/// An event that joins several keys, or goes to several joins, is placed several times, and the
/// counts are of placements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Taken {
    /// The sum of the others.
    pub received: u64,
    /// Stored and folded.
    pub accepted: u64,
    /// Known already.
    pub duplicate: u64,
    /// Kept in late queues.
    pub late: u64,
    /// Kept in quarantine.
    pub quarantined: u64,
    /// Of types that a join does not name.
    pub ignored: u64,
    /// An answer an event, in the order of the request.
    pub events: Vec<EventAnswer>,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventAnswer {
    /// The gravest of its placements: quarantined, late, accepted, duplicate, ignored.
    pub status: Status,
    /// Why it is in quarantine: a word of the documented list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was found and what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where each placement went; only if they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<Placement>,
}

/// What became of an event at one key of one join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// The join.
    pub join: String,
    /// What happened there.
    pub status: Status,
}

/// A page of views, in the order of keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ViewPage {
    /// The views.
    pub views: Vec<ViewEntry>,
    /// Give it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A view in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ViewEntry {
    /// Its key.
    pub key: String,
    /// Its version: grows with each change.
    pub version: u64,
    /// The document.
    #[schema(value_type = Object)]
    pub document: Box<RawValue>,
}

/// A change of a view, as the stream of changes tells it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The key whose view changed.
    pub key: String,
    /// The view's version; for one key it only grows.
    pub version: u64,
    /// The document at that version; null if the key was erased.
    #[schema(value_type = Option<Object>)]
    pub document: Option<Box<RawValue>>,
}

/// The stored events of a key, in the order of positions, or the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Earlier events that are trimmed: the snapshot holds them.
    pub trimmed: u64,
    /// The position up to which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trimmed_to: Option<String>,
    /// Give it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A stored event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredEvent {
    /// When it happened.
    pub timestamp: u64,
    /// Its id; with the timestamp, its position.
    pub id: String,
    /// When it was stored.
    pub put_at: u64,
    /// Whether the snapshot covers it.
    pub in_snapshot: bool,
    /// The event as it was received.
    #[schema(value_type = Object)]
    pub event: Box<RawValue>,
}

/// Why a view is what it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The key.
    pub key: String,
    /// The view's version.
    pub version: u64,
    /// Events folded into it.
    pub events: u64,
    /// Of these, events in the tail.
    pub tail: u64,
    /// The snapshot, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotInfo>,
    /// An explanation a field, in the document's order.
    pub fields: Vec<FieldExplanation>,
}

/// A view's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotInfo {
    /// The highest closed position.
    pub through: String,
    /// Events in it.
    pub events: u64,
    /// When it was closed.
    pub closed_at: u64,
}

/// Why a field is what it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldExplanation {
    /// The field.
    pub field: String,
    /// Its fold, as the definition names it.
    pub fold: String,
    /// Its value in the document.
    #[schema(value_type = serde_json::Value)]
    pub value: Box<RawValue>,
    /// Its value if there were no tail; absent without a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<FieldSnapshot>,
    /// The tail's events that show in the value, in the order of positions: all, or as many of the
    /// newest as were asked for.
    pub events: Vec<Cause>,
    /// How many events of the tail show in the value.
    pub shows: u64,
    /// How many events of the tail gave a value, also those that no longer show.
    pub tail_values: u64,
}

/// The snapshot's part of a field.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldSnapshot {
    /// The value at the snapshot.
    #[schema(value_type = serde_json::Value)]
    pub value: Box<RawValue>,
    /// The highest closed position.
    pub through: String,
    /// Events in the snapshot, of all fields.
    pub events: u64,
}

/// An event that shows in a value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// When it happened.
    pub timestamp: u64,
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it gives by itself.
    #[schema(value_type = serde_json::Value)]
    pub gives: Box<RawValue>,
}

/// What asking for a snapshot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snapshotted {
    /// Whether there is a new snapshot; there is none if nothing more can be closed yet.
    pub closed: bool,
    /// Events in the snapshot.
    pub events: u64,
    /// Events after it.
    pub tail: u64,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trimmed {
    /// Rows that the snapshot covers and that are gone now.
    pub trimmed: u64,
}

/// A page of the late queue, in the order of key and position.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LatePage {
    /// The waiting events.
    pub late: Vec<LateEntry>,
    /// Give it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An event that came after its place was closed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LateEntry {
    /// The key it would join.
    pub key: String,
    /// Its position.
    pub position: String,
    /// When it came.
    pub received_at: u64,
    /// The boundary that it was at or below.
    pub closed_through: String,
    /// The event as it was received.
    #[schema(value_type = Object)]
    pub event: Box<RawValue>,
}

/// Which late events are meant: one, all of a key, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LateChoice {
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The position, with a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,18}/")]
    pub position: Option<String>,
    /// All events of all keys; then neither key nor position.
    #[serde(default)]
    pub all: bool,
}

/// The newest repeats that came, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DuplicateList {
    /// The repeats.
    pub duplicates: Vec<DuplicateEntry>,
    /// When the server began to remember.
    pub since: u64,
}

/// A repeat of an event that a key had already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DuplicateEntry {
    /// The key.
    pub key: String,
    /// The event's position.
    pub position: String,
    /// When the repeat came.
    pub received_at: u64,
}

/// A page of the quarantine, in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantinePage {
    /// The entries.
    pub quarantine: Vec<QuarantineEntry>,
    /// Give it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that could not be joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineEntry {
    /// Identifies the entry.
    pub id: String,
    /// Why: a word of the documented list.
    pub reason: String,
    /// What was found and what was expected.
    pub detail: String,
    /// When it came.
    pub received_at: u64,
    /// Its length.
    pub bytes: u64,
    /// Its bytes as text, at most the first 65,536; what is no UTF-8 is replaced. `GET` of the one
    /// entry gives the bytes, all of them.
    pub text: String,
    /// Whether it has more bytes than `text` shows; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// How many entries an action reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Their number.
    pub done: u64,
}

/// What retrying entries of the quarantine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Entries that left the quarantine.
    pub left: u64,
    /// Entries that stay.
    pub stay: u64,
}

/// What was removed of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// The key.
    pub key: String,
    /// Whether there was a view.
    pub view: bool,
    /// Whether there was a snapshot.
    pub snapshot: bool,
    /// Stored events removed.
    pub events: u64,
    /// Entries of the late queue removed.
    pub late: u64,
    /// Entries of the quarantine removed: those whose key could be read.
    pub quarantined: u64,
    /// Entries of the quarantine whose bytes mention the key, but whose key cannot be read: look at
    /// them, and drop them if they are about it.
    pub quarantine_mentions: Vec<String>,
    /// Other keys that some of the removed events had joined too, the first hundred: their copies
    /// remain there.
    pub also_at: Vec<String>,
    /// Whether the bytes are gone from the disk; if not, somebody was still reading the old tables,
    /// and they go within minutes of when nobody does.
    pub compacted: bool,
}

/// A join that the server serves.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JoinInfo {
    /// Its name.
    pub name: String,
    /// Whether it serves.
    pub state: JoinState,
    /// Identifies what its states are made of.
    pub fingerprint: String,
    /// How long after its timestamp an event may still be joined.
    pub lateness_ms: u64,
    /// Events of a tail before a snapshot is made.
    pub snapshot_every: u64,
    /// The event types it joins.
    pub types: Vec<String>,
    /// Where each type carries the key.
    pub keys: Vec<KeyInfo>,
    /// The fields of its documents.
    pub fields: Vec<FieldInfo>,
    /// The definition, as TOML.
    pub definition: String,
}

/// Whether a join serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JoinState {
    /// It takes events and answers.
    Serving,
    /// Its views are made anew under a changed definition; it answers again when that is done.
    Rebuilding,
    /// A failure stopped it; what was acknowledged is safe.
    Stopped,
}

/// A field of a view.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// Its fold.
    pub fold: String,
    /// The event types it folds.
    pub of: Vec<String>,
    /// What it takes from an event, as the definition spells it; absent for the folds that only count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The condition on the events it takes; absent if it takes all.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What it shows while it has no value, if the definition says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub default: Option<Box<RawValue>>,
    /// The most entries of a list or set; absent for other folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<u32>,
}

/// Where a type's events carry the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where its events carry a key, as the definition spells it: an event joins each.
    pub paths: Vec<String>,
}

/// The joins of a server.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JoinList {
    /// In the order of names.
    pub joins: Vec<JoinInfo>,
}

/// A definition and events to try it with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewAsked {
    /// The definition, as TOML.
    pub definition: String,
    /// The events: one a line, an array of them, or one object. At most 1,000.
    pub events: String,
}

/// What a definition would make of some events. The counts are of placements, as those of [`Taken`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The join that the definition would make.
    pub join: JoinInfo,
    /// The sum of the others.
    pub received: u64,
    /// Folded into views.
    pub accepted: u64,
    /// Known already.
    pub duplicate: u64,
    /// None: nothing is closed here.
    pub late: u64,
    /// Not to be joined.
    pub quarantined: u64,
    /// Of types that the definition does not name.
    pub ignored: u64,
    /// An answer an event, in their order.
    pub events: Vec<PreviewedEvent>,
    /// All views, in the order of keys.
    pub views: Vec<PreviewedView>,
}

/// What would become of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedEvent {
    /// The gravest of its placements: quarantined, accepted, duplicate, ignored.
    pub status: Status,
    /// Why it would be in quarantine: a word of the documented list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was found and what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The keys it joins.
    pub keys: Vec<String>,
}

/// A view of a preview.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewedView {
    /// Its key.
    pub key: String,
    /// The document.
    #[schema(value_type = Object)]
    pub document: Box<RawValue>,
}

/// What putting a definition did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinPut {
    /// The join's name.
    pub name: String,
    /// Whether it was not served before; it may have been stored.
    pub created: bool,
    /// Whether its views were made anew, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Rebuilt>,
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rebuilt {
    /// Stored events read.
    pub rows: u64,
    /// Joined under the new definition.
    pub accepted: u64,
    /// Of types that the new definition does not name.
    pub ignored: u64,
    /// Without a key under it: in quarantine.
    pub quarantined: u64,
}

/// What was counted since a join was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The join.
    pub join: String,
    /// The server's clock.
    pub at: u64,
    /// accepted + duplicate + late + quarantined + ignored.
    pub received: u64,
    /// Joined.
    pub accepted: u64,
    /// Known already.
    pub duplicate: u64,
    /// Put into the late queue.
    pub late: u64,
    /// Put into quarantine.
    pub quarantined: u64,
    /// Of types that the definition does not know.
    pub ignored: u64,
    /// Of `quarantined`: another body at the place of a stored event.
    pub conflicts: u64,
    /// Keys with a view.
    pub keys: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Rows trimmed.
    pub trimmed: u64,
    /// Snapshots whose fold was not the stored state. Must stay 0.
    pub divergence: u64,
    /// Since the server began to serve it: rows above everything known of their key, folded without a
    /// look-up.
    pub fast: u64,
    /// Since then: rows and repeats that had to be looked up, which is disorder and duplicates.
    pub looked_up: u64,
    /// Since then: the highest timestamp of an accepted event; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_at: Option<u64>,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Ignored events by type.
    pub ignored_types: std::collections::BTreeMap<String, u64>,
    /// Events that had no value for a field that folds their type, by field.
    pub gaps: std::collections::BTreeMap<String, u64>,
}

/// What a join had counted at times of the last hour, ascending: columns of equal length. The values are
/// totals, as those of [`Stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Samples {
    /// Between two samples.
    pub every_ms: u64,
    /// When.
    pub at: Vec<u64>,
    /// As in the stats.
    pub received: Vec<u64>,
    /// As in the stats.
    pub accepted: Vec<u64>,
    /// As in the stats.
    pub duplicate: Vec<u64>,
    /// As in the stats.
    pub late: Vec<u64>,
    /// As in the stats.
    pub quarantined: Vec<u64>,
    /// As in the stats.
    pub ignored: Vec<u64>,
    /// As in the stats.
    pub keys: Vec<u64>,
    /// As in the stats.
    pub snapshots: Vec<u64>,
    /// As in the stats.
    pub trimmed: Vec<u64>,
    /// As in the stats.
    pub fast: Vec<u64>,
    /// As in the stats.
    pub looked_up: Vec<u64>,
    /// As in the stats.
    pub disk_bytes: Vec<u64>,
    /// As in the stats; null before the first event.
    pub newest_at: Vec<Option<u64>>,
}

/// How many events some keys have after their snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tails {
    /// Keys looked at.
    pub keys: u64,
    /// Events of all their tails.
    pub events: u64,
    /// The longest tail; absent without keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<LongestTail>,
    /// Keys by the length of their tail, up to the longest.
    pub buckets: Vec<TailBucket>,
    /// Give it as `after` for the next keys; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The key with the longest tail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LongestTail {
    /// The key.
    pub key: String,
    /// Events after its snapshot.
    pub events: u64,
}

/// Keys whose tails are longer than those of the bucket before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TailBucket {
    /// And at most so long: 0, 1, 3, 7, 15, …
    pub up_to: u64,
    /// How many there are.
    pub keys: u64,
}

/// What folding everything anew found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// Keys compared.
    pub keys: u64,
    /// Events folded.
    pub events: u64,
    /// How many keys differ: there must be none.
    pub differences: u64,
    /// Some of them.
    pub shown: Vec<Difference>,
}

/// A key whose stored view is not the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// A field of the view, or `events`, `folded_to`, `order`, `row`.
    pub what: String,
    /// What is stored.
    pub stored: String,
    /// What the events say.
    pub refolded: String,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Its kind: `urn:millpond:` and a word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and what to do about it.
    pub detail: String,
    /// The faults of a definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<DefinitionFault>,
}

/// A fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionFault {
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// What is wrong, and what was expected.
    pub message: String,
}
