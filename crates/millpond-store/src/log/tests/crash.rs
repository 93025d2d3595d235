//! What a crash can leave at the end of the log is cut off, and nothing else is lost.

use super::*;
use crate::log::Torn;

/// Opens a log that lost everything after `whole` commits, then goes on with it.
fn check(written: &Written, file: u64, whole: usize, torn: (usize, usize)) {
    let (offset, bytes) = (torn.0 as u64, torn.1 as u64);
    let (commits, recovery) = reopen(written.dir(), 0).unwrap();
    assert_eq!(commits, written.commits[..whole]);
    assert_eq!(recovery.torn, Some(Torn { file: written.file(file), offset, bytes }));

    let (mut log, again) = open(written.dir(), 0).unwrap();
    assert_eq!(again.torn, None, "it is cut once");
    append(&mut log, b"after the crash").unwrap();
    let (mut commits, _) = reopen(written.dir(), 0).unwrap();
    assert_eq!(commits.pop(), Some((whole as u64 + 1, b"after the crash".to_vec())));
    assert_eq!(commits, written.commits[..whole]);
}

#[test]
fn a_log_cut_anywhere_in_its_last_segment_has_all_whole_commits_before_the_cut() {
    let written = Written::small();
    let bytes = written.bytes(4);
    let ends = written.frame_offsets(4, &[4, 0, 16]);
    for length in 0..bytes.len() {
        written.replace(4, &bytes[..length]);
        let whole = ends.iter().filter(|end| **end <= length).count();
        match whole.checked_sub(1) {
            None => check(&written, 4, 3, (0, length)),
            Some(commits) if ends[commits] < length => {
                check(&written, 4, 3 + commits, (ends[commits], length - ends[commits]))
            }
            Some(commits) => assert_eq!(reopen(written.dir(), 0).unwrap().0, written.commits[..3 + commits]),
        }
    }
}

#[test]
fn a_torn_tail_is_cut_on_disk_too() {
    let written = Written::small();
    written.push(4, &frame(b"seven", 7)[..21]);
    let (_, recovery) = Log::open(options(written.dir(), Sync::Every), 0, |_| Ok(())).unwrap();
    assert_eq!(recovery.torn.map(|torn| torn.bytes), Some(21));
    assert_eq!(reopen(written.dir(), 0).unwrap().0, written.commits);
}

#[test]
fn a_commit_of_which_any_sectors_did_not_reach_the_disk_is_cut() {
    let payload: Vec<u8> = (0..3000_u32).map(|n| (n % 251) as u8 + 1).collect();
    let written = Written::segments(&[&[b"one", b"two"]]);
    let (whole, last) = (written.bytes(1), frame(&payload, 3));
    let sectors = 1 + (whole.len() + last.len()) / 512;
    for lost in 1..1_u32 << sectors {
        let mut bytes = [&whole[..], &last[..]].concat();
        for (index, byte) in bytes.iter_mut().enumerate().skip(whole.len()) {
            if lost >> (index / 512) & 1 == 1 {
                *byte = 0;
            }
        }
        written.replace(1, &bytes);
        let (commits, recovery) = reopen(written.dir(), 0).unwrap();
        assert_eq!(commits, written.commits, "sectors {lost:b}");
        assert!(recovery.torn.is_some());
    }
}

#[test]
fn a_header_split_by_a_sector_is_cut_whichever_half_is_missing() {
    for before in 473..=511 {
        let written = Written::segments(&[&[&vec![b'x'; before - 32 - 20]]]);
        let (whole, last) = (written.bytes(1), frame(&[b'y'; 600], 2));
        assert_eq!(whole.len(), before);
        for lost in [0..512, 512..1024] {
            let mut bytes = [&whole[..], &last[..]].concat();
            bytes[lost.start.max(before)..lost.end].fill(0);
            written.replace(1, &bytes);
            assert_eq!(reopen(written.dir(), 0).unwrap().0, written.commits, "{before} {lost:?}");
        }
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let written = Written::small();
    let end = written.bytes(4).len();
    written.push(4, &[0; 5000]);
    check(&written, 4, 6, (end, 5000));
}

#[test]
fn old_frames_in_a_tail_are_blocks_of_a_removed_segment() {
    let written = Written::small();
    let end = written.bytes(4).len();
    let stale = [&[0; 100][..], &frame(b"three", 3), &frame(b"four", 4)].concat();
    written.push(4, &stale);
    check(&written, 4, 6, (end, stale.len()));
}

#[test]
fn a_segment_whose_making_broke_off_is_made_again() {
    for (length, flip) in [(0, 0), (1, 0), (31, 0), (32, 1), (32, 0xFF)] {
        let written = Written::small();
        let (mut log, _) = open(written.dir(), 0).unwrap();
        log.rotate().unwrap();
        let mut header = written.bytes(7);
        header.truncate(length);
        header.iter_mut().for_each(|byte| *byte ^= flip);
        written.replace(7, &header);
        check(&written, 7, 6, (0, length));
    }
}

#[test]
fn the_first_segment_of_all_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("00000000000000000001.log"), b"MILL").unwrap();
    let (mut log, recovery) = open(dir.path(), 0).unwrap();
    assert_eq!((recovery.last_commit, log.current().bytes), (0, 32));
    append(&mut log, b"one").unwrap();
    assert_eq!(reopen(dir.path(), 0).unwrap().0, [(1, b"one".to_vec())]);
}
