//! Runs a program under `strace`, and reads what it says: one call of the system after the other.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Everything that changes files, or says where in a file a write goes.
const CALLS: &str = "open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,\
                     truncate,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,\
                     unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,sync,syncfs,sync_file_range,copy_file_range,sendfile,\
                     splice,mmap,io_uring_setup,io_setup";

/// A call of the system that succeeded or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: String,
    /// Its name.
    pub name: String,
    /// Its arguments, as they were printed.
    pub arguments: Vec<String>,
    /// What it returned; negative: it failed.
    pub result: i64,
    /// How many calls were over when it began.
    pub began: usize,
}

/// A command that runs another one under `strace`, which writes all that is known here to `out`.
#[must_use]
pub fn strace(out: &Path, program: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-xx", "-s", "1000000", "-e", &format!("trace={CALLS}"), "-o"]).arg(out);
    command.arg("--").arg(program).args(arguments).env("RUST_BACKTRACE", "0");
    command
}

/// Says what is missing, if `strace` is.
///
/// # Errors
/// If it cannot be run.
pub fn need_strace() -> Result<()> {
    let found = Command::new("strace").arg("--version").output();
    let found = found.context("`strace` is needed to see what the store does with its files, and cannot be run: install it (`apt-get install strace`)")?;
    ensure!(found.status.success(), "`strace --version` failed: {}", String::from_utf8_lossy(&found.stderr));
    Ok(())
}

/// All calls of a trace, in the order in which they ended.
///
/// # Errors
/// If a line is not understood.
pub fn read(text: &str) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<(&str, &str, usize)> = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { bail!("what is `{line}`?") };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            // The number of what is closed is free at once: another thread may have it before the end.
            if head.starts_with("close(") {
                calls.extend(call(thread, &format!("{head}) = 0"), calls.len())?);
            }
            open.push((thread, head, calls.len()));
        } else if let Some(tail) = rest.strip_prefix("<... ") {
            let place = open.iter().position(|(of, ..)| *of == thread);
            let (_, head, began) = open.swap_remove(place.with_context(|| format!("nothing to resume: {rest}"))?);
            let (_, tail) = tail.split_once(" resumed>").with_context(|| format!("what is `{rest}`?"))?;
            if !head.starts_with("close(") {
                calls.extend(call(thread, &format!("{head}{tail}"), began)?);
            }
        } else {
            calls.extend(call(thread, rest, calls.len())?);
        }
    }
    Ok(calls)
}

/// `name(arguments) = result`; none if it never returned.
fn call(thread: &str, text: &str, began: usize) -> Result<Option<Call>> {
    let (call, result) = text.rsplit_once(" = ").with_context(|| format!("what is `{text}`?"))?;
    let what = || format!("what is `{}`?", text.chars().take(300).collect::<String>());
    let (name, arguments) = call.trim_end().split_once('(').with_context(what)?;
    let arguments = arguments.strip_suffix(')').with_context(what)?;
    let number = result.split(' ').next().unwrap_or_default();
    let number = match number.strip_prefix("0x") {
        Some(address) => i64::from_str_radix(address, 16).unwrap_or(i64::MAX),
        None if number == "?" => return Ok(None),
        None => number.parse().with_context(what)?,
    };
    let (thread, name) = (thread.to_owned(), name.to_owned());
    Ok(Some(Call { thread, name, arguments: split(arguments), result: number, began }))
}

/// Arguments are apart by `, `, but not inside of brackets; texts are hexadecimal, and have none.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for char in arguments.chars() {
        match char {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut()
            && (char != ' ' || !last.is_empty())
        {
            last.push(char);
        }
    }
    parts
}

/// All texts of an argument, one after the other.
///
/// # Errors
/// If one is cut short, or is not hexadecimal.
pub fn bytes(argument: &str) -> Result<Vec<u8>> {
    ensure!(!argument.contains("\"..."), "strace cut a text short");
    let mut bytes = Vec::with_capacity(argument.len() / 4);
    for text in argument.split('"').skip(1).step_by(2) {
        for digits in text.split("\\x").skip(1) {
            bytes.push(u8::from_str_radix(digits, 16).with_context(|| format!("what is `{digits}`?"))?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_threads_that_cross_are_read_in_the_order_of_their_ends() {
        let text = "7  write(4, \"\\x61\\x2c\", 2 <unfinished ...>\n\
                    8  fsync(5) = -1 EIO (Input/output error) (INJECTED)\n\
                    7  <... write resumed>) = 2\n\
                    8  close(5 <unfinished ...>\n\
                    7  openat(AT_FDCWD, \"\\x61\", O_RDONLY) = 5\n\
                    8  <... close resumed>) = 0\n\
                    8  +++ exited with 0 +++\n";
        let calls = read(text).unwrap();
        assert_eq!((calls[0].name.as_str(), calls[0].result, calls[0].began), ("fsync", -1, 0));
        assert_eq!((calls[1].name.as_str(), calls[1].result, calls[1].began), ("write", 2, 0));
        assert_eq!(bytes(&calls[1].arguments[1]).unwrap(), b"a,");
        assert_eq!((calls[2].name.as_str(), calls[3].name.as_str(), calls.len()), ("close", "openat", 4));
    }
}
