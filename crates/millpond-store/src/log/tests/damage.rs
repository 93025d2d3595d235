//! Whatever no crash leaves is damage: it is refused, named, and nothing is changed.

use proptest::prelude::*;

use super::*;

/// Bytes were changed from `offset` on: that must be refused, or have cost the last commit alone,
/// if it begins at `last_frame` and was hit.
fn check(written: &Written, file: u64, changed: &[u8], hit_last: bool) {
    written.replace(file, changed);
    let before = written.files();
    match reopen(written.dir(), 0) {
        Ok((commits, recovery)) => {
            assert!(hit_last, "damage before the last commit went unnoticed");
            assert_eq!(commits, written.commits[..written.commits.len() - 1]);
            assert!(recovery.torn.is_some());
        }
        Err(error) => {
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(written.files() == before, "refusing changed a file");
        }
    }
}

#[test]
fn every_changed_byte_is_refused_or_costs_only_the_last_commit() {
    let written = Written::small();
    for (file, last_frame) in [(1, usize::MAX), (4, written.frame_offsets(4, &[4, 0, 16])[2])] {
        let bytes = written.bytes(file);
        for offset in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[offset] ^= flip;
                check(&written, file, &changed, offset >= last_frame);
            }
        }
        written.replace(file, &bytes);
    }
}

#[test]
fn every_zeroed_sector_is_refused_or_costs_only_the_last_commit() {
    let payload = |seed: u32, len: u32| (0..len).map(|n| ((n * 7 + seed) % 255) as u8 + 1).collect::<Vec<u8>>();
    let payloads = [payload(1, 700), payload(2, 1500), payload(3, 600), payload(4, 900)];
    let [one, two, three, four] = payloads.each_ref().map(Vec::as_slice);
    let written = Written::segments(&[&[one, two], &[three, one, two, four]]);
    for (file, last_frame) in [(1, usize::MAX), (3, written.frame_offsets(3, &[600, 700, 1500, 900])[3])] {
        let bytes = written.bytes(file);
        for start in (0..bytes.len()).step_by(64) {
            let end = bytes.len().min(start + 512);
            let mut changed = bytes.clone();
            changed[start..end].fill(0);
            check(&written, file, &changed, end > last_frame);
        }
        written.replace(file, &bytes);
    }
}

#[test]
fn damage_across_the_last_two_commits_is_not_a_torn_tail() {
    let written = Written::segments(&[&[b"one", &[b'x'; 300], &[b'y'; 300]]]);
    let [_, second, third, _] = written.frame_offsets(1, &[3, 300, 300])[..] else { panic!("three frames") };
    let mut bytes = written.bytes(1);
    bytes[third - 10..third + 30].fill(0);
    written.replace(1, &bytes);
    let message = damage(&written, 0);
    assert!(message.contains(&format!("at byte {second}: commit 2 should be here")), "{message}");
    assert!(message.contains("more was written behind it"), "{message}");
}

#[test]
fn a_whole_commit_behind_a_broken_one_is_found_though_the_length_is_wrong() {
    for length in [0_u32, 1, 10_000, 1 << 30, u32::MAX] {
        let written = Written::small();
        let mut bytes = written.bytes(4);
        bytes[36..40].copy_from_slice(&length.to_le_bytes());
        written.replace(4, &bytes);
        let message = damage(&written, 0);
        assert!(message.contains("commit 5 follows at byte 56"), "{message}");
    }
}

#[test]
fn an_earlier_segment_cut_anywhere_is_damage() {
    let written = Written::small();
    let bytes = written.bytes(1);
    for length in 0..bytes.len() {
        written.replace(1, &bytes[..length]);
        damage(&written, 0);
    }
}

#[test]
fn anything_behind_the_commits_of_an_earlier_segment_is_damage() {
    let written = Written::small();
    written.push(1, b"\0");
    let message = damage(&written, 0);
    assert!(message.contains("another segment follows"), "{message}");
}

