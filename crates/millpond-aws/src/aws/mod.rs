//! The edges: DynamoDB, Kinesis, SQS and S3, and how long to go on trying.

pub mod error;
pub mod pace;
pub mod queues;
pub mod store;
pub mod stream;
