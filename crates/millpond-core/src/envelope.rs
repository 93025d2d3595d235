//! The three envelopes an event may come in, and where each carries what.

use crate::extract::{Slots, Wanted};

/// How an event was wrapped. Found from its members, so that a stored body reads the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `id`, `type`, `timestamp` and the body's members side by side.
    Native,
    /// CloudEvents 1.0, structured mode: identity is source + id, the body is `data`.
    CloudEvents,
    /// Amazon EventBridge: the type is `detail-type`, the body is `detail`.
    EventBridge,
}

/// Slots of the envelope's own members; body paths follow.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Member {
    Id,
    Type,
    Timestamp,
    Time,
    Source,
    Subject,
    SpecVersion,
    DetailType,
    Detail,
}

const MEMBERS: [(&str, Member); 9] = [
    ("id", Member::Id),
    ("type", Member::Type),
    ("timestamp", Member::Timestamp),
    ("time", Member::Time),
    ("source", Member::Source),
    ("subject", Member::Subject),
    ("specversion", Member::SpecVersion),
    ("detail-type", Member::DetailType),
    ("detail", Member::Detail),
];

/// What every event is read for: its envelope's members, and the definition's paths in each of
/// the places where an envelope may carry a body.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) wanted: Wanted,
    /// Slot of each path, by envelope: native, CloudEvents, EventBridge.
    slots: Vec<[u16; 3]>,
    pub(crate) slot_count: usize,
}

impl Reading {
    pub(crate) fn new(paths: &[Path]) -> Self {
        let mut wanted = Wanted::default();
        for (name, member) in MEMBERS {
            // `detail` itself is only looked at for being there; wanting it whole costs nothing
            // to events of the other envelopes.
            wanted.want(&[name], member as u16);
        }
        let mut next = MEMBERS.len() as u16;
        let mut want = |path: &[String]| {
            let slot = wanted.want(path, next);
            next += u16::from(slot == next);
            slot
        };
        let slots = paths
            .iter()
            .map(|path| {
                let segments = path.segments();
                [want(segments), want(&inside("data", segments)), want(&inside("detail", segments))]
            })
            .collect();
        Self { wanted, slots, slot_count: usize::from(next) }
    }

    /// The raw value at a path, given the envelope.
    pub(crate) fn value<'a>(&self, slots: &Slots<'a>, envelope: Envelope, path: u16) -> Option<&'a str> {
        slots[usize::from(self.slots[usize::from(path)][envelope as usize])]
    }
}

/// A path that already names the envelope's body member is taken from the event's root.
fn inside(body: &str, segments: &[String]) -> Vec<String> {
    let explicit = segments.len() > 1 && segments[0] == body;
    let prefix = (!explicit).then(|| body.to_owned());
    prefix.into_iter().chain(segments.iter().cloned()).collect()
}

impl Envelope {
    pub(crate) fn of(slots: &Slots<'_>) -> Self {
        if member(slots, Member::SpecVersion).is_some() {
            Self::CloudEvents
        } else if member(slots, Member::DetailType).is_some() && member(slots, Member::Detail).is_some() {
            Self::EventBridge
        } else {
            Self::Native
        }
    }
}

pub(crate) fn member<'a>(slots: &Slots<'a>, member: Member) -> Option<&'a str> {
    slots[member as usize].filter(|raw| *raw != "null")
}

/// A place in an event's body: member names from the outside in; a number indexes an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

/// The longest path, in segments.
pub const PATH_SEGMENTS_MAX: usize = 16;

impl Path {
    /// Reads `user.id`; a segment with a dot in it is quoted: `user."first.name"`.
    ///
    /// # Errors
    /// What is wrong, in words for the definition's author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (segment, after) = next_segment(rest)?;
            segments.push(segment);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return Err(format!("expected `.` before `{after}`")),
            }
        }
        if segments.len() > PATH_SEGMENTS_MAX {
            return Err(format!("a path has at most {PATH_SEGMENTS_MAX} segments, this one has {}", segments.len()));
        }
        Ok(Self(segments))
    }

    /// The member names, outermost first.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

fn next_segment(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (segment, rest) = quoted.split_once('"').ok_or("a quoted segment does not end")?;
        return Ok((segment.to_owned(), rest));
    }
    let end = text.find(['.', '"']).unwrap_or(text.len());
    let (segment, rest) = text.split_at(end);
    if segment.is_empty() {
        return Err("a segment is empty; expected a path such as `user.id`".into());
    }
    if segment.contains(char::is_whitespace) {
        return Err(format!("segment `{segment}` has a space in it; quote it if that is meant"));
    }
    Ok((segment.to_owned(), rest))
}

/// Names that as a whole path mean the envelope's own member; quoted, they mean the body's.
const OWN_MEMBERS: [&str; 6] = ["id", "type", "timestamp", "time", "source", "subject"];

/// Quotes a segment only where reading needs it.
impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [only] = &self.0[..]
            && OWN_MEMBERS.contains(&only.as_str())
        {
            return write!(f, "\"{only}\"");
        }
        for (index, segment) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if segment.is_empty() || segment.contains('.') || segment.contains(char::is_whitespace) {
                write!(f, "\"{segment}\"")?;
            } else {
                f.write_str(segment)?;
            }
        }
        Ok(())
    }
}
