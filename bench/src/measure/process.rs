//! Runs another program to its end and tells what it took, without a word from the program itself.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::machine::{peak_rss_bytes, read};

/// How often a process is looked at: its memory's peak is gone with its end, so growth in its last moment is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process that has ended well.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) seconds: f64,
    /// User and system time of all its threads; Linux rounds to a hundredth.
    pub(super) cpu_s: f64,
    pub(super) peak_rss_bytes: u64,
    /// Bytes it caused to be written to disk; none where the kernel does not tell.
    pub(super) written_bytes: Option<u64>,
    pub(super) stdout: String,
}

/// Runs a program that prints no more than a pipe holds (64 KB).
pub(super) fn run(command: &mut Command) -> anyhow::Result<Finished> {
    let shown = format!("{command:?}");
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    observe(child.with_context(|| format!("starting {shown}"))?, started).with_context(|| format!("running {shown}"))
}

/// Waits for the end of a process whose output is piped.
pub(super) fn observe(mut child: Child, started: Instant) -> anyhow::Result<Finished> {
    let process = child.id().to_string();
    let mut peak = 0;
    while !has_ended(&child)? {
        // A process on its way out has no memory to tell of.
        peak = peak_rss_bytes(&process).unwrap_or(peak);
        std::thread::sleep(LOOK_EVERY);
    }
    let seconds = started.elapsed().as_secs_f64();
    // It has ended and is not waited for yet: its accounts are still there, and final.
    let cpu_s = cpu_so_far_s(&process)?;
    let written_bytes = fs::read_to_string(format!("/proc/{process}/io")).ok().and_then(|io| written_bytes(&io));
    let mut stdout = String::new();
    child.stdout.take().context("its output was not piped")?.read_to_string(&mut stdout)?;
    let status = child.wait()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(Finished { seconds, cpu_s, peak_rss_bytes: peak, written_bytes, stdout })
}

fn has_ended(child: &Child) -> anyhow::Result<bool> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(Pid::from_child(child)), look)?.is_some())
}

/// User and system time of all threads of a process until now.
pub(super) fn cpu_so_far_s(process: &str) -> anyhow::Result<f64> {
    cpu_s(&read(&format!("/proc/{process}/stat"))?)
}

/// utime and stime of proc_pid_stat(5). The second field is the name in parentheses and may hold anything.
fn cpu_s(stat: &str) -> anyhow::Result<f64> {
    const UTIME: usize = 14 - 3;
    let (_, from_third) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    let ticks = from_third.split(' ').skip(UTIME).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// write_bytes less cancelled_write_bytes of proc_pid_io(5): what was dropped before it reached the disk is not counted.
fn written_bytes(io: &str) -> Option<u64> {
    let value = |label| io.lines().find_map(|line| line.strip_prefix(label)?.trim().parse::<u64>().ok());
    Some(value("write_bytes:")?.saturating_sub(value("cancelled_write_bytes:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_accounts() -> anyhow::Result<()> {
        let finished =
            run(Command::new("sh").args(["-c", "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; echo $n"]))?;
        assert_eq!(finished.stdout, "20000\n");
        assert!(finished.seconds > 0.0 && finished.peak_rss_bytes > 0, "{finished:?}");
        Ok(())
    }

    #[test]
    fn failing_is_an_error() {
        assert!(run(&mut Command::new("false")).is_err());
    }

    #[test]
    fn names_with_parentheses_and_spaces_do_not_shift_the_accounts() -> anyhow::Result<()> {
        let seconds = cpu_s("7 (a) b) Z 1 2 3 4 5 6 7 8 9 10 150 50 0 0")?;
        assert_eq!(seconds * rustix::param::clock_ticks_per_second() as f64, 200.0);
        Ok(())
    }
}
