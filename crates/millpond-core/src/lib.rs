//! Millpond's algorithm: joins the events of several sources by a key into materialized views,
//! and keeps every view right and cheap with snapshots.
//!
//! No clock, chance, IO or async runtime: time is an argument, decisions are values, and rows live
//! behind one port, [`store::Store`].
#![forbid(unsafe_code)]

pub mod condition;
pub mod definition;
pub mod envelope;
pub mod event;
pub mod explain;
mod extract;
pub mod fold;
pub mod join;
pub mod json;
pub mod memory;
pub mod number;
pub mod position;
pub mod process;
pub mod reject;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod trim;
pub mod verify;
pub mod view;

pub use definition::{Fault, Faults};
pub use event::Event;
pub use fold::{FieldState, Fold};
pub use join::{Field, Fingerprint, Join, TypeIndex};
pub use position::{At, Position};
pub use reject::{Reason, Rejection};
pub use snapshot::Snapshot;
pub use state::State;
pub use view::View;
