//! Reads a definition: untrusted TOML in, a [`Join`] or every fault out.

mod fault;
mod view;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use fault::suggest;
pub use fault::{Fault, Faults};

use crate::envelope::{Path, Reading};
use crate::join::{Join, KeyedType, Source, TypeIndex};

/// The largest definition, in bytes.
pub const DEFINITION_BYTES_MAX: usize = 64 * 1024;
/// The most event types, fields, and key paths of one type.
pub const TYPES_MAX: usize = 64;
/// The most fields of a view.
pub const FIELDS_MAX: usize = 64;
/// The most keys that one event can join.
pub const KEY_PATHS_MAX: usize = 8;
/// The longest name of a join or a field, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest lateness: ten years.
pub const LATENESS_MS_MAX: u64 = 3650 * DAY_MS;
const LATENESS_MS_DEFAULT: u64 = 7 * DAY_MS;
const DAY_MS: u64 = 86_400_000;
const SNAPSHOT_EVERY_DEFAULT: u64 = 100;
const SNAPSHOT_EVERY_MAX: i64 = 1_000_000;

const MEMBERS: [&str; 5] = ["name", "lateness", "snapshot_every", "key", "view"];

type Value<'t> = Spanned<DeValue<'t>>;
type Table<'t> = DeTable<'t>;

/// Parses and checks a definition whole.
pub(crate) fn parse(text: &str) -> Result<Join, Faults> {
    let mut checker = Checker { text, faults: Vec::new(), paths: Vec::new(), types: Vec::new() };
    let join = checker.join();
    let mut faults = checker.faults;
    match join {
        Some(join) if faults.is_empty() => Ok(join),
        _ => {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            Err(Faults(faults))
        }
    }
}

/// Collects faults while it reads, so that the author sees all of them at once.
struct Checker<'t> {
    text: &'t str,
    faults: Vec<Fault>,
    paths: Vec<Path>,
    types: Vec<KeyedType>,
}

