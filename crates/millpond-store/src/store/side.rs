//! The small tables: memory and tables as one, in order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Store;
use crate::error::Error;
use crate::op::Table;

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
        let memory = self.settled()?;
        let mut recent: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let frozen = memory.frozen.iter().flat_map(|frozen| frozen.memtable.side_of(table, start));
        for (key, value) in frozen.chain(memory.active.side_of(table, start)) {
            recent.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        }
        let sight = self.lsm.sight();
        drop(memory);
        let mut recent = recent.into_iter().peekable();
        let mut stored = sight.scan(&self.lsm, self.lsm.side(table), start.to_vec()).peekable();
        loop {
            // Of the two, the lower key is next; at the same key, memory is newer.
            let from_memory = match (recent.peek(), stored.peek()) {
                (None, None) => return Ok(()),
                (Some((recent, _)), Some(Ok((stored, _)))) => recent <= stored,
                (recent, _) => recent.is_some(),
            };
            let (key, value) = match recent.next_if(|_| from_memory) {
                Some((key, value)) => {
                    stored.next_if(|item| item.as_ref().is_ok_and(|(stored, _)| *stored == key));
                    (key, value)
                }
                None => match stored.next().transpose()? {
                    Some((key, value)) => (key, Some(value)),
                    None => return Ok(()),
                },
            };
            if let Some(value) = value
                && each(&key, &value)?.is_break()
            {
                return Ok(());
            }
        }
    }
}
