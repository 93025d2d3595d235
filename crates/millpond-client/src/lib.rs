//! Talks to a millpond server: typed, retrying safely, streaming changes.
//!
//! ```no_run
//! use futures_util::TryStreamExt;
//! use millpond_client::{ChangeEvent, Changes, Client, To};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), millpond_client::Error> {
//! let client = Client::builder("http://127.0.0.1:7717").token("mp_…").build()?;
//!
//! let event = json!({"id": "e-1", "type": "user-created", "timestamp": 1_760_000_000_000_u64,
//!                    "user": {"id": "u-1", "name": "Ann"}});
//! let taken = client.put_event(&To::Join("user-activity".into()), &event).await?;
//! assert_eq!(taken.accepted + taken.duplicate, 1);
//!
//! println!("{}", client.view("user-activity", "u-1").await?.document);
//!
//! let mut changes = std::pin::pin!(client.changes("user-activity", Changes::default()));
//! while let Some(event) = changes.try_next().await? {
//!     match event {
//!         ChangeEvent::Change { change, .. } => println!("{} {}", change.key, change.version),
//!         ChangeEvent::Reset => println!("forget everything: it comes again"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Events.** [`Client::put_all`] cuts a stream of events into requests and keeps some under way at
//! once. An answer means that the events are on disk. An event is known by its id and timestamp, so
//! giving it again changes nothing: the client repeats what failed, and its caller may too.
//!
//! **Errors.** [`Error`] says what is wrong and what to do. Connections that fail, answers that do not
//! come, and the statuses 408, 429, 502, 503 and 504 are tried again as [`Retry`] says, but only where doing
//! it twice is doing it once; [`Error::is_retryable`] tells callers the same.
//!
//! **Changes.** [`Client::changes`] goes on through restarts of the server without gap or repeat. Keep
//! the cursor of the last change to go on after a restart of your own.
//!
//! The client needs a tokio runtime with time and IO; its connections belong to the runtime that it was
//! first used in, so use one client in one runtime. TLS is rustls with ring.
#![forbid(unsafe_code)]

mod admin;
mod batch;
mod changes;
mod client;
mod error;
mod events;
mod pages;
mod retry;
mod sse;
mod tls;
mod transport;
mod views;
pub mod wire;

pub use admin::{Rebuild, Stored};
pub use batch::{BATCH_BYTES, BATCH_EVENTS, Batch, Batcher};
pub use changes::{ChangeEvent, Changes, Since};
pub use client::{Builder, Client};
pub use error::Error;
pub use events::{IN_FLIGHT, To};
pub use retry::Retry;
pub use views::{View, Views};
