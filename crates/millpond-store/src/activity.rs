//! How much work the events since the opening were: counted in memory only, since nobody misses it after a restart.

/// Counts since the store was opened, of commits that are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Rows above everything known of their key: folded without a look-up.
    pub fast: u64,
    /// Rows and repeats that had to be looked up: disorder and duplicates.
    pub looked_up: u64,
    /// The highest timestamp of an accepted event, in milliseconds since 1970 UTC.
    pub newest_at: Option<u64>,
}
