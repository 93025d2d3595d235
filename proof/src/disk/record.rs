//! The recorder: from the calls of a process, what it did to the files of one folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::trace::{self, Call, bytes};
use super::tree::{ROOT, Tree};

/// One thing that was done. Files and folders have numbers; [`ROOT`] is the folder itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new file or folder has a name.
    Make {
        /// In which folder.
        dir: usize,
        /// Its name.
        name: String,
        /// Its number.
        number: usize,
        /// Whether it is a folder.
        is_dir: bool,
    },
    /// A name is gone.
    Remove {
        /// In which folder.
        dir: usize,
        /// The name.
        name: String,
        /// What it named.
        number: usize,
    },
    /// A name became another; what had that is gone.
    Rename {
        /// Folder and name before.
        from: (usize, String),
        /// Folder and name after.
        to: (usize, String),
        /// What it names.
        number: usize,
    },
    /// Bytes were written.
    Write {
        /// Into which file.
        number: usize,
        /// Where.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether the file became longer.
        grows: bool,
    },
    /// The file was cut or grown.
    SetLen {
        /// Which file.
        number: usize,
        /// Its new length.
        len: u64,
    },
    /// What was done to a file or folder before `covers` is on the disk.
    Sync {
        /// Which.
        number: usize,
        /// Only so much that its content can be read: `fdatasync`.
        only_data: bool,
        /// How many operations were over when it began.
        covers: usize,
    },
    /// So many steps were acknowledged.
    Ack(usize),
}

/// A recorded run of the script.
#[derive(Debug)]
pub struct Record {
    /// What was done, in order.
    pub ops: Vec<Op>,
    /// Paths of all files and folders that there ever were, by number.
    pub paths: Vec<String>,
}

/// Runs the script under `strace` in a new folder `dir`, leaving the trace in `out`.
///
/// # Errors
/// If it cannot be run, or the script fails.
pub fn record(program: &Path, dir: &Path, out: &Path, seed: u64, steps: usize) -> Result<Record> {
    trace::need_strace()?;
    let (seed, steps) = (seed.to_string(), steps.to_string());
    let arguments = ["disk-script", "--seed", &seed, "--steps", &steps, "--dir"].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([dir.as_os_str()]).collect();
    let done = trace::strace(out, program, &arguments).output().context("cannot run strace")?;
    ensure!(done.status.success(), "the script failed: {}", String::from_utf8_lossy(&done.stderr));
    replay(out)
}

/// Reads the trace of a script.
///
/// # Errors
/// If it holds what the recorder does not know.
pub fn replay(trace: &Path) -> Result<Record> {
    let calls = calls(trace)?;
    // The first folder that the script makes is the data folder.
    let first = calls.iter().find(|call| call.name == "mkdir" && call.result == 0).context("no folder is made")?;
    let mut recorder = Recorder::new(String::from_utf8(bytes(&first.arguments[0])?)?);
    for call in &calls {
        recorder.call(call).with_context(|| format!("{}({:.300})", call.name, call.arguments.join(", ")))?;
        recorder.ended.push(recorder.record.len());
    }
    Ok(Record { ops: recorder.record, paths: recorder.paths })
}

fn calls(trace: &Path) -> Result<Vec<Call>> {
    let text = fs::read_to_string(trace).with_context(|| format!("cannot read {}", trace.display()))?;
    trace::read(&text)
}

impl Record {
    /// The folder after all that was done.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        self.ops.iter().for_each(|op| apply(&mut tree, op));
        tree
    }

    /// The numbers of files whose path matches.
    #[must_use]
    pub fn numbers(&self, matches: impl Fn(&str) -> bool) -> BTreeSet<usize> {
        (0..self.paths.len()).filter(|number| matches(&self.paths[*number])).collect()
    }
}

/// Does an operation to a folder in memory. Names that are not there, because what made them was
/// lost, are none to it.
pub fn apply(tree: &mut Tree, op: &Op) {
    match op {
        Op::Make { dir, name, number, is_dir } => {
            tree.make(*number, *is_dir);
            tree.dir(*dir).map(|names| names.insert(name.clone(), *number));
        }
        Op::Remove { dir, name, number } => {
            if let Some(names) = tree.dir(*dir).filter(|names| names.get(name) == Some(number)) {
                names.remove(name);
            }
        }
        Op::Rename { from, to, number } => {
            if let Some(names) = tree.dir(from.0).filter(|names| names.get(&from.1) == Some(number)) {
                names.remove(&from.1);
            }
            tree.dir(to.0).map(|names| names.insert(to.1.clone(), *number));
        }
        Op::Write { number, offset, bytes, .. } => {
            if let Some(file) = tree.file(*number) {
                file.write(*offset, bytes);
            }
        }
        Op::SetLen { number, len } => {
            if let Some(file) = tree.file(*number) {
                file.set_len(*len);
            }
        }
        Op::Sync { .. } | Op::Ack(_) => {}
    }
}

