//! Verify: folds every key anew from its snapshot and tail, and compares with what is stored.

use std::iter::Peekable;

use millpond_core::store::Row;
use millpond_core::verify::{Difference, verify};

use super::Store;
use super::read::decode_snapshot;
use crate::error::Error;
use crate::op::Table;

/// What verifying found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Keys compared.
    pub keys: u64,
    /// Rows folded.
    pub rows: u64,
    /// Differences found; must be 0.
    pub differences: u64,
}

/// A difference and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDifference {
    /// The key.
    pub key: String,
    /// What differs.
    pub difference: Difference,
}

type Rows<'r> = Peekable<Box<dyn Iterator<Item = Result<(String, Row), Error>> + 'r>>;

impl Store {
    /// Reads everything once, in the order of keys, and hands over each difference.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn verify(
        &self,
        mut found: impl FnMut(KeyDifference),
        mut progress: impl FnMut(&Verified),
    ) -> Result<Verified, Error> {
        let sight = self.flushed_sight()?;
        let parsed = sight.scan(&self.lsm, &self.lsm.events, Vec::new()).map(|item| {
            let (key, value) = item?;
            let (of, row) = self.lsm.parse_row(&key, &value)?;
            Ok((of.to_owned(), row))
        });
        let mut rows: Rows<'_> = (Box::new(parsed) as Box<dyn Iterator<Item = _>>).peekable();
        let mut done = Verified::default();
        for item in sight.scan(&self.lsm, &self.lsm.views, Vec::new()) {
            let (key, value) = item?;
            let key = String::from_utf8(key).map_err(|_| Error::Unreadable { what: "a key of a view".into() })?;
            orphans(&mut rows, Some(&key), &mut done, &mut found)?;
            let record = self.lsm.decode_record(&key, &value)?;
            let snapshot = match record.closed {
                Some(_) => match sight.get(&self.lsm, Table::Snapshots, key.as_bytes())? {
                    Some(value) => Some(decode_snapshot(&key, &value)?),
                    None => return Err(Error::Unreadable { what: format!("the snapshot of key `{key}`") }),
                },
                None => None,
            };
            let view = record.view(&self.join, snapshot);
            let mut tail = Vec::new();
            while let Some(row) = next_of(&mut rows, &key)? {
                if view.through().is_none_or(|through| row.position > *through) {
                    tail.push(row);
                }
            }
            done.keys += 1;
            done.rows += tail.len() as u64;
            let differences = verify(&self.join, &view, &tail).map_err(|source| Error::Row {
                key: key.clone(),
                position: view.folded_to.clone(),
                source,
            })?;
            for difference in differences {
                done.differences += 1;
                found(KeyDifference { key: key.clone(), difference });
            }
            progress(&done);
        }
        orphans(&mut rows, None, &mut done, &mut found)?;
        Ok(done)
    }
}

/// The next row if it is of this key.
fn next_of(rows: &mut Rows<'_>, key: &str) -> Result<Option<Row>, Error> {
    match rows.next_if(|item| item.as_ref().map_or(true, |(of, _)| of == key)) {
        Some(item) => Ok(Some(item?.1)),
        None => Ok(None),
    }
}

/// Rows of keys without a view, before `key`.
fn orphans(
    rows: &mut Rows<'_>,
    key: Option<&str>,
    done: &mut Verified,
    found: &mut impl FnMut(KeyDifference),
) -> Result<(), Error> {
    let before = |item: &Result<(String, Row), Error>| match item {
        Ok((of, _)) => key.is_none_or(|key| of.as_str() < key),
        Err(_) => true,
    };
    while let Some(item) = rows.next_if(before) {
        let (key, row) = item?;
        done.differences += 1;
        let difference = Difference {
            what: "row".into(),
            stored: row.position.to_string(),
            refolded: "a row without a view".into(),
        };
        found(KeyDifference { key, difference });
    }
    Ok(())
}
