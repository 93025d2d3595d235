//! The edge of the server: sockets, TLS, limits on connections and on how slow a peer may be, and
//! the way to a graceful stop. What is said over a connection is `http`'s.

mod accept;
mod body;
mod connection;
mod files;
mod log;
mod notify;
mod places;
mod stop;
mod timed;
mod tls;

use std::net::SocketAddr;

pub(crate) use accept::{Edge, listen};
pub(crate) use body::TooSlow;
pub(crate) use files::connections_max;
pub(crate) use log::Sparse;
pub(crate) use notify::notify;
pub(crate) use stop::on_signal;
pub(crate) use tls::Tls;

/// Who sent a request: an extension of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[cfg(test)]
mod tests;