#[test]
fn missing_segments_are_named() {
    let three = || Written::segments(&[&[b"1", b"2"], &[b"3"], &[b"4"]]);
    let missing = |first, after| {
        let written = three();
        fs::remove_file(written.file(first)).unwrap();
        damage(&written, after)
    };
    assert!(missing(1, 0).contains("commit 1 should be next, but the log begins with commit 3"));
    assert!(missing(1, 1).contains("commit 2 should be next, but the log begins with commit 3"));
    assert!(missing(3, 0).contains("commit 3 should be next, but this begins with commit 4"));
    assert!(missing(4, 4).contains("the log ends here, before commit 4, but was needed up to 4"));
}

#[test]
fn a_tail_that_was_stored_elsewhere_already_is_not_cut() {
    let written = Written::small();
    let bytes = written.bytes(4);
    written.replace(4, &bytes[..bytes.len() - 1]);
    assert!(damage(&written, 6).contains("before commit 6, but was needed up to 6"));
    assert_eq!(reopen(written.dir(), 5).unwrap().1.last_commit, 5);
}

#[test]
fn commits_out_of_turn_are_damage() {
    for (number, message) in [(8, "commit 7 should be here, but this is commit 8"), (6, "but this is commit 6")] {
        let written = Written::small();
        written.push(4, &frame(b"out of turn", number));
        assert!(damage(&written, 0).contains(message));
    }
}

#[test]
fn a_segment_under_another_name_is_damage() {
    let written = Written::small();
    fs::copy(written.file(1), written.file(7)).unwrap();
    assert!(damage(&written, 6).contains("another first commit"));
}

#[test]
fn a_broken_header_with_something_behind_it_is_damage() {
    for keep in [0, 3] {
        let written = Written::segments(&[&[b"one"], &[&[b'x'; 40]]]);
        let mut bytes = written.bytes(2);
        bytes[0] ^= 1;
        bytes.truncate(33 + keep);
        written.replace(2, &bytes);
        assert!(damage(&written, 0).contains("its header is not whole"));
    }
}

#[test]
fn a_newer_format_is_called_that() {
    let written = Written::small();
    let mut bytes = written.bytes(4);
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    for length in [bytes.len(), 32] {
        written.replace(4, &bytes[..length]);
        let error = reopen(written.dir(), 0).unwrap_err();
        assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("newer millpond"));
    }
}

#[test]
fn damage_says_where_and_what_to_do() {
    let written = Written::small();
    let mut bytes = written.bytes(4);
    bytes[32] = 0;
    written.replace(4, &bytes);
    let message = damage(&written, 0);
    for part in ["00000000000000000004.log", "at byte 32", "nothing was changed", "estore the data folder"] {
        assert!(message.contains(part), "{message}");
    }
}

/// An edit that no crash makes: (kind, from, length, seed).
type Edit = (u8, prop::sample::Index, usize, u8);

fn edit(bytes: &mut Vec<u8>, (kind, from, length, seed): Edit) {
    let from = from.index(bytes.len() + 1);
    let range = from..bytes.len().min(from + length);
    match kind {
        0 => bytes[range].fill(seed),
        1 => drop(bytes.drain(range)),
        2 => {
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, copy);
        }
        _ => bytes[range].reverse(),
    }
}

#[test]
fn whatever_happens_to_the_bytes_no_commit_is_invented() {
    let written = Written::small();
    let whole = [1, 4].map(|file| (file, written.bytes(file)));
    let edits = (0..4u8, any::<prop::sample::Index>(), 1..60usize, any::<u8>());
    proptest!(ProptestConfig::with_cases(300), |(last in 0..2usize, edits in prop::collection::vec(edits, 1..4))| {
        whole.iter().for_each(|(file, bytes)| written.replace(*file, bytes));
        let (file, mut bytes) = whole[last].clone();
        edits.into_iter().for_each(|change| edit(&mut bytes, change));
        written.replace(file, &bytes);
        let mut commits = Commits::new();
        let opened = Log::open(options(written.dir(), Sync::Never), 0, |commit| {
            commits.push((commit.number, commit.payload.to_vec()));
            Ok(())
        });
        prop_assert_eq!(&commits[..], &written.commits[..commits.len()]);
        prop_assert!(opened.is_err() || commits.len() >= [6, 3][last], "cut before the last segment");
    });
}
