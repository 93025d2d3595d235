//! The functions on AWS, as they are, under every fault there is.
#![forbid(unsafe_code)]

pub mod functions;
