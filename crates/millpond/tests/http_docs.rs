//! Every line that `docs/http.md` shows is run against a real server, and prints what it says.
//!
//! The page's server listens to port 7717; here it takes a free one, and what is sent and printed is
//! translated. A line that begins with `millpond serve` starts it.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

#[path = "common/document.rs"]
mod document;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use document::{copy, printed, steps};

const PAGE: &str = "docs/http.md";
const SHOWN: &str = "127.0.0.1:7717";

/// The server of the page; killed when dropped.
struct Server {
    process: Child,
    _out: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    /// Starts it as the page shows; it, and the line that it says.
    fn start(line: &str, dir: &Path) -> (Self, String) {
        let arguments = line.strip_prefix("millpond ").unwrap().split(' ');
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(arguments).args(["--listen", "127.0.0.1:0"]).current_dir(dir).env("MILLPOND_LOG", "off");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        let address = said.trim_end().rsplit_once("//").unwrap().1.to_owned();
        (Self { process, _out: out, address }, said)
    }

    /// What was printed, as the page has it.
    fn told(&self, printed: &str) -> String {
        printed.replace(&self.address, SHOWN)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_shown_request_is_answered_as_the_page_says() {
    Command::new("curl").arg("--version").output().expect("there is no `curl`, which the page shows: install it");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(&root.join("examples"), &dir.path().join("examples"));
    let mut server: Option<Server> = None;
    let mut wrong = Vec::new();
    for step in steps(&page) {
        let printed = if step.command.starts_with("millpond serve") {
            let (started, said) = Server::start(&step.command, dir.path());
            server.insert(started).told(&said)
        } else {
            let address = server.as_ref().map_or(SHOWN, |server| &server.address);
            let printed = printed(&step.command.replace(SHOWN, address), dir.path());
            server.as_ref().map_or_else(|| printed.clone(), |server| server.told(&printed))
        };
        wrong.extend(step.fault(PAGE, &printed));
    }
    assert!(server.is_some(), "the page starts no server");
    assert!(wrong.is_empty(), "{} lines print something else:\n{}", wrong.len(), wrong.join("\n"));
}
