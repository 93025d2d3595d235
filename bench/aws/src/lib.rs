//! What an event costs on AWS, in units of DynamoDB: [`workload`] makes the events, [`cost`] sends
//! them through the functions over an emulator of DynamoDB and counts, [`table`] shows it.
#![forbid(unsafe_code)]

pub mod workload;

pub mod cost;

pub mod table;
