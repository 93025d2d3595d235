//! Opens a folder with the real store, reads all of it, and compares it with what must be there.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use millpond_store::{Cursor, DataFolder, Filter, Opened, Store};
use serde::{Deserialize, Serialize};

use super::oracle::{Edition, Expected, Sight};
use super::script::{Step, marked, options};

/// What a look found, where nothing was wrong.
#[derive(Clone, Debug)]
pub struct Look {
    /// How many whole steps the store holds.
    pub steps: usize,
    /// What opening said.
    pub opened: Opened,
}

/// Looks at a folder in which `acked` steps were acknowledged: they must be there, and at most one
/// more. `None`: nothing was acknowledged, not even that the store is open.
///
/// # Errors
/// What is wrong.
pub fn look(dir: &Path, expected: &Expected, acked: Option<usize>) -> Result<Look> {
    caught(|| {
        let folder = DataFolder::open_or_create(dir).context("the data folder does not open")?;
        let opened = Store::open_or_create(&folder, Edition::Plain.join(), options(expected.seed));
        let (store, opened) = opened.context("the store does not open")?;
        let steps = examine(&store, expected, acked.unwrap_or(0))?;
        ensure!(acked.is_none() || !opened.created, "the store is gone, and another was made");
        Ok(Look { steps, opened })
    })
}

/// What became of a folder one of whose files was damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Everything is as it should be.
    Right,
    /// It was told: by what, and how.
    Told(String, String),
    /// The end of the log was cut, which was told, and the rest is right.
    Cut,
    /// Something is wrong, and nobody said so.
    Wrong(String),
    /// The store panicked.
    Panicked(String),
}

/// Opens, reads and verifies a folder in which `acked` steps were acknowledged and then a file was
/// damaged.
#[must_use]
pub fn judge(dir: &Path, expected: &Expected, acked: usize) -> Verdict {
    let judged = caught(|| {
        let told = |by: &str, error: &dyn std::fmt::Display| Ok(Verdict::Told(by.to_owned(), format!("{error:#}")));
        let folder = match DataFolder::open_or_create(dir) {
            Ok(folder) => folder,
            Err(error) => return told("opening the folder", &error),
        };
        if folder.joins()? != ["disk"] {
            return Ok(Verdict::Wrong("the join is gone".to_owned()));
        }
        let (store, opened) = match Store::open(&folder, "disk", options(expected.seed)) {
            Ok(opened) => opened,
            Err(error) => return told("opening", &error),
        };
        let seen = match sight(&store) {
            Ok(seen) => seen,
            Err(error) => return told("reading", &error),
        };
        let mut differences = 0;
        match store.verify(|_| differences += 1, |_| {}) {
            Ok(_) if differences == 0 => {}
            Ok(_) => return told("verify", &format!("{differences} differences")),
            Err(error) => return told("verify", &error),
        }
        if let Err(error) = store.close() {
            return told("closing", &error);
        }
        let after = |steps: usize| expected.after.get(steps) == Some(&seen);
        Ok(match () {
            () if after(acked) || after(acked + 1) => Verdict::Right,
            () if opened.torn.is_some() && (0..acked).any(after) => Verdict::Cut,
            // The tables had begun to follow the commit that was cut.
            () if opened.torn.is_some() && matches!(expected.steps.get(acked), Some(Step::Erase(_))) => {
                Verdict::Told("opening, which cut the commit of an erasure under way".to_owned(), String::new())
            }
            () => Verdict::Wrong(difference(&seen, &expected.after[acked])),
        })
    });
    judged.unwrap_or_else(|error| Verdict::Panicked(format!("{error:#}")))
}

/// A panic as an error.
///
/// # Errors
/// That of `work`, or its panic.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            bail!("it panicked: {}", text.unwrap_or_default())
        }
    }
}

