//! The embedded store: durable views of joins in a folder, without a server or an async runtime.
//!
//! ```no_run
//! use millpond_core::Join;
//! use millpond_store::{Batch, DataFolder, Options, Store};
//!
//! let folder = DataFolder::open_or_create("data".as_ref())?;
//! let join = Join::parse(&std::fs::read_to_string("join.toml")?)?;
//! let (store, _) = Store::open_or_create(&folder, join, Options::default())?;
//! let event: &[u8] = br#"{"id":"e-1","type":"user-created","timestamp":1760000000000,"user":{"id":"u-1"}}"#;
//! store.ingest(&Batch { events: &[event], now: 1_760_000_000_000, ..Batch::default() })?;
//! println!("{:?}", store.document("u-1")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod activity;
mod cache;
mod counters;
mod duplicates;
pub mod error;
mod flush;
mod folder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod lists;
pub mod log;
mod lsm;
mod memory;
mod memtable;
mod op;
mod record;
mod store;
mod sync;

pub use activity::Activity;
pub use counters::Counters;
pub use duplicates::Duplicate;
pub use error::Error;
pub use folder::DataFolder;
pub use store::{
    Accepted, AsOf, BATCH_BYTES_MAX, Batch, ChangePage, Changed, Cursor, Erasure, Filter, KeyDifference, KeyView,
    LateEntry, ListedView, Maintained, Mark, NotACursor, Opened, Options, Outcome, QuarantineEntry, Rebuilt, Retried,
    RowsPage, Step, Store, Verified,
};
