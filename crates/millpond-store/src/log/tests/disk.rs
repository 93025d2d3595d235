//! A disk that fails: the log stops for good, and opening anew finds what was acknowledged.

use super::*;
use crate::log::PAYLOAD_BYTES_MAX;
use crate::log::file::Fault;

/// Lets commit 7 fail, and returns the log that is stopped by it.
fn fail(written: &Written, fault: Fault) -> Log {
    let (mut log, _) = Log::open(options(written.dir(), Sync::Every), 0, |_| Ok(())).unwrap();
    log.file.fault = Some(fault);
    let error = append(&mut log, b"in doubt").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let bytes = written.bytes(4);
    let refused =
        [append(&mut log, b"later").unwrap_err(), log.rotate().unwrap_err(), log.remove_through(3, 0).unwrap_err()];
    for later in refused {
        assert!(matches!(&later, Error::Stopped { reason } if *reason == error.to_string()), "{later}");
    }
    assert_eq!(log.next_commit(), 7, "nothing was acknowledged");
    assert!(written.bytes(4) == bytes, "a stopped log writes nothing");
    log
}

#[test]
fn a_full_disk_stops_the_log_and_costs_no_acknowledged_commit() {
    let length = frame(b"in doubt", 7).len();
    for taken in 0..length {
        let written = Written::small();
        drop(fail(&written, Fault::Full { taken }));
        let (commits, recovery) = reopen(written.dir(), 0).unwrap();
        assert_eq!(commits, written.commits);
        assert_eq!(recovery.torn.map_or(0, |torn| torn.bytes), taken as u64);
    }
}

#[test]
fn a_failed_sync_leaves_one_commit_in_doubt_whole_or_not_at_all() {
    let frame = frame(b"in doubt", 7);
    // What the disk may have of a frame that it did not confirm.
    for on_disk in [&frame[..], &[], &frame[..10], &vec![0; frame.len()]] {
        let written = Written::small();
        let confirmed = written.bytes(4);
        drop(fail(&written, Fault::Sync));
        written.replace(4, &[&confirmed[..], on_disk].concat());
        let (mut commits, _) = reopen(written.dir(), 0).unwrap();
        if *on_disk == frame {
            assert_eq!(commits.pop(), Some((7, b"in doubt".to_vec())));
        }
        assert_eq!(commits, written.commits);
    }
}

#[test]
fn the_first_failure_keeps_its_cause() {
    let written = Written::small();
    let (mut log, _) = open(written.dir(), 0).unwrap();
    log.file.fault = Some(Fault::Full { taken: 3 });
    let error = append(&mut log, b"seven").unwrap_err();
    let Error::Io { what: "write", path, source } = &error else { panic!("{error}") };
    assert_eq!(*path, written.file(4));
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_rotation_that_fails_stops_the_log() {
    let written = Written::small();
    let (mut log, _) = open(written.dir(), 0).unwrap();
    append(&mut log, b"seven").unwrap();
    fs::create_dir(written.file(8)).unwrap();
    let error = log.rotate().unwrap_err();
    assert!(matches!(append(&mut log, b"eight"), Err(Error::Stopped { reason }) if reason == error.to_string()));
    fs::remove_dir(written.file(8)).unwrap();
    assert_eq!(reopen(written.dir(), 0).unwrap().1.last_commit, 7);
}

#[test]
fn a_rotation_whose_old_segment_cannot_be_synced_makes_no_new_one() {
    let written = Written::small();
    let (mut log, _) = open(written.dir(), 0).unwrap();
    log.file.fault = Some(Fault::Sync);
    log.rotate().unwrap_err();
    assert!(!written.file(7).exists());
    assert!(matches!(append(&mut log, b"seven"), Err(Error::Stopped { .. })));
}

#[test]
fn a_removal_that_fails_leaves_a_log_without_gaps() {
    let written = Written::segments(&[&[b"1"], &[b"2"], &[b"3"]]);
    let (mut log, _) = open(written.dir(), 0).unwrap();
    fs::remove_file(written.file(2)).unwrap(); // so that it cannot be removed again
    log.remove_through(2, 0).unwrap_err();
    assert!(!written.file(1).exists());
    assert_eq!(reopen(written.dir(), 2).unwrap().0, written.commits[2..]);
}

#[test]
fn only_the_next_commit_sealed_and_whole_is_appended() {
    let written = Written::small();
    let before = written.files();
    let (mut log, _) = open(written.dir(), 0).unwrap();
    let whole = frame(b"seven", 7);
    let mut unsealed = Vec::new();
    Log::begin_frame(&mut unsealed);
    let two = [frame(b"seven", 7), frame(b"eight", 8)].concat();
    for wrong in [&[], &whole[1..], &whole[..24], &frame(b"six", 6)[..], &frame(b"eight", 8), &unsealed, &two] {
        assert!(matches!(log.append(wrong), Err(Error::WrongFrame { expected: 7 })));
    }
    assert!(written.files() == before);
    log.append(&whole).expect("a wrong frame stops nothing");
}

#[test]
fn a_frame_is_built_behind_what_is_in_the_buffer() {
    let mut buffer = frame(b"one", 1);
    let first = buffer.len();
    let start = Log::begin_frame(&mut buffer);
    buffer.extend_from_slice(b"two");
    Log::seal_frame(&mut buffer, start, 2).unwrap();
    assert_eq!(buffer[..first], frame(b"one", 1));
    assert_eq!(buffer[first..], frame(b"two", 2));
}

#[test]
fn a_commit_above_the_limit_is_refused() {
    let mut buffer = Vec::new();
    let start = Log::begin_frame(&mut buffer);
    let mut buffer = vec![0; buffer.len() + PAYLOAD_BYTES_MAX + 1]; // zeros that are never touched take no memory
    let error = Log::seal_frame(&mut buffer, start, 1).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes, max } if bytes == max + 1));
}
