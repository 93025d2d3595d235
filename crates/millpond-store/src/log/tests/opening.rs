//! Opening a log that is whole: what comes back, what is read, what is made.

use proptest::prelude::*;

use super::*;
use crate::log::check;

/// Format 1 as it was first written: a segment that begins with commit 7, and holds 7 and 8.
const FORMAT_1: &[u8] = b"MILLPOND\x01\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x53\x0E\xB5\xC6\
    \xFFMP\xFE\x05\0\0\0\x07\0\0\0\0\0\0\0\x41\x0F\x7C\xCBseven\
    \xFFMP\xFE\0\0\0\0\x08\0\0\0\0\0\0\0\x87\xB1\x5B\x69";

#[test]
fn a_log_written_in_format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("00000000000000000007.log"), FORMAT_1).unwrap();
    let (commits, recovery) = reopen(dir.path(), 6).unwrap();
    assert_eq!(commits, [(7, b"seven".to_vec()), (8, Vec::new())]);
    assert_eq!(recovery.torn, None);
}

#[test]
fn format_1_is_written_as_it_was_first() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 6).unwrap();
    append(&mut log, b"seven").unwrap();
    append(&mut log, b"").unwrap();
    assert_eq!(fs::read(dir.path().join("00000000000000000007.log")).unwrap(), FORMAT_1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn all_commits_come_back_in_order_wherever_the_log_was_rotated_or_reopened(
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0..8u8), 1..30),
        after in 0..40u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), 0).unwrap();
        let mut written = Commits::new();
        for (payload, turn) in steps {
            written.push((log.next_commit(), payload.clone()));
            append(&mut log, &payload).unwrap();
            match turn {
                0 => log.rotate().unwrap(),
                1 => log = open(dir.path(), 0).unwrap().0,
                _ => {}
            }
        }
        let after = after.min(written.len() as u64);
        let (commits, recovery) = reopen(dir.path(), after).unwrap();
        prop_assert_eq!(recovery.last_commit, written.len() as u64);
        prop_assert_eq!(recovery.torn, None);
        prop_assert_eq!(commits, written.split_off(after as usize));
    }
}

#[test]
fn a_new_log_begins_after_what_is_stored_already() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = Log::open(options(&dir.path().join("new/log"), Sync::Every), 41, |_| Ok(())).unwrap();
    assert_eq!((log.next_commit(), recovery.last_commit, recovery.commits_replayed), (42, 41, 0));
    assert!(dir.path().join("new/log/00000000000000000042.log").is_file());
}

#[test]
fn a_log_that_waits_for_the_disk_is_reopened_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        let (mut log, recovery) = Log::open(options(dir.path(), Sync::Every), 0, |_| Ok(())).unwrap();
        assert_eq!(recovery.commits_replayed, number - 1);
        append(&mut log, b"again").unwrap();
    }
    assert_eq!(reopen(dir.path(), 0).unwrap().0.len(), 3);
}

#[test]
fn segments_that_are_not_needed_are_not_read() {
    let written = Written::small();
    written.replace(1, b"anything");
    assert_eq!(reopen(written.dir(), 3).unwrap().0, written.commits[3..]);
    damage(&written, 2);
}

#[test]
fn what_replay_answers_ends_the_opening_and_cuts_nothing() {
    let written = Written::small();
    written.push(4, b"torn");
    let before = written.files();
    let refuse = |commit: Commit<'_>| Err(Error::Unreadable { what: format!("commit {}", commit.number) });
    let error = Log::open(options(written.dir(), Sync::Never), 4, refuse).unwrap_err();
    assert!(matches!(error, Error::Unreadable { what } if what == "commit 5"));
    assert!(written.files() == before);
}

#[test]
fn checking_finds_what_opening_does_and_changes_nothing() {
    let written = Written::small();
    written.push(4, b"torn");
    let before = written.files();
    let checked = check(written.dir(), 2, |_| Ok(())).unwrap();
    assert!(written.files() == before);
    assert_eq!(checked, reopen(written.dir(), 2).unwrap().1);
    assert!(checked.torn.is_some());
}

#[test]
fn segments_are_removed_when_all_their_commits_are() {
    let written = Written::segments(&[&[b"1", b"2"], &[b"3", b"4"], &[b"5"], &[b"6"]]);
    let (mut log, _) = open(written.dir(), 0).unwrap();
    let mut left = |through, segments| {
        let removed = log.remove_through(through, 0).unwrap();
        assert_eq!(written.files().len(), segments, "through {through}");
        assert_eq!(log.bytes(), written.files().iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
        removed
    };
    assert_eq!(left(0, 4), 0);
    assert_eq!(left(1, 4), 0);
    assert_eq!(left(2, 3), 1);
    assert_eq!(left(5, 1), 2);
    assert_eq!(left(u64::MAX, 1), 0, "the current segment stays");
    append(&mut log, b"7").unwrap();
    assert_eq!(reopen(written.dir(), 5).unwrap().0, [(6, b"6".to_vec()), (7, b"7".to_vec())]);
    damage(&written, 4);
}

#[test]
fn bytes_are_those_of_the_files() {
    let written = Written::small();
    let (mut log, _) = open(written.dir(), 0).unwrap();
    append(&mut log, b"seven").unwrap();
    assert_eq!(log.current().bytes, written.bytes(4).len() as u64);
    assert_eq!(log.bytes(), (written.bytes(1).len() + written.bytes(4).len()) as u64);
}

#[test]
fn rotating_an_empty_segment_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 0).unwrap();
    log.rotate().unwrap();
    append(&mut log, b"one").unwrap();
    log.rotate().unwrap();
    log.rotate().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn files_that_do_not_look_like_segments_are_left_alone() {
    let written = Written::small();
    fs::write(written.dir().join("notes.txt"), "kept").unwrap();
    assert_eq!(reopen(written.dir(), 0).unwrap().0, written.commits);
    assert!(written.dir().join("notes.txt").is_file());
}

#[test]
fn files_that_look_like_segments_and_are_none_are_refused() {
    for name in ["1.log", "0000000000000000000x.log", "00000000000000000000.log", "+0000000000000000009.log"] {
        let written = Written::small();
        fs::write(written.dir().join(name), "").unwrap();
        let error = reopen(written.dir(), 0).unwrap_err();
        assert!(matches!(&error, Error::NotASegment { file } if file.ends_with(name)), "{error}");
    }
}
