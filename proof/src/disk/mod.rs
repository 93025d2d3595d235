//! The disk: what the store does with its files, recorded, and then every way in which a disk, a
//! crash or a fault can go against it.

pub mod child;
pub mod faults;
pub mod flips;
pub mod image;
pub mod images;
pub mod look;
pub mod oracle;
pub mod pool;
pub mod record;
pub mod script;
pub mod trace;
pub mod tree;
