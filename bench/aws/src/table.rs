//! What was measured, beside what it should be.

use millpond_aws_testkit::fake::Call;

use crate::cost::{Cost, Measured};

/// Write units an event, at most: its row, its view, and its row's deletion; and of each hundred, one for their
/// snapshot and one for its trim.
pub const WRITES_MAX: f64 = 3.02;
/// Read units an event, at most: its view, at half a unit; first events, snapshots, trims.
pub const READS_MAX: f64 = 1.0;
/// Items read an event, at most: its view, and itself in a snapshot, in a trim, and in tails once or twice.
pub const ITEMS_MAX: f64 = 5.0;

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it cost.
    pub measured: Measured,
    /// What an event of the shortest history cost; `None` where there is no target.
    pub shortest: Option<Cost>,
}

impl Row {
    /// The targets that are missed; `None` if there are none.
    #[must_use]
    pub fn missed(&self) -> Option<Vec<&'static str>> {
        let cost = self.measured.an_event();
        self.shortest?;
        let targets = [
            ("writes", cost.writes <= WRITES_MAX),
            ("reads", cost.reads <= READS_MAX),
            ("items", cost.items <= ITEMS_MAX),
        ];
        Some(targets.into_iter().filter(|(_, is_met)| !is_met).map(|(name, _)| name).collect())
    }

    fn line(&self) -> String {
        let Measured { events, functions, snapshots, .. } = &self.measured;
        let cost = self.measured.an_event();
        let [consumer, trigger, snapshot, trim] = functions.map(|function| function.over(*events));
        let growth = self.shortest.map_or(String::new(), |shortest| format!(" ({:.1} x)", cost.items / shortest.items));
        let verdict = match self.missed() {
            None => String::new(),
            Some(missed) if missed.is_empty() => "pass".to_owned(),
            Some(missed) => format!("**missed**: {}", missed.join(", ")),
        };
        format!(
            "| {} | {:.2} | {:.2} | {:.2}{growth} | {:.2}, {:.2}, {:.2}, {:.2} | {:.2}, {:.2}, {:.2} | {}, {}, {} | {:.2} | {verdict} |",
            self.what,
            cost.writes,
            cost.reads,
            cost.items,
            consumer.writes,
            trigger.writes,
            snapshot.writes,
            trim.writes,
            trigger.reads,
            snapshot.reads,
            trim.reads,
            self.measured.refolds,
            snapshots.0,
            snapshots.1,
            cost.dollars_a_million(),
        )
    }
}

/// Whether a batch of one key was one read and one write of its view.
#[must_use]
pub fn is_one_read_and_one_write(calls: &[Call]) -> bool {
    let operations: Vec<&str> = calls.iter().map(|call| &*call.operation).collect();
    operations == ["GetItem", "PutItem"]
}

/// The table: a line a workload, and one for the batch of one key.
#[must_use]
pub fn markdown(rows: &[Row], batch: &[Call]) -> String {
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    let said: Vec<String> = batch.iter().map(|call| format!("{}: {}", call.operation, call.units)).collect();
    let verdict = if is_one_read_and_one_write(batch) { "pass" } else { "**missed**: calls" };
    format!(
        "| an event | write units | read units | items read | writes: consumer, trigger, snapshot, trim \
         | reads: trigger, snapshot, trim | refolds, snapshots asked for, made | $ / M events | ≤ {WRITES_MAX}, ≤ {READS_MAX}, ≤ {ITEMS_MAX} |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|\n\
         {}\n\
         | 100 events of one key in one batch: calls of the view table, units | {} | | | | | | | {verdict} |\n",
        lines.join("\n"),
        said.join(", "),
    )
}
