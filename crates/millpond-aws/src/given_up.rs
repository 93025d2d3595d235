//! Batches that a mapping gave up: Lambda keeps them in the bucket, with their records, so that they
//! can be done after all.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::handlers::payload::{Change, Payload, change, kinesis};
use crate::handlers::{Deployment, Failed, Invocation};

/// Where Lambda keeps them in the bucket.
pub const FOLDER: &str = "aws/lambda/";

/// A batch that was given up.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The function that could not do it.
    pub function: String,
    /// Why it was given up, in Lambda's words.
    pub condition: String,
    /// When, in Lambda's words.
    pub at: String,
    /// Its records.
    pub records: usize,
    payload: String,
}

/// Reads what Lambda has written.
///
/// # Errors
/// What is wrong with it.
pub fn read(deployment: &Deployment, object: &[u8]) -> Result<GivenUp, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record<'r> {
        request_context: Context,
        timestamp: String,
        #[serde(borrow)]
        payload: Option<&'r RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Context {
        function_arn: String,
        condition: String,
    }
    let fault = |error: serde_json::Error| format!("it is not what Lambda keeps of a batch: {error}");
    let Record { request_context: Context { function_arn, condition }, timestamp, payload } =
        serde_json::from_slice(object).map_err(fault)?;
    let payload = payload.ok_or("it has no records: they expired before they were read")?.get();
    let payload: String =
        if payload.starts_with('"') { serde_json::from_str(payload).map_err(fault)? } else { payload.into() };
    let prefix = format!(":{}-", deployment.service);
    let function = function_arn.split_once(&prefix).map(|(_, name)| name.split(':').next().unwrap_or(name));
    let function = function.ok_or_else(|| format!("`{function_arn}` is no function of this deployment"))?.to_owned();
    let records = match Payload::read(payload.as_bytes(), "records") {
        Ok(Payload::Records(records)) => records.len(),
        _ => return Err("its payload has no records".to_owned()),
    };
    Ok(GivenUp { function, condition, at: timestamp, records, payload })
}

/// Does a batch once more; how many of its records still cannot be done.
///
/// # Errors
/// If nothing of it was done, or it is not known what was.
pub async fn retry(deployment: &Deployment, batch: &GivenUp, invocation: &Invocation) -> Result<usize, Failed> {
    let answer = deployment.handle(&batch.function, batch.payload.as_bytes(), invocation).await?;
    Ok(answer["batchItemFailures"].as_array().map_or(0, Vec::<Value>::len))
}

impl GivenUp {
    /// Whether some record is of the key, or may be.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let Ok(Payload::Records(records)) = Payload::read(self.payload.as_bytes(), "records") else { return true };
        records.iter().any(|record| match (kinesis(record), change(record)) {
            (Ok(record), _) => names(&String::from_utf8_lossy(&record.data), key),
            (_, Ok(Change::Inserted { key: of, .. })) => of == key,
            _ => names(record.get(), key),
        })
    }
}

/// Whether a text has the key as one of its JSON strings.
#[must_use]
pub fn names(text: &str, key: &str) -> bool {
    text.contains(&Value::from(key).to_string())
}
