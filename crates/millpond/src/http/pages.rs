//! Pages: bounded in entries and in bytes, and read in small steps, so that a page of large entries
//! does not hold all that its number would allow.

use millpond_store::Error;

/// A page ends once it holds so much.
const PAGE_BYTES: usize = 4 << 20;
/// Entries read at once, and what they may hold, as far as those before them tell: the largest are
/// 16 MB.
const STEP: usize = 16;
const STEP_BYTES: usize = 1 << 20;

/// Entries of a page, and whether there are more.
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    pub(super) more: bool,
}

/// Reads up to `limit` entries by `step`, which gives up to a number of entries after one.
pub(super) fn page<T>(
    limit: usize,
    bytes: impl Fn(&T) -> usize,
    mut step: impl FnMut(Option<&T>, usize) -> Result<Vec<T>, Error>,
) -> Result<Page<T>, Error> {
    let (mut entries, mut held, mut largest) = (Vec::new(), 0, STEP_BYTES);
    loop {
        let full = entries.len() >= limit || held >= PAGE_BYTES;
        let wanted = if full { 1 } else { STEP.min(limit - entries.len()).min(STEP_BYTES / largest).max(1) };
        let mut more = step(entries.last(), wanted)?;
        if full || more.is_empty() {
            return Ok(Page { entries, more: !more.is_empty() });
        }
        largest = if entries.is_empty() { 1 } else { largest };
        largest = more.iter().map(&bytes).fold(largest, usize::max);
        held += more.iter().map(&bytes).sum::<usize>();
        entries.append(&mut more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_by_number_or_by_bytes_and_know_what_follows() {
        let check = |limit: usize, size: usize, there: usize, expected: (usize, bool)| {
            let read = page(
                limit,
                |_| size,
                |last, wanted| {
                    let start = last.map_or(0, |last| last + 1);
                    Ok((start..there.min(start + wanted)).collect())
                },
            );
            let Page { entries, more } = read.expect("it does not fail");
            assert_eq!((entries.len(), more), expected);
            assert!(entries.iter().copied().eq(0..entries.len()));
        };
        check(10, 1, 0, (0, false));
        check(10, 1, 9, (9, false));
        check(10, 1, 10, (10, false));
        check(10, 1, 11, (10, true));
        check(1_000, 1, 40, (40, false));
        check(1_000, 1 << 20, 40, (4, true));
        check(1_000, 16 << 20, 16, (1, true));
    }

    /// A page of sixteen of the largest entries was read at once, and answered with 800 MB.
    #[test]
    fn few_large_entries_are_read_at_once_and_many_small_ones() {
        let check = |size: usize, expected: &[usize]| {
            let mut steps = Vec::new();
            let read = page(
                40,
                |_| size,
                |_, wanted| {
                    steps.push(wanted);
                    Ok(vec![0; wanted])
                },
            );
            assert!(read.expect("it does not fail").more);
            assert_eq!(steps, expected, "{size}");
        };
        check(100, &[1, 16, 16, 7, 1]);
        check(256 << 10, &[1, 4, 4, 4, 4, 1]);
        check(16 << 20, &[1, 1]);
    }
}
