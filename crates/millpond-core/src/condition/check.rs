//! What a condition may say: only the event, only known functions, and a cost that grows no
//! faster than the event.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use crate::definition::suggest;

/// How deep brackets may nest in the source: the parser behind us recurses.
const BRACKETS_MAX: usize = 32;
/// How deep an expression may nest, long chains such as `a + b + c` included: evaluation recurses.
const DEPTH_MAX: usize = 96;
/// Macros inside a macro's body, the outer one included.
const LOOPS_MAX: usize = 2;

const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];
const MACROS: [&str; 7] = ["has", "all", "exists", "exists_one", "existsOne", "map", "filter"];
/// Names that stand for a type, as in `type(event.total) == int`.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Refuses a source whose brackets nest too deep to be parsed safely.
pub(super) fn brackets(source: &str) -> Result<(), String> {
    // Brackets inside string literals count too: a limit that errs on the safe side needs no lexer.
    let mut depth = 0usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BRACKETS_MAX {
            return Err(format!("brackets nest deeper than {BRACKETS_MAX}"));
        }
    }
    Ok(())
}

/// Checks a parsed condition; `matches` tells whether a pattern is a sound one.
pub(super) fn expression(root: &IdedExpr, matches: &dyn Fn(&str) -> Result<(), String>) -> Result<(), String> {
    Check { bound: Vec::new(), loops: Vec::new(), matches }.any(root, 0)
}

/// A macro that is run for each element of something.
struct Loop {
    /// Whether it runs over what another macro made.
    over_made: bool,
    /// Its variables are those from here on.
    bound_from: usize,
}

struct Check<'e> {
    /// Variables of the macros around.
    bound: Vec<&'e str>,
    /// The macros around.
    loops: Vec<Loop>,
    matches: &'e dyn Fn(&str) -> Result<(), String>,
}

impl<'e> Check<'e> {
    fn any(&mut self, node: &'e IdedExpr, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("the condition nests deeper than {DEPTH_MAX} levels"));
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name).and_then(|()| self.near(name)),
            Expr::Select(select) => self.any(&select.operand, depth),
            Expr::Call(call) => self.call(call, depth),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.any(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::StructField(field) => self.any(&field.value, depth),
                EntryExpr::MapEntry(entry) => {
                    self.any(&entry.key, depth)?;
                    self.any(&entry.value, depth)
                }
            }),
            Expr::Struct(made) => Err(format!("`{}` cannot be made in a condition", made.type_name)),
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if name == "event" || TYPES.contains(&name) || self.bound.contains(&name) {
            return Ok(());
        }
        Err(format!("`{name}` is unknown; the event is called `event`, as in `event.{name}`"))
    }

    /// Refuses what is outside of the innermost macro: whatever it holds would be gone through, or copied, once an
    /// element.
    fn near(&self, name: &str) -> Result<(), String> {
        let Some(Loop { bound_from, .. }) = self.loops.last() else { return Ok(()) };
        if TYPES.contains(&name) || self.bound[*bound_from..].contains(&name) {
            return Ok(());
        }
        Err(format!(
            "inside a macro, `{name}` may only stand on the left of a comparison, as in `{name}.member == x`: elsewhere it would be \
             gone through once an element"
        ))
    }

    /// A part of a call: one that is only looked at may be outside of the innermost macro.
    fn part(&mut self, node: &'e IdedExpr, is_looked_at: bool, depth: usize) -> Result<(), String> {
        match root(node).filter(|_| is_looked_at) {
            Some(name) => self.variable(name),
            None => self.any(node, depth),
        }
    }

    fn call(&mut self, call: &'e CallExpr, depth: usize) -> Result<(), String> {
        let name = call.func_name.as_str();
        let is_operator = name.starts_with(|c: char| !c.is_ascii_alphabetic());
        if MACROS.contains(&name) {
            return Err(format!("`{name}` is called wrongly; expected {}", usage(name)));
        }
        if !is_operator && !FUNCTIONS.contains(&name) {
            let hint = suggest(name, FUNCTIONS.into_iter().chain(MACROS));
            return Err(format!("`{name}` is no function of conditions{hint}"));
        }
        if name == "matches" {
            self.pattern(call)?;
        }
        if name == operators::IN && !self.loops.is_empty() && call.args.last().is_some_and(|list| self.asks(list)) {
            return Err(quadratic("`in`"));
        }
        call.target.iter().try_for_each(|target| self.any(target, depth))?;
        let looked_at = match name {
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::CONDITIONAL => 1,
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => 2,
            _ => 0,
        };
        call.args.iter().enumerate().try_for_each(|(place, part)| self.part(part, place < looked_at, depth))
    }

    /// A pattern is compiled for each event: only the definition's author may choose it.
    fn pattern(&self, call: &CallExpr) -> Result<(), String> {
        match call.args.last().map(|pattern| &pattern.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) => (self.matches)(pattern.inner()),
            _ => Err("the pattern of `matches` must be written out, as in `event.name.matches('^A')`".into()),
        }
    }

    fn comprehension(&mut self, node: &'e ComprehensionExpr, depth: usize) -> Result<(), String> {
        self.part(&node.iter_range, true, depth)?;
        if self.loops.len() >= LOOPS_MAX || self.loops.iter().any(|around| around.over_made) {
            return Err(format!("macros such as `exists` nest deeper than {LOOPS_MAX}"));
        }
        if !self.loops.is_empty() && self.asks(&node.iter_range) {
            return Err(quadratic("a macro"));
        }
        let bound_before = self.bound.len();
        self.bound.extend([&*node.iter_var, &*node.accu_var]);
        self.bound.extend(node.iter_var2.as_deref());
        self.loops.push(Loop { over_made: has_macro(&node.iter_range), bound_from: bound_before });
        let parts = [&node.accu_init, &node.loop_cond, &node.loop_step, &node.result];
        let checked = parts.into_iter().try_for_each(|part| self.any(part, depth));
        self.loops.pop();
        self.bound.truncate(bound_before);
        checked
    }

    /// Whether an expression reaches for the whole event, and not only for a macro's variable.
    fn asks(&self, node: &IdedExpr) -> bool {
        !self.bound.contains(&"event") && node.references().has_variable("event")
    }
}

/// The variable that an expression takes a member of, or is.
fn root(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) => root(&select.operand),
        _ => None,
    }
}

fn has_macro(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Comprehension(_) => true,
        Expr::Select(select) => has_macro(&select.operand),
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).any(has_macro),
        Expr::List(list) => list.elements.iter().any(has_macro),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::StructField(field) => has_macro(&field.value),
            EntryExpr::MapEntry(entry) => has_macro(&entry.key) || has_macro(&entry.value),
        }),
        _ => false,
    }
}

/// An event can hold an array of 390 KB: once over it is fast, once over it for each element is not.
fn quadratic(what: &str) -> String {
    format!("{what} over the event inside a macro would go through the event once an element; use the macro's variable")
}

fn usage(name: &str) -> String {
    match name {
        "has" => "`has(event.member)`".into(),
        _ => format!("`event.list.{name}(x, condition on x)`"),
    }
}
