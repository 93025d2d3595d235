//! The small tables: memory and tables as one, in order.

use std::ops::ControlFlow;

use super::Store;
use crate::error::Error;
use crate::lsm::Sight;
use crate::op::Table;

/// A part of a small table, of one moment: up to the key `last` if there is one.
struct Part {
    /// What is in memory of it, in order.
    recent: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    last: Option<Vec<u8>>,
    sight: Sight,
}

impl Store {
    /// Every value of a small table.
    pub(super) fn each_side<E: From<Error>>(
        &self,
        table: Table,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scan_side(table, &[], |key, value| each(key, value).map(ControlFlow::Continue))
    }

    /// The values of a small table from `start` on, for as long as they are wanted.
    pub(super) fn scan_side<E: From<Error>>(
        &self,
        table: Table,
        start: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut start = start.to_vec();
        loop {
            let part = self.part_of_side(table, &start)?;
            if self.scan_part(table, &part, &start, &mut each)?.is_break() {
                return Ok(());
            }
            match part.last {
                Some(last) => start = [last.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }

    /// Takes the first values in memory: who lists a few must not copy, and hold others up for, what
    /// nobody has asked for.
    fn part_of_side(&self, table: Table, start: &[u8]) -> Result<Part, Error> {
        const BYTES_AT_ONCE: usize = 256 << 10;
        let memory = self.settled()?;
        let mut part = Part { recent: Vec::new(), last: None, sight: self.lsm.sight() };
        let older = memory.frozen.iter().flat_map(|frozen| frozen.memtable.side_of(table, start));
        let (mut newer, mut older) = (memory.active.side_of(table, start).peekable(), older.peekable());
        let mut bytes = 0;
        loop {
            // Of the two, the lower key is next; at the same key, the newer one counts.
            let from_older = match (newer.peek(), older.peek()) {
                (Some((newer, _)), Some((older, _))) => older < newer,
                (newer, _) => newer.is_none(),
            };
            let Some((key, value)) = (if from_older { older.next() } else { newer.next() }) else { return Ok(part) };
            older.next_if(|(same, _)| *same == key);
            bytes += key.len() + value.map_or(0, <[u8]>::len);
            part.recent.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            if bytes > BYTES_AT_ONCE {
                part.last = Some(key.to_vec());
                return Ok(part);
            }
        }
    }

    fn scan_part<E: From<Error>>(
        &self,
        table: Table,
        part: &Part,
        start: &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut recent = part.recent.iter().map(|(key, value)| (key, value.as_deref())).peekable();
        let mut stored = part.sight.scan(&self.lsm, self.lsm.side(table), start.to_vec()).peekable();
        loop {
            // Of the two, the lower key is next; at the same key, memory is newer.
            let from_memory = match (recent.peek(), stored.peek()) {
                (None, None) => break,
                (Some((recent, _)), Some(Ok((stored, _)))) => *recent <= stored,
                (recent, _) => recent.is_some(),
            };
            let done = match recent.next_if(|_| from_memory) {
                Some((key, value)) => {
                    stored.next_if(|item| item.as_ref().is_ok_and(|(stored, _)| stored == key));
                    value.map_or(Ok(ControlFlow::Continue(())), |value| each(key, value))?
                }
                None => match stored.next().transpose()? {
                    Some((key, _)) if part.last.as_ref().is_some_and(|last| key > *last) => break,
                    Some((key, value)) => each(&key, &value)?,
                    None => break,
                },
            };
            if done.is_break() {
                return Ok(done);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
