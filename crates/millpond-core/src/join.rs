//! A join: the parsed, checked form of a definition.

use crate::condition::{Condition, Subject};
use crate::definition::{Faults, parse};
use crate::envelope::{Path, Reading};
use crate::event::Event;
use crate::fold::Fold;
use crate::json::Json;

/// Index of an event type of the definition, in the order of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeIndex(pub(crate) u16);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The event's identity.
    Id,
    /// The event's type.
    Type,
    /// The event's timestamp, in milliseconds.
    Timestamp,
    /// The envelope's `source`.
    Source,
    /// The envelope's `subject`.
    Subject,
    /// A place in the body: an index into the join's paths.
    Body(u16),
}

/// One field of the view.
#[derive(Debug)]
pub struct Field {
    /// Its name in the view's document.
    pub name: String,
    /// How it is computed.
    pub fold: Fold,
    /// The types it folds, sorted.
    pub of: Vec<TypeIndex>,
    /// What it takes from an event; `None` for the folds that only count.
    pub value: Option<Source>,
    /// Which events it takes.
    pub condition: Option<Condition>,
    /// What it shows while it has no value.
    pub default: Option<Json>,
}

/// An event type and where its events carry the key.
#[derive(Debug)]
pub(crate) struct KeyedType {
    pub(crate) name: String,
    pub(crate) keys: Vec<Source>,
    /// Indexes of the fields that fold this type.
    pub(crate) fields: Vec<u16>,
}

/// A whole definition, known to be right.
#[derive(Debug)]
pub struct Join {
    pub(crate) name: String,
    pub(crate) lateness_ms: u64,
    pub(crate) snapshot_every: u64,
    pub(crate) types: Vec<KeyedType>,
    pub(crate) fields: Vec<Field>,
    /// Indexes of the fields in the order of the definition, for documents.
    pub(crate) shown: Vec<u16>,
    pub(crate) paths: Vec<Path>,
    pub(crate) reading: Reading,
    pub(crate) source_text: String,
}

impl Join {
    /// Reads and checks a definition.
    ///
    /// # Errors
    /// Every fault found, each with its line, what was expected and the nearest right spelling.
    pub fn parse(toml: &str) -> Result<Self, Faults> {
        parse(toml)
    }

    /// Its name, fit for a folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// D: how long after its timestamp an event may still be joined.
    #[must_use]
    pub fn lateness_ms(&self) -> u64 {
        self.lateness_ms
    }

    /// Events in a tail before a snapshot is asked for.
    #[must_use]
    pub fn snapshot_every(&self) -> u64 {
        self.snapshot_every
    }

    /// The definition's text.
    #[must_use]
    pub fn source_text(&self) -> &str {
        &self.source_text
    }

    /// The view's fields sorted by name, as states hold them.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The view's fields in the definition's order, as documents show them, with their place in
    /// [`Join::fields`].
    pub fn shown_fields(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.shown.iter().map(|index| (usize::from(*index), &self.fields[usize::from(*index)]))
    }

    /// The type's index, if the definition knows it.
    #[must_use]
    pub fn type_index(&self, name: &str) -> Option<TypeIndex> {
        self.types.binary_search_by(|known| known.name.as_str().cmp(name)).ok().map(|index| TypeIndex(index as u16))
    }

    /// The names of the types, sorted.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|known| known.name.as_str())
    }

    /// The name of a type.
    #[must_use]
    pub fn type_name(&self, kind: TypeIndex) -> &str {
        &self.types[usize::from(kind.0)].name
    }

    /// Where events of a type carry their keys.
    #[must_use]
    pub fn key_sources(&self, kind: TypeIndex) -> &[Source] {
        &self.types[usize::from(kind.0)].keys
    }

    pub(crate) fn fields_of(&self, kind: TypeIndex) -> &[u16] {
        &self.types[usize::from(kind.0)].fields
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// A source as the definition spells it.
    #[must_use]
    pub fn shown(&self, source: &Source) -> String {
        match source {
            Source::Id => "id".into(),
            Source::Type => "type".into(),
            Source::Timestamp => "timestamp".into(),
            Source::Source => "source".into(),
            Source::Subject => "subject".into(),
            Source::Body(path) => self.paths[usize::from(*path)].to_string(),
        }
    }

    /// Identifies what the definition makes of events: two definitions with one fingerprint give
    /// the same states. Names, defaults, lateness and snapshots are not part of it; what decides
    /// which rows exist (types and keys) is.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut text = format!("state {}\n", crate::state::STATE_VERSION);
        for known in &self.types {
            let keys: Vec<_> = known.keys.iter().map(|source| self.shown(source)).collect();
            text += &format!("key {:?} {keys:?}\n", known.name);
        }
        for field in &self.fields {
            let of: Vec<_> = field.of.iter().map(|kind| self.type_name(*kind)).collect();
            let value = field.value.as_ref().map(|source| self.shown(source));
            let condition = field.condition.as_ref().map(Condition::source);
            text += &format!("field {:?} {:?} {of:?} {value:?} {condition:?}\n", field.name, field.fold);
        }
        Fingerprint(xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }

    /// The event as conditions see it: its normal form, identity and envelope included.
    pub(crate) fn subject(&self, event: &Event<'_>) -> Subject {
        Subject::new(event.normal_form())
    }
}

/// See [`Join::fingerprint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint(pub u128);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