/// An open file or folder of the data folder.
#[derive(Clone, Debug)]
struct Open {
    number: usize,
    at: u64,
    appends: bool,
    writes: bool,
}

struct Recorder {
    root: String,
    tree: Tree,
    paths: Vec<String>,
    /// All threads share one table of what is open.
    open: BTreeMap<i64, Open>,
    /// How many operations there were when each call had ended.
    ended: Vec<usize>,
    record: Vec<Op>,
}

impl Recorder {
    fn new(root: String) -> Self {
        Self {
            root,
            tree: Tree::default(),
            paths: vec![String::new()],
            open: BTreeMap::new(),
            ended: Vec::new(),
            record: Vec::new(),
        }
    }

    fn call(&mut self, call: &Call) -> Result<()> {
        if call.result < 0 {
            return Ok(());
        }
        let text = |index: usize| -> Result<&str> { Ok(call.arguments.get(index).context("an argument is missing")?) };
        let number = |index: usize| -> Result<i64> { Ok(text(index)?.parse()?) };
        match call.name.as_str() {
            "open" => self.opened(call.result, "AT_FDCWD", text(0)?, text(1)?),
            "openat" => self.opened(call.result, text(0)?, text(1)?, text(2)?),
            "close" => {
                self.open.remove(&number(0)?);
                Ok(())
            }
            "lseek" => {
                if let Some(open) = self.open.get_mut(&number(0)?) {
                    open.at = call.result as u64;
                }
                Ok(())
            }
            "fcntl" if !text(1)?.starts_with("F_DUPFD") => Ok(()),
            "write" | "writev" => self.write(number(0)?, None, text(1)?, call.result),
            "pwrite64" => self.write(number(0)?, Some(number(3)?), text(1)?, call.result),
            "ftruncate" => {
                let Some(open) = self.open.get(&number(0)?) else { return Ok(()) };
                self.push(Op::SetLen { number: open.number, len: number(1)? as u64 });
                Ok(())
            }
            "fsync" | "fdatasync" => {
                let Some(open) = self.open.get(&number(0)?) else { return Ok(()) };
                let covers = call.began.checked_sub(1).map_or(0, |last| self.ended[last]);
                self.push(Op::Sync { number: open.number, only_data: call.name == "fdatasync", covers });
                Ok(())
            }
            "rename" => self.rename(("AT_FDCWD", text(0)?), ("AT_FDCWD", text(1)?)),
            "renameat" | "renameat2" => self.rename((text(0)?, text(1)?), (text(2)?, text(3)?)),
            "unlink" | "rmdir" => self.remove("AT_FDCWD", text(0)?),
            "unlinkat" => self.remove(text(0)?, text(1)?),
            "mkdir" => self.make_dir("AT_FDCWD", text(0)?),
            "mkdirat" => self.make_dir(text(0)?, text(1)?),
            // Files are only looked at this way, and only for reading.
            "mmap" => {
                let shared = text(3)?.contains("MAP_SHARED") && text(2)?.contains("PROT_WRITE");
                ensure!(!shared || !self.open.contains_key(&number(4)?), "a file is written through memory");
                Ok(())
            }
            "dup" | "dup2" | "dup3" | "fcntl" => self.foreign(&[number(0)?]),
            "copy_file_range" | "splice" => self.foreign(&[number(0)?, number(2)?]),
            "sendfile" => self.foreign(&[number(0)?]),
            "fallocate" | "pwritev" | "pwritev2" | "sync_file_range" | "syncfs" => self.foreign(&[number(0)?]),
            "link" | "linkat" | "symlink" | "symlinkat" | "truncate" | "creat" | "openat2" => {
                let inside = call.arguments.iter().filter_map(|text| bytes(text).ok());
                let mut inside = inside.filter(|path| path.starts_with(self.root.as_bytes()));
                ensure!(inside.next().is_none(), "the recorder does not know this call");
                Ok(())
            }
            _ => bail!("the recorder does not know this call"),
        }
    }

    /// Calls that are not known yet may be for files of others.
    fn foreign(&self, files: &[i64]) -> Result<()> {
        ensure!(files.iter().all(|file| !self.open.contains_key(file)), "the recorder does not know this call");
        Ok(())
    }

