//! What an event costs on AWS, in units of DynamoDB: [`workload`] makes the events, [`cost`] sends
//! them through the functions over an emulator of DynamoDB and counts, [`table`] shows it. And what
//! the program of the functions is: [`lambda`].
#![forbid(unsafe_code)]

pub mod cost;
pub mod lambda;
pub mod table;
pub mod workload;
