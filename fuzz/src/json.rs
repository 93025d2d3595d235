//! What is known about a JSON text without the core: by a visitor that keeps nothing but facts.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Facts about a text that is one JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Containers inside each other.
    pub(crate) depth: usize,
    /// One object has a member twice.
    pub(crate) has_duplicate: bool,
    pub(crate) is_object: bool,
}

impl Facts {
    fn around(self, inner: Self) -> Self {
        Self {
            depth: self.depth.max(inner.depth + 1),
            has_duplicate: self.has_duplicate || inner.has_duplicate,
            is_object: self.is_object,
        }
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Facts::default())
    }
}

impl<'de> Visitor<'de> for Facts {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let (mut facts, mut names) = (Self { depth: 1, has_duplicate: false, is_object: true }, HashSet::new());
        while let Some((name, inner)) = members.next_entry::<String, Self>()? {
            facts = facts.around(inner);
            facts.has_duplicate |= !names.insert(name);
        }
        Ok(facts)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        let mut facts = Self { depth: 1, ..Self::default() };
        while let Some(inner) = elements.next_element::<Self>()? {
            facts = facts.around(inner);
        }
        Ok(facts)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// How deep brackets nest outside strings, in a text that may be broken anywhere.
pub(crate) fn brackets(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
