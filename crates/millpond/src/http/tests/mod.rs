//! What the server promises over HTTP.
