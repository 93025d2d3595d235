//! `where=FIELD OP VALUE`: which documents of a list are wanted. Pure.

use std::collections::BTreeMap;

use millpond_core::json::{Json, unquoted};
use millpond_core::number::Number;
use serde_json::value::RawValue;

/// All of its conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    op: Op,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Longer spellings first.
const OPS: [(&str, Op); 6] = [
    ("!=", Op::Unequal),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("=", Op::Equal),
    ("<", Op::Less),
    (">", Op::Greater),
];

/// What documents' values are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(Number),
    Text(String),
    /// Anything else: is equal or is not.
    Json(Json),
}

impl Filter {
    /// Reads conditions on the fields of documents.
    ///
    /// # Errors
    /// What is wrong with a condition, in words for who wrote it.
    pub(crate) fn parse<'t>(texts: impl Iterator<Item = &'t str>, fields: &[&str]) -> Result<Self, String> {
        let conditions: Vec<Condition> = texts.map(parse).collect::<Result<_, _>>()?;
        for Condition { field, .. } in &conditions {
            if field != "id" && !fields.contains(&field.as_str()) {
                let fields = fields.join("`, `");
                return Err(format!("`where` names the field `{field}`; the views have `id`, `{fields}`"));
            }
        }
        Ok(Self(conditions))
    }

    /// Whether a document is wanted.
    pub(crate) fn matches(&self, document: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(document) else { return false };
        self.0.iter().all(|condition| members.get(&condition.field).is_some_and(|raw| condition.holds(raw.get())))
    }
}

fn parse(text: &str) -> Result<Condition, String> {
    let fault =
        || format!("`where` is `{text}`; expected FIELD OP VALUE with =, !=, <, <=, > or >=, such as total>=10");
    let start = text.find(['=', '!', '<', '>']).ok_or_else(fault)?;
    let (field, rest) = text.split_at(start);
    let (spelling, op) = OPS.iter().find(|(spelling, _)| rest.starts_with(spelling)).ok_or_else(fault)?;
    let field = field.trim();
    if field.is_empty() {
        return Err(fault());
    }
    Ok(Condition { field: field.to_owned(), op: *op, value: value(rest[spelling.len()..].trim())? })
}

fn value(text: &str) -> Result<Value, String> {
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return Ok(Value::Text(text.to_owned()));
    }
    if let Some(text) = string(text) {
        return Ok(Value::Text(text));
    }
    if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        let number = Number::parse(text);
        return number.map(Value::Number).ok_or_else(|| {
            format!("`where` compares with {text}; numbers have at most 28 digits on each side of the point")
        });
    }
    Ok(Value::Json(Json::canonical(text)))
}

fn string(raw: &str) -> Option<String> {
    unquoted(raw).map(std::borrow::Cow::into_owned)
}

impl Condition {
    /// Whether it holds for a field's value. Nothing can be said of null, and values of different
    /// kinds are only ever unequal.
    fn holds(&self, raw: &str) -> bool {
        if raw == "null" {
            return false;
        }
        let order = match &self.value {
            Value::Number(wanted) => Number::parse(raw).map(|found| found.cmp(wanted)),
            Value::Text(wanted) => string(raw).map(|found| found.as_str().cmp(wanted)),
            Value::Json(wanted) if wanted.as_str() == "null" => return false,
            Value::Json(wanted) => {
                let equal = Json::canonical(raw) == *wanted;
                return matches!((self.op, equal), (Op::Equal, true) | (Op::Unequal, false));
            }
        };
        match self.op {
            Op::Equal => order.is_some_and(|order| order.is_eq()),
            Op::Unequal => order.is_none_or(|order| order.is_ne()),
            Op::Less => order.is_some_and(|order| order.is_lt()),
            Op::AtMost => order.is_some_and(|order| order.is_le()),
            Op::Greater => order.is_some_and(|order| order.is_gt()),
            Op::AtLeast => order.is_some_and(|order| order.is_ge()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        r#"{"id":"k/1","n":10.50,"big":12345678901234567890,"name":"Zoë","none":null,"on":true,"tags":["a","b"]}"#;
    const FIELDS: [&str; 6] = ["n", "big", "name", "none", "on", "tags"];

    fn check(condition: &str, expected: bool) {
        let filter = Filter::parse([condition].into_iter(), &FIELDS).expect(condition);
        assert_eq!(filter.matches(DOCUMENT), expected, "{condition}");
    }

    #[test]
    fn numbers_compare_exactly() {
        for (condition, expected) in [
            ("n=10.5", true),
            ("n = 1050e-2", true),
            ("n<10.5", false),
            ("n<=10.5", true),
            ("n>10.4999999999999999999999999", true),
            ("n!=10.5", false),
            ("n>-1", true),
            ("big=12345678901234567890", true),
            ("big>12345678901234567889", true),
            ("big<12345678901234567891", true),
        ] {
            check(condition, expected);
        }
    }

    #[test]
    fn texts_compare_as_texts_quoted_or_not() {
        for (condition, expected) in [
            ("name=Zoë", true),
            ("name=\"Zo\\u00eb\"", true),
            ("name>=Z", true),
            ("name<a", true),
            ("name!=Zoë", false),
            ("id=k/1", true),
            ("name=", false),
        ] {
            check(condition, expected);
        }
    }

    #[test]
    fn kinds_are_never_mixed_and_null_is_like_nothing() {
        for (condition, expected) in [
            ("n=\"10.5\"", false),
            ("n!=\"10.5\"", true),
            ("name=5", false),
            ("name!=5", true),
            ("name<5", false),
            ("none=null", false),
            ("none!=1", false),
            ("n!=null", false),
            ("on=true", true),
            ("on!=false", true),
            ("on<true", false),
            ("tags=[\"a\", \"b\"]", true),
            ("tags=[\"b\"]", false),
        ] {
            check(condition, expected);
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let holds = |texts: &[&str]| Filter::parse(texts.iter().copied(), &FIELDS).unwrap().matches(DOCUMENT);
        assert!(holds(&[]) && holds(&["n>10", "n<11"]) && !holds(&["n>10", "n<10"]));
    }

    #[test]
    fn faults_say_what_was_expected() {
        for (condition, says) in [
            ("n", "FIELD OP VALUE"),
            ("=1", "FIELD OP VALUE"),
            ("n!1", "FIELD OP VALUE"),
            ("m=1", "`name`"),
            ("n<1e99", "28 digits"),
        ] {
            let told = Filter::parse([condition].into_iter(), &FIELDS).expect_err(condition);
            assert!(told.contains(says), "{told}");
        }
    }
}
