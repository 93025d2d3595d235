//! The `[view]` part of a definition: each field's fold and its options.

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::{Checker, FIELDS_MAX, NAME_BYTES_MAX, Table, Value, described, suggest};
use crate::condition::Condition;
use crate::fold::Fold;
use crate::join::{Field, TypeIndex};
use crate::json::Json;

/// What `list` keeps and `set` keeps when the definition does not say.
const LIST_LAST_DEFAULT: i64 = 10;
const SET_MAX_DEFAULT: i64 = 100;
/// The most that either may keep.
const COLLECTION_MAX: i64 = 1_000;

impl<'t> Checker<'t> {
    /// The fields sorted by name, and the order in which the author wants to see them.
    pub(super) fn view(&mut self, root: &Table<'t>) -> (Vec<Field>, Vec<u16>) {
        let example = "expected `[view]` with a line a field, such as `orders = { count = \"order-submitted\" }`";
        let Some(value) = root.get("view") else {
            self.fault(0..0, format!("`[view]` is missing; {example}"));
            return Default::default();
        };
        let Some(table) = self.table(value, "`view`") else { return Default::default() };
        if table.is_empty() {
            self.fault(value.span(), format!("`[view]` is empty; {example}"));
        }
        if table.len() > FIELDS_MAX {
            self.fault(value.span(), format!("{} fields; at most {FIELDS_MAX}", table.len()));
            return Default::default();
        }
        let mut fields: Vec<(usize, Field)> =
            table.iter().filter_map(|(name, value)| Some((name.span().start, self.field(name, value)?))).collect();
        fields.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let mut shown: Vec<u16> = (0..fields.len() as u16).collect();
        shown.sort_by_key(|index| fields[usize::from(*index)].0);
        (fields.into_iter().map(|(_, field)| field).collect(), shown)
    }

    fn field(&mut self, name: &Spanned<DeString<'t>>, value: &Value<'t>) -> Option<Field> {
        self.field_name(name);
        let what = format!("field `{}`", name.get_ref());
        let table = self.table(value, &what)?;
        let (fold_name, argument) = self.fold_of(name, value, table)?;
        let mut known = vec![fold_name, "of", "where", "default"];
        match fold_name {
            "list" => known.push("last"),
            "set" => known.push("max"),
            _ => {}
        }
        for member in table.keys().filter(|member| !known.contains(&member.get_ref().as_ref())) {
            if Fold::NAMES.contains(&member.get_ref().as_ref()) {
                let message = format!("{what} has two folds, `{fold_name}` and `{}`; expected one", member.get_ref());
                self.fault(member.span(), message);
            } else {
                let hint = suggest(member.get_ref(), known.iter().copied());
                self.fault(member.span(), format!("`{}` is no option of `{fold_name}`{hint}", member.get_ref()));
            }
        }
        let counts_only = matches!(fold_name, "count" | "exists");
        let of = if counts_only { self.counted_types(fold_name, argument, table) } else { self.of(table) };
        let value = if counts_only { None } else { self.source(argument, &format!("`{fold_name}`")) };
        let fold = self.fold(fold_name, table);
        let condition = self.condition(table);
        let default = self.default(fold_name, table);
        Some(Field { name: name.get_ref().to_string(), fold: fold?, of, value, condition, default })
    }

    fn field_name(&mut self, name: &Spanned<DeString<'t>>) {
        let text = name.get_ref();
        let proper = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.as_ref() == "id" {
            self.fault(name.span(), "`id` is the key's own place in the document; give the field another name");
        } else if text.starts_with('_') {
            self.fault(name.span(), format!("`{text}` begins with `_`, which is kept for Millpond's own marks"));
        } else if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(proper) {
            let message = format!(
                "`{text}` cannot name a field; expected at most {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `_` and `-`"
            );
            self.fault(name.span(), message);
        }
    }

