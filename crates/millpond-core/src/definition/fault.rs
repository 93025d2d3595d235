//! What is wrong with a definition, where, and the nearest right spelling.

use std::fmt;

/// One fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// All faults of a definition, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// ` (did you mean …?)`, or what there is to choose from.
pub(crate) fn suggest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> String {
    let right: Vec<&str> = right.into_iter().collect();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &candidate.to_lowercase());
    let nearest = right.iter().copied().min_by_key(|candidate| distance(candidate));
    match nearest {
        Some(candidate) if distance(candidate) <= 1 + wrong.chars().count() / 4 => {
            format!("; did you mean `{candidate}`?")
        }
        _ if right.is_empty() => String::new(),
        _ => format!("; expected one of {}", listed(&right)),
    }
}

fn listed(names: &[&str]) -> String {
    const SHOWN_MAX: usize = 12;
    let mut text: Vec<_> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN_MAX {
        text.push(format!("{} more", names.len() - SHOWN_MAX));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_near_is_suggested_and_else_what_there_is() {
        let names: Vec<String> = (1..=14).map(|n| format!("n{n}")).collect();
        let of = |count: usize| suggest("something else", names[..count].iter().map(String::as_str));
        let listed =
            |count: usize| names[..count].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        assert_eq!(of(0), "");
        assert_eq!(of(2), "; expected one of `n1`, `n2`");
        assert_eq!(of(12), format!("; expected one of {}", listed(12)));
        assert_eq!(of(13), format!("; expected one of {}, 1 more", listed(12)));
        assert_eq!(of(14), format!("; expected one of {}, 2 more", listed(12)));
        // The longer the word, the more of it may be wrong.
        assert_eq!(suggest("abcdefgh", ["abcdeXYZ"]), "; did you mean `abcdeXYZ`?");
        assert_eq!(suggest("abcdefgh", ["abcdWXYZ"]), "; expected one of `abcdWXYZ`");
        assert_eq!(suggest("abc", ["abX"]), "; did you mean `abX`?");
        assert_eq!(suggest("abc", ["aXY"]), "; expected one of `aXY`");
    }
}
