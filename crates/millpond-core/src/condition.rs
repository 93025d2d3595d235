//! `where`: a CEL condition on one event.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::objects::Key;
use cel::{Context, Env, Program, Value};

/// The longest condition, in bytes: it is untrusted input, and runs once an event.
pub const CONDITION_BYTES_MAX: usize = 1024;

/// A compiled condition and its source.
pub struct Condition {
    source: String,
    program: Program,
}

/// An event as CEL sees it: the variable `event`.
pub(crate) struct Subject(Value);

impl Condition {
    /// Compiles a condition such as `event.order.total > 100`.
    ///
    /// # Errors
    /// What is wrong, in words for the definition's author.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.len() > CONDITION_BYTES_MAX {
            return Err(format!("the condition has {} bytes; at most {CONDITION_BYTES_MAX}", source.len()));
        }
        let program = environment().compile(source).map_err(|errors| {
            let text = errors.to_string();
            format!("not a CEL expression: {}", text.lines().next().unwrap_or_default())
        })?;
        let foreign = program.references().variables().into_iter().find(|name| *name != "event").map(str::to_owned);
        if let Some(name) = foreign {
            return Err(format!("`{name}` is unknown; the event is called `event`, as in `event.{name}`"));
        }
        Ok(Self { source: source.to_owned(), program })
    }

    /// The condition as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// `Some(answer)`, or `None` where the event has not what the condition asks for.
    pub(crate) fn holds(&self, subject: &Subject) -> Option<bool> {
        let mut context = Context::with_env(Arc::clone(environment()));
        context.add_variable_from_value("event", subject.0.clone());
        match self.program.execute(&context) {
            Ok(Value::Bool(answer)) => Some(answer),
            _ => None,
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl Subject {
    pub(crate) fn new(event: serde_json::Value) -> Self {
        Self(value(event))
    }
}

fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib()))
}

/// Whole numbers become CEL's `int`, so that `event.total + 1` has an overload.
fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        serde_json::Value::String(s) => Value::from(s),
        serde_json::Value::Array(elements) => Value::from(elements.into_iter().map(value).collect::<Vec<_>>()),
        serde_json::Value::Object(members) => {
            let members: HashMap<Key, Value> =
                members.into_iter().map(|(name, json)| (Key::from(name), value(json))).collect();
            Value::from(members)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, event: &str) -> Option<bool> {
        let subject = Subject::new(serde_json::from_str(event).unwrap());
        Condition::parse(condition).unwrap().holds(&subject)
    }

    #[test]
    fn conditions_compare_numbers_of_any_kind_and_ask_for_presence() {
        let event = r#"{"order":{"total":99.5,"items":[1,2],"big":18446744073709551615},"tags":{"eu":true}}"#;
        for (condition, answer) in [
            ("event.order.total > 99", Some(true)),
            ("event.order.total >= 100", Some(false)),
            ("size(event.order.items) + 1 == 3", Some(true)),
            ("event.order.big > 5", Some(true)),
            ("event.tags.eu", Some(true)),
            ("has(event.order.coupon) && event.order.coupon == 'X'", Some(false)),
            ("event.order.coupon == 'X'", None),
            ("event.order.total == 'x'", Some(false)),
            ("event.order.items[7] == 1", None),
            ("event.order.items.exists(i, i == 2)", Some(true)),
            ("event.order.total", None),
        ] {
            assert_eq!(holds(condition, event), answer, "{condition}");
        }
    }

    #[test]
    fn foreign_names_are_refused_with_the_right_spelling() {
        let fault = Condition::parse("order.total > 3").unwrap_err();
        assert!(fault.contains("event.order"), "{fault}");
        assert!(Condition::parse("event.total >").is_err());
        assert!(Condition::parse(&format!("event.a == '{}'", "x".repeat(2000))).is_err());
    }
}
