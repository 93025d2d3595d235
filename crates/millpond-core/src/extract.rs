//! Reads the wanted values out of an event's JSON in one pass that also validates it whole:
//! depth, duplicate members and syntax are checked everywhere, values are copied nowhere.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::reject::{Reason, Rejection};

/// How deep an event may nest: DynamoDB's limit, kept in both homes.
pub(crate) const DEPTH_MAX: usize = 32;

/// Objects with more members than this are checked for duplicates through a hash set.
const LINEAR_MEMBERS_MAX: usize = 24;

/// A tree of the wanted member names; a node with a slot is wanted itself.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    children: Vec<(Box<str>, Wanted)>,
    slot: Option<u16>,
}

impl Wanted {
    /// Wants the value at `path`, to be put into `slot`. The slot that was wanted there before stays.
    pub(crate) fn want<S: AsRef<str>>(&mut self, path: &[S], slot: u16) -> u16 {
        let Some((first, rest)) = path.split_first() else {
            return *self.slot.get_or_insert(slot);
        };
        let name = first.as_ref();
        let index = self.children.iter().position(|(child, _)| &**child == name).unwrap_or_else(|| {
            self.children.push((name.into(), Self::default()));
            self.children.len() - 1
        });
        self.children[index].1.want(rest, slot)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|(child, _)| &**child == name).map(|(_, node)| node)
    }
}

/// The raw JSON text of each wanted value that is present.
pub(crate) type Slots<'a> = SmallVec<[Option<&'a str>; 24]>;

/// Reads `text`, which must be one JSON object, and fills `slots` (one a wanted value).
pub(crate) fn extract<'a>(text: &'a str, wanted: &Wanted, slots: &mut Slots<'a>) -> Result<(), Rejection> {
    let first = text.bytes().find(|b| !b.is_ascii_whitespace());
    let pass = Pass { slots: RefCell::new(std::mem::take(slots)), fault: Cell::new(None) };
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome =
        Value { pass: &pass, wanted: Some(wanted), depth: 0 }.deserialize(&mut json).and_then(|()| json.end());
    *slots = pass.slots.take();
    match outcome {
        Err(error) => Err(pass.fault.take().unwrap_or_else(|| json_fault(&error))),
        Ok(()) if first != Some(b'{') => {
            Err(Rejection::new(Reason::NotAnObject, "expected a JSON object with id, type and timestamp"))
        }
        Ok(()) => Ok(()),
    }
}

/// Whether `text` is one JSON value as an event may hold it.
pub(crate) fn is_value(text: &str) -> bool {
    let pass = Pass { slots: RefCell::default(), fault: Cell::new(None) };
    let mut json = serde_json::Deserializer::from_str(text);
    Value { pass: &pass, wanted: None, depth: 0 }.deserialize(&mut json).and_then(|()| json.end()).is_ok()
}

fn json_fault(error: &serde_json::Error) -> Rejection {
    Rejection::new(Reason::InvalidJson, error.to_string())
}

/// What one pass over a text collects. Cells, because nested visitors share it.
struct Pass<'a> {
    slots: RefCell<Slots<'a>>,
    fault: Cell<Option<Rejection>>,
}

impl<'a> Pass<'a> {
    fn put(&self, slot: u16, raw: &'a str) {
        if let Some(place) = self.slots.borrow_mut().get_mut(usize::from(slot)) {
            *place = Some(raw);
        }
    }

    fn refuse<E: serde::de::Error>(&self, reason: Reason, detail: String) -> E {
        self.fault.set(Some(Rejection::new(reason, detail)));
        E::custom("rejected")
    }
}

/// One value, wanted or not, at a depth.
struct Value<'p, 'a> {
    pass: &'p Pass<'a>,
    wanted: Option<&'p Wanted>,
    depth: usize,
}

impl<'a> Value<'_, 'a> {
    fn within(&self) -> Self {
        Value { pass: self.pass, wanted: None, depth: self.depth + 1 }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(self.pass.refuse(Reason::TooDeep, format!("nested deeper than {DEPTH_MAX} levels")))
    }

    /// Keeps the raw text of a wanted value; a container is still walked, for what lies inside it.
    fn capture(self, raw: &'a RawValue) -> Result<(), serde_json::Error> {
        let text = raw.get();
        if let Some(slot) = self.wanted.and_then(|wanted| wanted.slot) {
            self.pass.put(slot, text);
        }
        if text.starts_with(['{', '[']) {
            let mut json = serde_json::Deserializer::from_str(text);
            return json.deserialize_any(self);
        }
        if may_be_odd(text) {
            serde_json::from_str::<serde_json::Value>(text)?;
        }
        Ok(())
    }
}

