//! What the tests share: an AWS in the process, and a deployment in it.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod fake;
pub(crate) mod world;
