//! Fjall's lists of tables, looked at before fjall reads them: it writes down their checksums and
//! does not compare them, and a damaged length in one made it ask for more memory than there is.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;

/// Names the list that counts: its number u64, its xxh3-128, and 0 for that kind of checksum.
const CURRENT_FILE: &str = "current";
const CURRENT_BYTES: usize = 25;

/// Compares the list of each table, in the folder of all, with its checksum.
///
/// # Errors
/// [`Error::Damaged`] with the first list that is not as it was written.
pub(crate) fn check(keyspaces: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(keyspaces) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("read", keyspaces))?,
    };
    for entry in entries {
        let table = entry.map_err(Error::io("read", keyspaces))?.path();
        if table.is_dir() {
            check_one(&table)?;
        }
    }
    Ok(())
}

/// What is not there, or of another form, is fjall's to judge.
fn check_one(table: &Path) -> Result<(), Error> {
    let Some(current) = read(&table.join(CURRENT_FILE))? else { return Ok(()) };
    let Ok(current) = <[u8; CURRENT_BYTES]>::try_from(current) else { return Ok(()) };
    let (number, rest) = current.split_first_chunk().expect("25 bytes have 8");
    let (checksum, kind) = rest.split_first_chunk().expect("17 bytes have 16");
    let file = table.join(format!("v{}", u64::from_le_bytes(*number)));
    let Some(list) = read(&file)?.filter(|_| kind == [0]) else { return Ok(()) };
    if xxh3_128(&list) == u128::from_le_bytes(*checksum) {
        return Ok(());
    }
    let what = format!("its checksum is not the one in `{CURRENT_FILE}` beside it");
    Err(Error::Damaged { file, offset: 0, what })
}

fn read(file: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(Error::io("read", file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsm::Lsm;

    /// One bit of a list turned over ended the process: fjall asked for as much memory as a length
    /// said that was none.
    #[test]
    fn a_damaged_list_of_tables_is_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(Lsm::open(dir.path(), 1 << 20).unwrap());
        let list = dir.path().join("keyspaces/2/v0");
        let whole = fs::read(&list).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x80;
            fs::write(&list, damaged).unwrap();
            let found = check(&dir.path().join("keyspaces"));
            assert!(matches!(found, Err(Error::Damaged { file, .. }) if file == list), "byte {place}");
        }
        fs::write(&list, whole).unwrap();
        assert!(Lsm::open(dir.path(), 1 << 20).is_ok());
    }
}