/// Whether a scalar has to be read to be known as sound: raw text may hold lone surrogates and
/// numbers beyond a double. What an event is must not depend on which of its values are wanted.
fn may_be_odd(text: &str) -> bool {
    const FITS_SURELY: usize = 300; // digits; a double holds 308 before the point
    match text.as_bytes().first() {
        Some(b'"') => text.contains('\\'),
        Some(b'-' | b'0'..=b'9') => text.len() > FITS_SURELY || text.contains(['e', 'E']),
        _ => false,
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        if self.wanted.is_some_and(|wanted| wanted.slot.is_some()) {
            let raw: &'a RawValue = serde::Deserialize::deserialize(json)?;
            return self.capture(raw).map_err(D::Error::custom);
        }
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut seen = Seen::default();
        while let Some(name) = members.next_key_seed(Name)? {
            let wanted = self.wanted.and_then(|wanted| wanted.child(&name));
            if !seen.insert(&name) {
                let detail = format!("member `{name}` appears twice in one object");
                return Err(self.pass.refuse(Reason::DuplicateMember, detail));
            }
            seen.push(name);
            members.next_value_seed(Value { wanted, ..self.within() })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut index = 0usize;
        loop {
            // Only a definition with an index in a path pays for its text.
            let wanted = self.wanted.and_then(|wanted| wanted.child(&index.to_string()));
            if elements.next_element_seed(Value { wanted, ..self.within() })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A member's name, borrowed unless it holds escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;
    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Cow<'a, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }
    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }
    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The member names of one object so far.
#[derive(Default)]
struct Seen<'a> {
    few: SmallVec<[Cow<'a, str>; 8]>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Whether `name` is new.
    fn insert(&self, name: &str) -> bool {
        if self.many.is_empty() { !self.few.iter().any(|seen| seen == name) } else { !self.many.contains(name) }
    }

    fn push(&mut self, name: Cow<'a, str>) {
        if !self.many.is_empty() {
            self.many.insert(name);
        } else if self.few.len() < LINEAR_MEMBERS_MAX {
            self.few.push(name);
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(text: &'a str, paths: &[&[&str]]) -> Result<Vec<Option<&'a str>>, Rejection> {
        let mut wanted = Wanted::default();
        for (slot, path) in paths.iter().enumerate() {
            wanted.want(path, slot as u16);
        }
        let mut slots: Slots<'a> = SmallVec::from_elem(None, paths.len());
        extract(text, &wanted, &mut slots).map(|()| slots.to_vec())
    }

    #[test]
    fn wanted_values_come_out_raw_wherever_they_are() {
        let text = r#"{"a":{"b":{"c":1.50},"x":[7,{"y":"z"}]},"d":null}"#;
        let values = read(text, &[&["a", "b", "c"], &["a", "b"], &["d"], &["a", "x", "1", "y"], &["no"]]).unwrap();
        assert_eq!(values, [Some("1.50"), Some(r#"{"c":1.50}"#), Some("null"), Some("\"z\""), None]);
    }

    /// Names are looked up in another way from so many on.
    #[test]
    fn an_object_of_any_size_is_sound_until_a_name_comes_twice() {
        for count in [1, LINEAR_MEMBERS_MAX - 1, LINEAR_MEMBERS_MAX, LINEAR_MEMBERS_MAX + 1, 5 * LINEAR_MEMBERS_MAX] {
            let members = (0..count).map(|n| format!("\"m{n}\":{n}")).collect::<Vec<_>>().join(",");
            assert_eq!(read(&format!("{{{members}}}"), &[&["m0"]]), Ok(vec![Some("0")]), "{count}");
            for again in 0..count {
                let twice = format!("{{{members},\"m{again}\":0,\"last\":0}}");
                let fault = read(&twice, &[]).map_err(|fault| fault.reason);
                assert_eq!(fault, Err(Reason::DuplicateMember), "m{again} of {count}");
            }
        }
    }

    #[test]
    fn faults_are_found_also_where_nothing_is_wanted() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let deep_member = format!("{{\"a\":{deep}}}");
        let many = (0..60).map(|n| format!("\"m{n}\":{n}")).collect::<Vec<_>>().join(",");
        let many_twice = format!("{{{many},\"m7\":1}}");
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, Reason::DuplicateMember),
            (r#"{"q":[{"a":1,"\u0061":2}]}"#, Reason::DuplicateMember),
            (many_twice.as_str(), Reason::DuplicateMember),
            (deep_member.as_str(), Reason::TooDeep),
            (r#"{"a":1"#, Reason::InvalidJson),
            (r#"{"a":1} x"#, Reason::InvalidJson),
            (r#"{"a":01}"#, Reason::InvalidJson),
            ("null", Reason::NotAnObject),
            ("[]", Reason::NotAnObject),
            ("", Reason::InvalidJson),
            (r#"{"a":1e999}"#, Reason::InvalidJson),
            (r#"{"a":"\ud800"}"#, Reason::InvalidJson),
            (r#"{"q":{"a":-1e400}}"#, Reason::InvalidJson),
            (r#"{"a":"\x"}"#, Reason::InvalidJson),
        ] {
            for paths in [&[][..], &[&["a"][..]][..], &[&["q"][..]][..]] {
                assert_eq!(read(text, paths).map_err(|fault| fault.reason), Err(reason), "{text}");
            }
        }
    }
}