/// Reads everything, and says how many steps that is.
fn examine(store: &Store, expected: &Expected, acked: usize) -> Result<usize> {
    let seen = sight(store).context("the store cannot be read")?;
    let steps = whole_steps(&seen, expected, acked)?;
    if let Some(mark) = marked(store)? {
        // The mark of a batch is in its own commit; that of any other step comes in one behind it.
        let next_is_batch = matches!(expected.steps.get(acked), Some(Step::Ingest(_)));
        let fits = if next_is_batch { mark == steps } else { mark == acked || mark == acked + 1 };
        ensure!(fits, "step {mark} left the last mark, but what is there is that of {steps} steps");
    }
    let mut differences = Vec::new();
    let verified = store.verify(|difference| differences.push(difference), |_| {}).context("verify fails")?;
    ensure!(verified.differences == 0, "verify finds {differences:?}");
    let again = sight(store).context("the store cannot be read again")?;
    ensure!(again == seen, "the flush of verify changed what is seen: {}", difference(&again, &seen));
    let counters = store.counters();
    let parts = counters.accepted + counters.duplicate + counters.late + counters.quarantined + counters.ignored;
    ensure!(counters.received == parts, "the counters do not add up: {counters:?}");
    ensure!(counters.divergence == 0, "the counters tell of a divergence: {counters:?}");
    ensure!(counters.keys == seen.documents.len() as u64, "{} keys, and {counters:?}", seen.documents.len());
    follow(store, &seen)?;
    Ok(steps)
}

/// How many steps make what is seen: those that were acknowledged, or one more.
fn whole_steps(seen: &Sight, expected: &Expected, acked: usize) -> Result<usize> {
    for steps in [acked, acked + 1] {
        if expected.after.get(steps) == Some(seen) {
            return Ok(steps);
        }
    }
    let other: Vec<usize> = (0..expected.after.len()).filter(|steps| expected.after[*steps] == *seen).collect();
    ensure!(other.is_empty(), "{acked} steps were acknowledged, and the store is as after {other:?}");
    let next = expected.steps.get(acked).map_or("nothing", Step::name);
    bail!(
        "{acked} steps were acknowledged, {next} comes next, and the store is as after no whole number of steps. {}",
        difference(seen, &expected.after[acked])
    )
}

/// What is read that should not be, and the other way round.
fn difference(seen: &Sight, expected: &Sight) -> String {
    let lines = |sight: &Sight| -> BTreeSet<String> {
        let documents = sight.documents.iter().map(|(key, document)| format!("{key}: {document}"));
        let late = sight.late.iter().map(|(key, at, body)| format!("late {key} {at}: {}", body.escape_ascii()));
        let quarantine = sight.quarantine.iter().map(|bytes| format!("quarantine {}", bytes.escape_ascii()));
        documents.chain(late).chain(quarantine).collect()
    };
    let (seen, expected) = (lines(seen), lines(expected));
    let (more, less): (Vec<_>, Vec<_>) = (seen.difference(&expected).collect(), expected.difference(&seen).collect());
    format!("There is {more:#?}; there should be {less:#?}")
}

/// All that a reader can see.
fn sight(store: &Store) -> Result<Sight> {
    let documents = store.documents("", None, usize::MAX)?;
    let mut late = Vec::new();
    store.each_late(None, |entry| {
        late.push((entry.key, entry.event.row.position, entry.event.row.body.as_bytes().to_vec()));
        Ok::<_, millpond_store::Error>(())
    })?;
    let mut quarantine = BTreeSet::new();
    store.each_quarantined(|entry| {
        quarantine.insert(entry.quarantined.bytes);
        Ok::<_, millpond_store::Error>(())
    })?;
    Ok(Sight { documents, late, quarantine })
}

/// Follows the changes from their beginning: who does so knows what is there.
fn follow(store: &Store, seen: &Sight) -> Result<()> {
    const PAGES_MAX: usize = 1_000;
    let mut known = std::collections::BTreeMap::new();
    let mut cursor = Cursor::start();
    for _ in 0..PAGES_MAX {
        let page = store.changes(&cursor, &Filter::default(), 100).context("the changes cannot be read")?;
        for change in page.changes {
            match change.document {
                Some(document) => drop(known.insert(change.key, document)),
                None => drop(known.remove(&change.key)),
            }
        }
        cursor = page.next;
        if !page.more {
            let known: Vec<_> = known.into_iter().collect();
            ensure!(known == seen.documents, "the changes tell {known:?}, and there is {:?}", seen.documents);
            return Ok(());
        }
    }
    bail!("the changes have no end")
}