    /// The one member that names a fold, and its value.
    fn fold_of<'v>(
        &mut self,
        name: &Spanned<DeString<'t>>,
        whole: &Value<'t>,
        table: &'v Table<'t>,
    ) -> Option<(&'static str, &'v Value<'t>)> {
        // `max` is also an option of `set`: a fold only where no other fold is named.
        let folds: Vec<_> = Fold::NAMES.iter().filter_map(|fold| Some((*fold, table.get(*fold)?))).collect();
        let chosen = folds.iter().find(|(fold, _)| *fold != "max").or(folds.first()).copied();
        if chosen.is_none() {
            let odd = table.keys().find(|member| !["of", "where", "default"].contains(&member.get_ref().as_ref()));
            let (span, hint) = match odd {
                Some(member) => (
                    member.span(),
                    format!("; `{}` is none{}", member.get_ref(), suggest(member.get_ref(), Fold::NAMES)),
                ),
                None => (whole.span(), suggest("", Fold::NAMES)),
            };
            self.fault(span, format!("field `{}` has no fold{hint}", name.get_ref()));
        }
        chosen
    }

    fn fold(&mut self, name: &str, table: &Table<'t>) -> Option<Fold> {
        Some(match name {
            "latest" => Fold::Latest,
            "first" => Fold::First,
            "count" => Fold::Count,
            "sum" => Fold::Sum,
            "min" => Fold::Min,
            "max" => Fold::Max,
            "avg" => Fold::Avg,
            "exists" => Fold::Exists,
            "list" => Fold::List { last: self.bound(table, "last", LIST_LAST_DEFAULT)? },
            _ => Fold::Set { max: self.bound(table, "max", SET_MAX_DEFAULT)? },
        })
    }

    fn bound(&mut self, table: &Table<'t>, name: &str, default: i64) -> Option<u32> {
        let bound = match table.get(name) {
            None => default,
            Some(value) => self.integer(value, &format!("`{name}`"), 1, COLLECTION_MAX)?,
        };
        Some(bound as u32)
    }

    fn counted_types(&mut self, fold: &str, argument: &Value<'t>, table: &Table<'t>) -> Vec<TypeIndex> {
        if let Some(of) = table.get("of") {
            self.fault(of.span(), format!("`{fold}` names its event types itself; remove `of`"));
        }
        self.types(argument, &format!("`{fold}`"))
    }

    /// Absent: every type of the definition.
    fn of(&mut self, table: &Table<'t>) -> Vec<TypeIndex> {
        match table.get("of") {
            Some(value) => self.types(value, "`of`"),
            None => (0..self.types.len()).map(|index| TypeIndex(index as u16)).collect(),
        }
    }

    fn condition(&mut self, table: &Table<'t>) -> Option<Condition> {
        let value = table.get("where")?;
        let source = self.string(value, "`where`")?;
        match Condition::parse(source) {
            Ok(condition) => Some(condition),
            Err(problem) => {
                self.fault(value.span(), format!("`where`: {problem}"));
                None
            }
        }
    }

    fn default(&mut self, fold: &str, table: &Table<'t>) -> Option<Json> {
        let value = table.get("default")?;
        let empty = match fold {
            "count" | "sum" => "0",
            "exists" => "false",
            "list" | "set" => "[]",
            _ => return self.json(value).map(|json| Json::from(&json)),
        };
        self.fault(value.span(), format!("`{fold}` always has a value ({empty} at first); remove `default`"));
        None
    }

    fn json(&mut self, value: &Value<'t>) -> Option<serde_json::Value> {
        Some(match value.get_ref() {
            DeValue::String(text) => text.as_ref().into(),
            DeValue::Boolean(b) => (*b).into(),
            DeValue::Integer(_) => self.integer(value, "`default`", i64::MIN, i64::MAX)?.into(),
            DeValue::Float(number) => match serde_json::from_str(&number.as_str().replace('_', "")) {
                Ok(number) => number,
                Err(_) => {
                    self.fault(value.span(), "`default` is no number that JSON has");
                    return None;
                }
            },
            DeValue::Array(elements) => {
                elements.iter().map(|element| self.json(element)).collect::<Option<Vec<_>>>()?.into()
            }
            DeValue::Table(members) => {
                let member = |(name, value): (&Spanned<DeString<'t>>, &Value<'t>)| {
                    Some((name.get_ref().to_string(), self.json(value)?))
                };
                serde_json::Value::Object(members.iter().map(member).collect::<Option<_>>()?)
            }
            DeValue::Datetime(_) => {
                self.fault(
                    value.span(),
                    format!(
                        "`default` is {}; expected what JSON has: write it as a string",
                        described(value.get_ref())
                    ),
                );
                return None;
            }
        })
    }
}
