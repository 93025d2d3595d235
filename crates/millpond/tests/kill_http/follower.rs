//! A client that follows all changes, and goes on where it was whenever the server has died.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use millpond_client::wire::Change;
use serde_json::Value;

use crate::load::Load;

/// What the follower was told.
#[derive(Default)]
pub(crate) struct Told {
    connections: u64,
    changes: u64,
    last_id: Option<String>,
    ids: HashSet<String>,
    versions: BTreeMap<String, u64>,
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} changes told over {} connections", self.changes, self.connections)
    }
}

/// One message of the stream; what is cut off before its empty line is none.
#[derive(Default)]
struct Message {
    event: String,
    id: Option<String>,
    data: String,
}

/// Follows until the server has stopped for good.
pub(crate) fn follow(load: &Load) -> Told {
    let mut told = Told::default();
    while !load.is_stopped() {
        let stream = load.connect().0;
        // There may be no server any more: then the next one is asked.
        let _ = told.read(stream, load);
    }
    told
}

impl Told {
    /// Reads until the connection ends. HTTP/1.0 has no chunks, so that lines come as they are.
    fn read(&mut self, mut stream: TcpStream, load: &Load) -> std::io::Result<()> {
        let from = match &self.last_id {
            Some(id) => format!("last-event-id: {id}\r\n"),
            None => String::new(),
        };
        let target = "/v1/changes/user-activity?from=start";
        stream.write_all(format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n{from}\r\n").as_bytes())?;
        let mut lines = BufReader::new(stream).lines();
        let Some(status) = lines.next().transpose()? else { return Ok(()) };
        assert!(status.contains(" 200 "), "{status}");
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        self.connections += 1;
        let mut message = Message::default();
        for line in lines {
            let line = line?;
            match line.split_once(':') {
                None if line.is_empty() => self.take(std::mem::take(&mut message), load),
                Some(("event", value)) => message.event = value.trim_start().to_owned(),
                Some(("id", value)) => message.id = Some(value.trim_start().to_owned()),
                Some(("data", value)) => message.data = value.trim_start().to_owned(),
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Message, load: &Load) {
        let Message { event, id, data } = message;
        match event.as_str() {
            "change" => {
                let Change { key, version, document } = serde_json::from_str(&data).unwrap();
                let document = document.unwrap_or_else(|| panic!("nothing was erased: {data}"));
                let id = id.clone().unwrap_or_else(|| panic!("a change without an id: {data}"));
                assert!(!self.ids.contains(&id), "the id {id} was told twice, now with {data}");
                self.ids.insert(id);
                let before = self.versions.insert(key.clone(), version);
                assert!(before < Some(version), "{key}: version {version} after {before:?}: {data}");
                self.changes += 1;
                let right: Value = serde_json::from_str(document.get()).unwrap();
                assert_eq!(right["id"], key.as_str(), "{data}");
                load.told.lock().unwrap().insert(key, document.get().to_owned());
            }
            "" => {}
            _ => panic!("nothing was erased, and yet it is told: {event} {data}"),
        }
        self.last_id = id.or(self.last_id.take());
    }
}
