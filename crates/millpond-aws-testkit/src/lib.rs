//! What tests and measurements on AWS share: an AWS in the process, and a deployment in it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

pub mod fake;
pub mod http;
pub mod lambda;
pub mod world;
