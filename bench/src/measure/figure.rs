//! A row of the table, and the table.

use serde::Serialize;

use super::Machine;

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The value; a median where there were several runs.
    pub value: f64,
    /// What it is counted in.
    pub unit: &'static str,
    /// What it should not exceed, if there is an aim.
    pub target: Option<f64>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None }
    }

    pub(super) fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    fn row(&self) -> String {
        let missed = |target: f64| if self.value > target { ", missed" } else { "" };
        let target = self.target.map(|target| format!("≤ {target}{}", missed(target)));
        format!("| {} | {} | {} | {} |", self.name, shown(self.value), target.unwrap_or_default(), self.unit)
    }
}

/// The machine and the figures as Markdown.
#[must_use]
pub fn markdown(machine: &Machine, figures: &[Figure]) -> String {
    let rows: Vec<String> = figures.iter().map(Figure::row).collect();
    format!("{machine}\n\n| what | measured | target | unit |\n|---|--:|--:|---|\n{}\n", rows.join("\n"))
}

/// About three digits, and thousands apart.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.1 => format!("{value:.4}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => grouped(value.round() as i64),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count as it stands in a figure's name.
pub(super) fn count(value: u64) -> String {
    grouped(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_about_three_digits() {
        let text: Vec<String> = [0.0, 0.01234, 1.234, 56.78, -123.4, 1_234_567.0].into_iter().map(shown).collect();
        assert_eq!(text, ["0", "0.0123", "1.23", "56.8", "-123", "1,234,567"]);
    }

    #[test]
    fn a_row_says_when_a_target_is_missed() {
        let figure = |value| Figure::new("cost", value, "s").at_most(1.2).row();
        assert_eq!(
            (figure(1.2), figure(1.3)),
            ("| cost | 1.20 | ≤ 1.2 | s |".into(), "| cost | 1.30 | ≤ 1.2, missed | s |".into())
        );
    }
}
