//! A folder in memory, by numbered files: names and contents may be changed apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The number of the folder itself.
pub const ROOT: usize = 0;
const SECTOR: usize = 512;

/// What a file holds; behind `bytes` it is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    bytes: Vec<u8>,
    len: u64,
}

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Names, and the numbers of what they name.
    Dir(BTreeMap<String, usize>),
    /// A file.
    File(Content),
}

/// Files and folders by number; what no name leads to is not there.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::Dir(BTreeMap::new())] }
    }
}

impl Content {
    /// Writes at a place; where the file was shorter, zeros come between.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
    }

    /// Writes only those sectors of the file that are `kept`.
    pub fn write_torn(&mut self, offset: u64, bytes: &[u8], mut kept: impl FnMut() -> bool) {
        let mut at = 0;
        while at < bytes.len() {
            let in_sector = SECTOR - (offset as usize + at) % SECTOR;
            let end = bytes.len().min(at + in_sector);
            if kept() {
                self.write(offset + at as u64, &bytes[at..end]);
            }
            at = end;
        }
    }

    /// Cuts or grows.
    pub fn set_len(&mut self, len: u64) {
        self.bytes.truncate(len as usize);
        self.len = len;
    }

    /// Turns one bit over.
    pub fn flip(&mut self, offset: u64, bit: u8) {
        if offset < self.len {
            self.bytes.resize(self.bytes.len().max(offset as usize + 1), 0);
            self.bytes[offset as usize] ^= 1 << (bit % 8);
        }
    }

    /// How long it is without the zeros at its end.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }

    /// How long it is.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn same(&self, real: &[u8]) -> bool {
        let (head, tail) = real.split_at(self.bytes.len().min(real.len()));
        real.len() as u64 == self.len && head == self.bytes && tail.iter().all(|byte| *byte == 0)
    }
}

impl Tree {
    /// Makes room for a number.
    pub fn make(&mut self, number: usize, is_dir: bool) {
        while self.nodes.len() <= number {
            self.nodes.push(Node::File(Content::default()));
        }
        if is_dir {
            self.nodes[number] = Node::Dir(BTreeMap::new());
        }
    }

    /// A number that is not in use.
    #[must_use]
    pub fn next(&self) -> usize {
        self.nodes.len()
    }

    /// The names in a folder.
    pub fn dir(&mut self, number: usize) -> Option<&mut BTreeMap<String, usize>> {
        match self.nodes.get_mut(number) {
            Some(Node::Dir(names)) => Some(names),
            _ => None,
        }
    }

    /// The content of a file.
    pub fn file(&mut self, number: usize) -> Option<&mut Content> {
        match self.nodes.get_mut(number) {
            Some(Node::File(content)) => Some(content),
            _ => None,
        }
    }

    /// What a path leads to.
    #[must_use]
    pub fn find(&self, from: usize, path: &str) -> Option<usize> {
        path.split('/').filter(|name| !name.is_empty() && *name != ".").try_fold(from, |at, name| {
            match &self.nodes[at] {
                Node::Dir(names) => names.get(name).copied(),
                Node::File(_) => None,
            }
        })
    }

    /// All files by their paths.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, &Content> {
        let mut files = BTreeMap::new();
        self.walk(ROOT, Path::new(""), &mut |path, node| {
            if let Node::File(content) = node {
                files.insert(path.to_owned(), content);
            }
        });
        files
    }

    fn walk<'t>(&'t self, number: usize, path: &Path, each: &mut impl FnMut(&Path, &'t Node)) {
        each(path, &self.nodes[number]);
        if let Node::Dir(names) = &self.nodes[number] {
            for (name, number) in names {
                self.walk(*number, &path.join(name), each);
            }
        }
    }

    /// Writes it all into a folder that is not there yet.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<()> {
        let mut written = Ok(());
        self.walk(ROOT, Path::new(""), &mut |path, node| {
            if written.is_ok() {
                written = write_node(&dir.join(path), node);
            }
        });
        written
    }

    /// Says how a real folder differs; `None`: it is the same, byte by byte.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn difference(&self, dir: &Path) -> Result<Option<String>> {
        let mut real = BTreeMap::new();
        read_dir(dir, Path::new(""), &mut real)?;
        let mut expected = BTreeMap::new();
        self.walk(ROOT, Path::new(""), &mut |path, node| {
            expected.insert(path.to_owned(), node);
        });
        for (path, found) in &real {
            match (expected.remove(path), found) {
                (Some(Node::Dir(_)), None) => {}
                (Some(Node::File(content)), Some(bytes)) if content.same(bytes) => {}
                (None, _) => return Ok(Some(format!("{} is there too", path.display()))),
                _ => return Ok(Some(format!("{} has other bytes", path.display()))),
            }
        }
        Ok(expected.keys().next().map(|path| format!("{} is missing", path.display())))
    }
}

fn write_node(path: &Path, node: &Node) -> Result<()> {
    let written = match node {
        Node::Dir(_) => fs::create_dir(path),
        Node::File(content) => File::create(path).and_then(|mut file| {
            file.write_all(&content.bytes)?;
            if content.len > content.bytes.len() as u64 { file.set_len(content.len) } else { Ok(()) }
        }),
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn read_dir(dir: &Path, path: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) -> Result<()> {
    found.insert(path.to_owned(), None);
    for entry in fs::read_dir(dir.join(path)).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, path.join(entry.file_name()));
        if kind.is_dir() {
            read_dir(dir, &path, found)?;
        } else if kind.is_file() {
            let bytes = fs::read(dir.join(&path))?;
            found.insert(path, Some(bytes));
        } else {
            bail!("{} is no file", path.display());
        }
    }
    Ok(())
}
