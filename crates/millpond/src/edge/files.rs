//! How many files, and so connections, the system lets this process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// For the stores: logs, tables, what compaction opens.
const FILES_OF_STORES: u64 = 512;

/// Raises the limit on open files as far as it may be, and says how many connections fit.
pub(crate) fn connections_max(asked: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return asked };
    let fit = files.saturating_sub(FILES_OF_STORES).max(files / 4).max(1) as usize;
    if fit < asked {
        tracing::warn!(asked, connections_max = fit, files, "fewer connections: the limit on open files is too low");
    }
    asked.min(fit)
}
