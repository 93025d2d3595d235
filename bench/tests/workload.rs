//! The workload keeps what it promises: the same bytes for ever, the shares, the bounds, every key.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context;
use millpond_bench::oracle::Oracle;
use millpond_bench::workload::{REACH_EVENTS_MAX, Workload};
use serde_json::Value;

fn small() -> Workload {
    Workload { events: 100_000, keys: 10_000, ..Workload::default() }
}

/// The same events as they happened: nothing displaced, nothing doubled.
fn in_order(workload: &Workload) -> Workload {
    Workload { duplicate_share: 0.0, disorder_share: 0.0, ..workload.clone() }
}

/// FNV-1a, 64 bits.
fn hash<'a>(lines: impl Iterator<Item = &'a str>) -> u64 {
    lines
        .flat_map(|line| line.bytes().chain([b'\n']))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn parsed(workload: &Workload) -> impl Iterator<Item = Value> {
    workload.lines().map(|line| serde_json::from_str(&line).expect("every line is JSON"))
}

fn views<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<String>> {
    let mut oracle = Oracle::new();
    for line in lines {
        oracle.take(line)?;
    }
    Ok(oracle.views().collect())
}

/// The delivered lines as numbers of events, in the order in which they happened.
fn delivered_numbers(workload: &Workload) -> Vec<u64> {
    let numbers: HashMap<String, u64> = in_order(workload).lines().zip(0..).collect();
    workload.lines().map(|line| numbers[&line]).collect()
}

#[test]
fn a_seed_gives_the_same_bytes_for_ever() {
    let first: Vec<String> = Workload::default().lines().take(10_000).collect();
    assert_eq!(hash(first.iter().map(String::as_str)), 16_144_902_663_353_107_894);
    let shuffled = Workload { events: 5_000, keys: 500, ..Workload::default() }.shuffled_doubled();
    assert_eq!(hash(shuffled.lines()), 8_392_395_674_273_032_113);
}

#[test]
fn another_seed_gives_other_events() {
    let ids = |seed| parsed(&Workload { seed, ..small() }).map(|event| event["id"].to_string()).collect::<HashSet<_>>();
    assert!(ids(1).is_disjoint(&ids(2)));
}

#[test]
fn next_line_and_the_iterator_tell_the_same() {
    let workload = Workload { events: 5_000, keys: 500, ..Workload::default() };
    let mut told = Vec::new();
    let mut lines = workload.lines();
    while let Some(line) = lines.next_line() {
        told.push(line.to_owned());
    }
    assert!(workload.lines().eq(told));
}

#[test]
fn lines_are_about_270_bytes() {
    let sizes: Vec<usize> = small().lines().map(|line| line.len()).collect();
    let average = sizes.iter().sum::<usize>() / sizes.len();
    assert!((250..=290).contains(&average), "{average} bytes on average");
}

#[test]
fn two_in_a_hundred_come_twice_and_five_out_of_order() {
    let numbers = delivered_numbers(&small());
    let mut seen = HashSet::new();
    let (mut duplicates, mut displaced, mut highest) = (0, 0, 0);
    for number in numbers {
        if !seen.insert(number) {
            duplicates += 1;
        } else if number < highest {
            displaced += 1;
        }
        highest = highest.max(number);
    }
    assert_eq!(seen.len(), 100_000);
    assert!((1_800..=2_200).contains(&duplicates), "{duplicates} duplicates");
    assert!((4_700..=5_300).contains(&displaced), "{displaced} displaced");
}

#[test]
fn no_line_is_further_behind_than_its_reach() {
    let mut seen = HashSet::new();
    let (mut highest, mut furthest, mut furthest_copy) = (0, 0, 0);
    for number in delivered_numbers(&small()) {
        highest = highest.max(number);
        let furthest = if seen.insert(number) { &mut furthest } else { &mut furthest_copy };
        *furthest = (*furthest).max(highest - number);
    }
    assert!((REACH_EVENTS_MAX - 100..=REACH_EVENTS_MAX).contains(&furthest), "{furthest}");
    // The copy of a displaced event comes after it, so up to twice as far behind.
    assert!((REACH_EVENTS_MAX - 100..=2 * REACH_EVENTS_MAX).contains(&furthest_copy), "{furthest_copy}");
}

#[test]
fn shares_of_one_displace_and_double_everything_and_still_end() {
    let workload = Workload { duplicate_share: 1.0, disorder_share: 1.0, ..small() };
    let mut deliveries: HashMap<u64, u32> = HashMap::new();
    for number in delivered_numbers(&workload) {
        *deliveries.entry(number).or_default() += 1;
    }
    assert_eq!(deliveries.len(), 100_000);
    assert!(deliveries.values().all(|&times| times == 2));
}

#[test]
fn time_rises_by_a_millisecond_an_event_and_some_share_one() -> anyhow::Result<()> {
    let times: Vec<u64> = parsed(&in_order(&small())).filter_map(|event| event["timestamp"].as_u64()).collect();
    assert_eq!(times.first(), Some(&1_760_000_000_000));
    assert!(times.is_sorted());
    let last = times.last().context("no events")? - times[0];
    assert!((98_000..=102_000).contains(&last), "{last} ms");
    assert!(times.windows(2).any(|pair| pair[0] == pair[1]));
    Ok(())
}

#[test]
fn every_key_has_an_event_however_few_events_there_are_a_key() {
    for events_per_key in [1, 2, 3, 10, 1_000] {
        let workload = small().with_events_per_key(events_per_key);
        let keys: BTreeSet<String> = parsed(&workload).map(|event| event["partitionKey"].to_string()).collect();
        assert_eq!(keys.len() as u64, workload.keys, "{events_per_key} events a key");
    }
}

#[test]
fn fewer_events_than_keys_are_events_all_the_same() {
    let scarce = Workload { events: 1_000, keys: 10_000, ..small() };
    assert_eq!(scarce.lines().collect::<HashSet<_>>().len(), 1_000);
}

#[test]
fn one_key_holds_every_event() {
    let workload = Workload::one_key(10_000);
    assert!(parsed(&workload).all(|event| event["partitionKey"] == "user-000000"));
    assert_eq!(workload.lines().collect::<HashSet<_>>().len(), 10_000);
}

/// Names that only the id decides are rare in the wild; without them an oracle that forgets the id would pass.
#[test]
fn keys_are_created_once_twice_never_or_twice_in_one_millisecond() {
    let mut creations: HashMap<String, Vec<(u64, String)>> = HashMap::new();
    for event in parsed(&in_order(&small())) {
        let times = creations.entry(event["partitionKey"].to_string()).or_default();
        if event["type"] == "user-created" {
            times.push((event["timestamp"].as_u64().unwrap_or_default(), event["user"]["name"].to_string()));
        }
    }
    let count = |matches: fn(&[(u64, String)]) -> bool| creations.values().filter(|times| matches(times)).count();
    assert!((480..=600).contains(&count(|times| times.is_empty())));
    assert!((8_000..=9_500).contains(&count(|times| times.len() == 1)));
    assert!(count(|times| times.windows(2).any(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1)) > 400);
    assert!(count(|times| times.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)) > 50);
}

#[test]
fn the_views_do_not_depend_on_the_delivery() -> anyhow::Result<()> {
    let workload = small();
    let delivered: Vec<String> = workload.lines().collect();
    let expected = views(delivered.iter().map(String::as_str))?;
    assert_eq!(expected.len(), 10_000);

    let shuffled = workload.shuffled_doubled();
    let mut times: HashMap<&str, i32> = HashMap::new();
    shuffled.lines().for_each(|line| *times.entry(line).or_default() += 1);
    delivered.iter().for_each(|line| *times.entry(line).or_default() -= 2);
    assert!(times.values().all(|&left| left == 0), "not every delivered line twice");
    assert!(views(shuffled.lines())? == expected);

    let happened: Vec<String> = in_order(&workload).lines().collect();
    assert!(views(happened.iter().map(String::as_str))? == expected);
    Ok(())
}
