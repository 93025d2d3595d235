//! Millpond on AWS: the same core over Kinesis, DynamoDB, SQS and S3, as five Lambda functions in
//! one binary, and the commands that deploy, drive, inspect and remove them.
#![forbid(unsafe_code)]

pub mod archive;
pub mod aws;
pub mod cli;
pub mod environment;
pub mod erase;
pub mod given_up;
pub mod handlers;
pub mod items;
pub mod kpl;
pub mod meter;
pub mod samples;
