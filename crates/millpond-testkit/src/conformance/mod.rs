//! The examiners: what every store, and every home as a whole, must do alike.

mod home;
mod scenario;
mod store;

pub use home::{Home, MemoryHome, OutcomeKind, Shown, StoreHome};
pub use scenario::{Item, Scenario, Step, home_conforms, run_scenario, scenario};
pub use store::store_contract;