impl<'t> Checker<'t> {
    fn fault(&mut self, at: std::ops::Range<usize>, message: impl Into<String>) {
        let before = &self.text[..at.start.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.faults.push(Fault {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        });
    }

    fn join(&mut self) -> Option<Join> {
        if self.text.len() > DEFINITION_BYTES_MAX {
            let message = format!("the definition has {} bytes; at most {DEFINITION_BYTES_MAX}", self.text.len());
            self.fault(0..0, message);
            return None;
        }
        let text = self.text;
        let root = match DeTable::parse(text) {
            Ok(root) => root.into_inner(),
            Err(error) => {
                self.fault(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
                return None;
            }
        };
        self.only_members(&root, &MEMBERS, "the definition");
        let name = self.name(&root);
        let lateness_ms = self.lateness(&root);
        let snapshot_every = self.snapshot_every(&root);
        self.keys(&root);
        let (fields, shown) = self.view(&root);
        for (index, field) in fields.iter().enumerate() {
            for kind in &field.of {
                self.types[usize::from(kind.0)].fields.push(index as u16);
            }
        }
        let paths = std::mem::take(&mut self.paths);
        Some(Join {
            name: name?,
            lateness_ms: lateness_ms?,
            snapshot_every: snapshot_every?,
            reading: Reading::new(&paths),
            types: std::mem::take(&mut self.types),
            fields,
            shown,
            paths,
            source_text: text.to_owned(),
        })
    }

    fn only_members(&mut self, table: &Table<'t>, known: &[&str], of: &str) {
        for name in table.keys() {
            if !known.contains(&name.get_ref().as_ref()) {
                let hint = suggest(name.get_ref(), known.iter().copied());
                self.fault(name.span(), format!("`{}` is no part of {of}{hint}", name.get_ref()));
            }
        }
    }

    fn name(&mut self, root: &Table<'t>) -> Option<String> {
        let Some(value) = root.get("name") else {
            self.fault(0..0, "`name` is missing; expected a name such as `name = \"user-activity\"`");
            return None;
        };
        let name = self.string(value, "`name`")?.to_owned();
        let first_ok = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let rest_ok = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if !first_ok || !rest_ok || name.len() > NAME_BYTES_MAX {
            let message = format!(
                "`{name}` cannot name a join; expected at most {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`, a letter or digit first"
            );
            self.fault(value.span(), message);
            return None;
        }
        Some(name)
    }

    fn lateness(&mut self, root: &Table<'t>) -> Option<u64> {
        let Some(value) = root.get("lateness") else { return Some(LATENESS_MS_DEFAULT) };
        let text = self.string(value, "`lateness`")?;
        match duration_ms(text) {
            Some(ms) if ms <= LATENESS_MS_MAX => Some(ms),
            Some(_) => {
                self.fault(value.span(), "`lateness` is at most 3650d");
                None
            }
            None => {
                let message =
                    format!("`{text}` is no duration; expected a number and one of ms, s, m, h, d, such as `7d`");
                self.fault(value.span(), message);
                None
            }
        }
    }

    fn snapshot_every(&mut self, root: &Table<'t>) -> Option<u64> {
        let Some(value) = root.get("snapshot_every") else { return Some(SNAPSHOT_EVERY_DEFAULT) };
        self.integer(value, "`snapshot_every`", 1, SNAPSHOT_EVERY_MAX).map(|n| n as u64)
    }

    fn keys(&mut self, root: &Table<'t>) {
        let example = "expected `[key]` with a line an event type, such as `\"user-created\" = \"user.id\"`";
        let Some(value) = root.get("key") else {
            self.fault(0..0, format!("`[key]` is missing; {example}"));
            return;
        };
        let Some(table) = self.table(value, "`key`") else { return };
        if table.is_empty() {
            self.fault(value.span(), format!("`[key]` is empty; {example}"));
        }
        if table.len() > TYPES_MAX {
            self.fault(value.span(), format!("{} event types; at most {TYPES_MAX}", table.len()));
            return;
        }
        for (name, paths) in table {
            let kind = name.get_ref();
            if kind.is_empty() || kind.len() > crate::event::TYPE_BYTES_MAX {
                self.fault(name.span(), "an event type has 1 to 256 bytes");
            }
            let keys = self.key_paths(paths, kind);
            self.types.push(KeyedType { name: kind.to_string(), keys, fields: Vec::new() });
        }
        self.types.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn key_paths(&mut self, value: &Value<'t>, kind: &str) -> Vec<Source> {
        if let DeValue::Array(paths) = value.get_ref() {
            if paths.is_empty() || paths.len() > KEY_PATHS_MAX {
                self.fault(
                    value.span(),
                    format!("`{kind}` has {} key paths; expected 1 to {KEY_PATHS_MAX}", paths.len()),
                );
            }
            return paths.iter().take(KEY_PATHS_MAX).filter_map(|path| self.source(path, "a key path")).collect();
        }
        self.source(value, &format!("the key of `{kind}`")).into_iter().collect()
    }

    /// A path as a source: the envelope's own members, or a place in the body.
    fn source(&mut self, value: &Value<'t>, what: &str) -> Option<Source> {
        let text = self.string(value, what)?;
        let path = match Path::parse(text) {
            Ok(path) => path,
            Err(problem) => {
                self.fault(value.span(), format!("`{text}` is no path: {problem}"));
                return None;
            }
        };
        Some(match text {
            "id" => Source::Id,
            "type" => Source::Type,
            "timestamp" | "time" => Source::Timestamp,
            "source" => Source::Source,
            "subject" => Source::Subject,
            _ => {
                let index = self.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
                    self.paths.push(path);
                    self.paths.len() - 1
                });
                Source::Body(index as u16)
            }
        })
    }

    /// One type or a list of types, all of them known.
    fn types(&mut self, value: &Value<'t>, what: &str) -> Vec<TypeIndex> {
        let names = match value.get_ref() {
            DeValue::Array(names) => names.iter().collect(),
            _ => vec![value],
        };
        if names.is_empty() {
            self.fault(value.span(), format!("{what} names no event type"));
        }
        let mut kinds: Vec<_> = names.into_iter().filter_map(|name| self.kind(name, what)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn kind(&mut self, value: &Value<'t>, what: &str) -> Option<TypeIndex> {
        let name = self.string(value, what)?;
        if self.types.is_empty() {
            return None; // `[key]` has its own fault
        }
        match self.types.binary_search_by(|known| known.name.as_str().cmp(name)) {
            Ok(index) => Some(TypeIndex(index as u16)),
            Err(_) => {
                let hint = suggest(name, self.types.iter().map(|known| known.name.as_str()));
                self.fault(value.span(), format!("{what} names `{name}`, which is no event type of `[key]`{hint}"));
                None
            }
        }
    }

    fn string<'v>(&mut self, value: &'v Value<'t>, what: &str) -> Option<&'v str> {
        let found = value.get_ref().as_str();
        if found.is_none() {
            self.fault(value.span(), format!("{what} is {}; expected a string", described(value.get_ref())));
        }
        found
    }

    fn table<'v>(&mut self, value: &'v Value<'t>, what: &str) -> Option<&'v Table<'t>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.fault(value.span(), format!("{what} is {}; expected a table", described(value.get_ref())));
        }
        found
    }

    fn integer(&mut self, value: &Value<'t>, what: &str, min: i64, max: i64) -> Option<i64> {
        let number = value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let found = number.filter(|n| (min..=max).contains(n));
        if found.is_none() {
            let shown = number.map_or_else(|| described(value.get_ref()).to_owned(), |n| n.to_string());
            self.fault(value.span(), format!("{what} is {shown}; expected a whole number from {min} to {max}"));
        }
        found
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `90s`, `5m`, `7d` in milliseconds.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}
