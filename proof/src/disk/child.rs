//! Children that are killed when they have no end.

use std::io::{self, Read};
use std::process::{Child, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// How long one may take: the machine may be busy.
pub const TIME_MAX: Duration = Duration::from_secs(120);

/// What a child said, and how it ended; `None` if it had to be killed. Only what is piped is heard.
///
/// # Errors
/// If it cannot be heard, or killed.
pub fn output_in_time(mut child: Child) -> Result<Option<Output>> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let said = all(stdout).and_then(|stdout| Ok((stdout, all(stderr)?)));
        let _ = sender.send(said); // nobody waits for one that came too late
    });
    match receiver.recv_timeout(TIME_MAX) {
        Ok(said) => {
            let (stdout, stderr) = said?;
            Ok(Some(Output { status: child.wait()?, stdout, stderr }))
        }
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Ok(None)
        }
    }
}

fn all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut said)?;
    }
    Ok(said)
}
