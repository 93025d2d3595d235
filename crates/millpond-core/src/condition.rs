//! `where`: a CEL condition on one event.

mod check;

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
        check::brackets(source)?;
        let program = environment().compile(source).map_err(|errors| {
            let text = errors.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("not a CEL expression: {}", first.strip_prefix("ERROR: <input>:").unwrap_or(first))
        })?;
        check::expression(program.expression(), &pattern)?;
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
    ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib().with_optional_support(false)))
}

/// Whether CEL can use `pattern` as a regular expression, within its limit of size.
fn pattern(pattern: &str) -> Result<(), String> {
    let probe = environment().compile("''.matches(pattern)").expect("the probe is a CEL expression");
    let mut context = Context::with_env(Arc::clone(environment()));
    context.add_variable_from_value("pattern", pattern.to_owned());
    match probe.execute(&context) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`{pattern}` is no regular expression: {}", reason(&error.to_string()))),
    }
}

/// The last line of a regular expression's error says what is wrong; those before draw it.
fn reason(error: &str) -> &str {
    let last = error.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ")
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
    fn only_free_variables_are_foreign() {
        for condition in [
            "event.items.exists(i, i == 2)",
            "event.items.filter(i, i > 1).map(j, j + 1).all(k, k > 2)",
            "event.orders.exists(o, o.items.all(i, o.sku != i.sku))",
            "event.items.exists(i, event.sku == i.sku && has(event.on) && event.on)",
            "event.items.exists(event, event == 2)",
            "event.items.exists_one(i, i in [1, 2])",
            "type(event.total) == int",
            "has(event.a.b) && event['odd name'] == 'x'",
        ] {
            assert_eq!(Condition::parse(condition).map(|_| ()), Ok(()), "{condition}");
        }
    }

    fn fault(condition: &str) -> String {
        Condition::parse(condition).expect_err(condition)
    }

    #[test]
    fn faults_name_what_is_wrong_and_the_right_spelling() {
        for (condition, words) in [
            ("order.total > 3", "the event is called `event`, as in `event.order`"),
            ("event.items.exists(i, j == 2)", "`j` is unknown"),
            ("event.items.exists(i, i == 2) && i == 2", "`i` is unknown"),
            ("event.name.startswith('x')", "`startswith` is no function of conditions; did you mean `startsWith`?"),
            ("frobnicate(event.name)", "`frobnicate` is no function"),
            ("event.items.exists(i)", "`exists` is called wrongly; expected `event.list.exists(x"),
            ("has(event, event)", "expected `has(event.member)`"),
            ("event.items.Exists(i, i > 2)", "did you mean `exists`?"),
            ("event.total >", "not a CEL expression"),
            ("", "not a CEL expression"),
            ("'open", "not a CEL expression"),
            ("event.?a", "not a CEL expression"),
            ("Foo{a: 1} == event", "`Foo` cannot be made"),
            ("event.name.matches('(')", "`(` is no regular expression: unclosed group"),
            ("event.name.matches('(a{1000}){1000}')", "exceeds size limit"),
            ("event.name.matches(event.pattern)", "must be written out"),
            ("event.a.exists(x, x.b.exists(y, y.c.exists(z, z > 1)))", "nest deeper than 2"),
            ("event.a.map(x, x.b).exists(l, l.exists(i, i > 1))", "nest deeper than 2"),
            ("event.a.map(x, x.b)[0].exists(l, l.exists(i, i > 1))", "nest deeper than 2"),
            ("[event.a.map(x, x.b)].exists(l, l.exists(i, i > 1))", "nest deeper than 2"),
            ("{1: event.a.map(x, x.b)}.exists(l, l.exists(i, i > 1))", "nest deeper than 2"),
            ("{'a': event.a.map(x, x.b)}.a.exists(l, l.exists(i, i > 1))", "nest deeper than 2"),
            ("event.a.exists(x, event.b.exists(y, x == y))", "a macro over the event inside a macro"),
            ("event.a.exists(x, x in event.b)", "`in` over the event inside a macro"),
        ] {
            assert!(fault(condition).contains(words), "{condition}: {}", fault(condition));
        }
        assert!(fault(&format!("event.a == '{}'", "x".repeat(2000))).contains("at most 1024"));
    }

    /// A list in an event made its conditions go through all of it once an element, for seconds: a value is copied where it
    /// is the right side of a comparison, and the sender chooses how long it is.
    #[test]
    fn nothing_inside_a_macro_goes_through_the_whole_event() {
        for condition in [
            "event.a.all(x, [event] != [])",
            "event.a.map(x, event).size() > 0",
            "event.a.all(x, size(event.a + event.a) > 0)",
            "event.a.all(x, x != event.a)",
            "event.o.all(y, y.a.all(x, 2 in y.a == false))",
            "event.a.all(x, {'k': event.a}.k == x)",
            "event.o.all(y, y.a.all(x, x != y.a))",
            "event.a.all(x, event.a[0] == x)",
        ] {
            assert!(fault(condition).contains("may only stand on the left of a comparison"), "{condition}");
        }
    }

    #[test]
    fn deep_conditions_are_refused_before_a_stack_is_at_risk() {
        for (open, close) in [("(", ")"), ("[", "]"), ("{1:", "}"), ("size(", ")"), ("-(", ")"), ("(true?", ":2)")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(fault(&nested(33)).contains("brackets nest deeper"), "{open}");
            let beside = vec![nested(1); 60].join("+"); // they do not add up
            assert!(!Condition::parse(&beside).is_err_and(|fault| fault.contains("brackets")), "{open}");
            assert_eq!(Condition::parse(&nested(20)).map(|_| ()), Ok(()), "{open}");
        }
        for chain in [".a", "+1", "-1", "==1", "[0]", "*2", "?1:1"] {
            let condition = format!("event.n{}", chain.repeat(1000 / chain.len()));
            assert!(Condition::parse(&condition).is_err(), "{chain}");
            let condition = format!("event.n{}", chain.repeat(20));
            assert_eq!(Condition::parse(&condition).map(|_| ()), Ok(()), "{chain}");
        }
        let fault = fault(&format!("{}1{}", "(".repeat(32), ")".repeat(32) + " >"));
        assert!(!fault.contains("brackets"), "{fault}");
        for chain in ["-", "!", "true?1:", "((((((", "'"] {
            let _ = Condition::parse(&format!("{}true", chain.repeat(900 / chain.len())));
        }
    }

    #[test]
    fn a_condition_nests_as_deep_as_it_may_and_no_deeper() {
        let chain = |members: usize| format!("event{}", ".a".repeat(members));
        assert_eq!(Condition::parse(&chain(96)).map(|_| ()), Ok(()));
        assert_eq!(fault(&chain(97)), "the condition nests deeper than 96 levels");
    }

    #[test]
    fn no_event_makes_a_condition_panic() {
        let long = format!(r#"{{"n":"{}","a":[{}1]}}"#, "é".repeat(50_000), "1,".repeat(50_000));
        let deep = format!(r#"{{"n":{}1{}}}"#, "[".repeat(30), "]".repeat(30));
        let events = [
            "{}",
            r#"{"n":0,"a":[],"s":""}"#,
            r#"{"n":-9223372036854775808,"a":[9223372036854775807],"s":"\u0000"}"#,
            r#"{"n":9223372036854775807,"a":[-1,-1],"s":"9223372036854775808"}"#,
            r#"{"n":18446744073709551615,"a":{"b":1},"s":"é🙂"}"#,
            r#"{"n":1e308,"a":[1e-308,null,"x",[1],{"y":2}],"s":"NaN"}"#,
            r#"{"n":null,"a":null,"s":null}"#,
            r#"{"n":[[[[1]]]],"a":"abc","s":{"":{}}}"#,
            r#"{"n":true,"a":[true,1,1.0,"1"],"s":false}"#,
            long.as_str(),
            deep.as_str(),
        ];
        let conditions = [
            "event.n / 0 == 1",
            "1 / event.n > 0",
            "event.n % 0 == 1",
            "event.n % -1 == 0",
            "event.n / -1 > 0",
            "event.n + 1 > 0",
            "event.n - 1 < 0",
            "event.n * event.n > 0",
            "-event.n > 0",
            "event.n + event.n == event.n",
            "int(event.n) > 0",
            "uint(event.n) > 0u",
            "double(event.n) > 0.0",
            "int(event.s) > 0",
            "double(event.s) > 0.0",
            "bool(event.s)",
            "string(event.n) == event.s",
            "bytes(event.s) == b'\\xff'",
            "string(bytes(event.s)) == event.s",
            "event.a[0] == 1",
            "event.a[-1] == 1",
            "event.a[event.n] == 1",
            "event.a[9223372036854775807] == 1",
            "event[event.s] == 1",
            "event.s[0] == 'a'",
            "size(event.s) > 2",
            "size(event.a) > size(event.n)",
            "event.s.contains(event.s)",
            "event.s.startsWith(event.a)",
            "event.s.endsWith('')",
            "event.s.matches('^(a|é)*$')",
            "event.a.exists(x, x > 1)",
            "event.a.all(x, x / x == 1)",
            "event.a.map(x, x + x) == event.a",
            "event.a.filter(x, x.y == 1).size() == 0",
            "event.a.exists_one(x, x == 1)",
            "event.n in event.a",
            "event.n == event.a",
            "event.n < event.a",
            "event.a + event.a == []",
            "event.s + event.s == event.n",
            "event",
            "!event.n",
            "event.n ? event.s : event.a",
            "event.n && event.s || event.a",
            "{event.n: 1, event.n: 2} == {}",
            "{event.s: 1}[event.s] == 1",
            "type(event.n) == type(event.a)",
            "has(event.n.a.b)",
            "dyn(event.n) == null",
        ];
        for condition in conditions {
            let parsed = Condition::parse(condition).expect(condition);
            for event in events {
                let subject = Subject::new(serde_json::from_str(event).unwrap());
                let _ = parsed.holds(&subject);
            }
        }
    }
}