    fn push(&mut self, op: Op) {
        apply(&mut self.tree, &op);
        self.record.push(op);
    }

    /// Folder and name of a path; `None` if it is elsewhere.
    fn place(&self, at: &str, path: &str) -> Result<Option<(usize, String)>> {
        let path = String::from_utf8(bytes(path)?)?;
        let (from, path) = match path.strip_prefix(&self.root) {
            Some(inside) if inside.is_empty() || inside.starts_with('/') => (ROOT, inside),
            _ if path.starts_with('/') || at == "AT_FDCWD" => return Ok(None),
            _ => match self.open.get(&at.parse()?) {
                Some(open) => (open.number, path.as_str()),
                None => return Ok(None),
            },
        };
        let path = path.trim_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name == ".." {
            // `log/..` is how the store names a folder above; above the root is not ours.
            if dir.is_empty() {
                return Ok(None);
            }
            let (above, _) = dir.rsplit_once('/').unwrap_or(("", dir));
            return Ok(self.tree.find(from, above).map(|number| (number, String::new())));
        }
        Ok(self.tree.find(from, dir).map(|number| (number, name.to_owned())))
    }

    fn named(&mut self, dir: usize, name: &str) -> Option<usize> {
        if name.is_empty() { Some(dir) } else { self.tree.dir(dir)?.get(name).copied() }
    }

    fn made(&mut self, dir: usize, name: &str, is_dir: bool) -> usize {
        let number = self.tree.next();
        self.paths.push(format!("{}/{name}", self.paths[dir]));
        self.push(Op::Make { dir, name: name.to_owned(), number, is_dir });
        number
    }

    fn opened(&mut self, file: i64, at: &str, path: &str, flags: &str) -> Result<()> {
        self.open.remove(&file);
        let Some((dir, name)) = self.place(at, path)? else { return Ok(()) };
        let number = match self.named(dir, &name) {
            Some(number) => number,
            None if flags.contains("O_CREAT") => self.made(dir, &name, false),
            None => bail!("a file is open that the recorder does not know"),
        };
        if flags.contains("O_TRUNC") && self.tree.file(number).is_some_and(|file| !file.is_empty()) {
            self.push(Op::SetLen { number, len: 0 });
        }
        let writes = flags.contains("O_WRONLY") || flags.contains("O_RDWR");
        self.open.insert(file, Open { number, at: 0, appends: flags.contains("O_APPEND"), writes });
        Ok(())
    }

    fn write(&mut self, file: i64, at: Option<i64>, text: &str, written: i64) -> Result<()> {
        let mut bytes = bytes(text)?;
        bytes.truncate(written as usize);
        if file == 1 && !self.open.contains_key(&1) {
            let ack = std::str::from_utf8(&bytes)?.strip_prefix("ack ").context("the script says something else")?;
            self.record.push(Op::Ack(ack.trim_end().parse()?));
            return Ok(());
        }
        let Some(open) = self.open.get_mut(&file) else { return Ok(()) };
        ensure!(open.writes, "a file is written that was opened to be read");
        let len = self.tree.file(open.number).context("a folder is written")?.len();
        let offset = match at {
            Some(at) => at as u64,
            None => {
                let offset = if open.appends { len } else { open.at };
                open.at = offset + bytes.len() as u64;
                offset
            }
        };
        let grows = offset + bytes.len() as u64 > len;
        let number = open.number;
        self.push(Op::Write { number, offset, bytes, grows });
        Ok(())
    }

    fn rename(&mut self, from: (&str, &str), to: (&str, &str)) -> Result<()> {
        match (self.place(from.0, from.1)?, self.place(to.0, to.1)?) {
            (None, None) => Ok(()),
            (Some(from), Some(to)) => {
                let number = self.named(from.0, &from.1).context("it was not there")?;
                self.push(Op::Rename { from, to, number });
                Ok(())
            }
            _ => bail!("it goes out of the folder, or comes into it"),
        }
    }

    fn remove(&mut self, at: &str, path: &str) -> Result<()> {
        let Some((dir, name)) = self.place(at, path)? else { return Ok(()) };
        let number = self.named(dir, &name).context("it was not there")?;
        self.push(Op::Remove { dir, name, number });
        Ok(())
    }

    fn make_dir(&mut self, at: &str, path: &str) -> Result<()> {
        let Some((dir, name)) = self.place(at, path)? else { return Ok(()) };
        if !name.is_empty() {
            self.made(dir, &name, true);
        }
        Ok(())
    }
}
