//! A stream mapping that does to a function whatever AWS says Lambda may do: batches of any size,
//! failures from the lowest number on, bisection, retries, a maximum age, a failure destination,
//! batches delivered again, items of one shard out of order, and shards at the same time.
//!
//! No stand-in for Lambda does all of this, and the rest of the world is seldom so unkind: a handler
//! that is right here has no order or count to lean on.

use std::collections::{HashSet, VecDeque};

use futures_util::future::join_all;

/// How a mapping is configured, and how unkind it is.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Records of a batch, at most; how many there are is chance.
    pub batch_max: usize,
    /// BisectBatchOnFunctionError.
    pub bisects: bool,
    /// FunctionResponseTypes has ReportBatchItemFailures.
    pub reports_failures: bool,
    /// MaximumRetryAttempts; `None`: until the records are too old.
    pub retries_max: Option<u32>,
    /// MaximumRecordAgeInSeconds, in milliseconds; `None`: records live as long as the stream.
    pub age_ms_max: Option<u64>,
    /// ParallelizationFactor: parts of a shard that are worked on at the same time.
    pub lanes: usize,
    /// Of a hundred batches that were done, so many are delivered again all the same.
    pub again_percent: u32,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            batch_max: 100,
            bisects: true,
            reports_failures: true,
            retries_max: Some(5),
            age_ms_max: None,
            lanes: 1,
            again_percent: 10,
        }
    }
}

/// A record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<T> {
    /// Its number in the shard; later ones are higher.
    pub sequence_number: String,
    /// The item it is about: only records of one item keep their order.
    pub item: String,
    /// When it was put, in milliseconds.
    pub at: u64,
    /// What it holds.
    pub data: T,
}

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The sequence numbers of `batchItemFailures`; none if all was done.
    Failures(Vec<String>),
    /// It ended with an error, or not in time.
    Error,
}

/// What became of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered<T> {
    /// Batches that were given up, as the failure destination has them.
    pub given_up: Vec<Vec<Record<T>>>,
    /// Calls of the function.
    pub calls: u64,
    /// Batches that were cut in two.
    pub bisections: u64,
    /// Batches that were done and delivered again.
    pub again: u64,
}

impl<T> Default for Delivered<T> {
    fn default() -> Self {
        Self { given_up: Vec::new(), calls: 0, bisections: 0, again: 0 }
    }
}

/// Records on their way, and how often they failed.
struct Batch<T> {
    records: Vec<Record<T>>,
    retries: u32,
}

/// Delivers all records of all shards, each shard and lane at the same time as the others.
pub async fn deliver<T: Clone>(
    mapping: &Mapping,
    shards: Vec<Vec<Record<T>>>,
    seed: u64,
    now: impl Fn() -> u64,
    function: impl AsyncFn(&[Record<T>]) -> Answer,
) -> Delivered<T> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut lanes = Vec::new();
    for shard in shards {
        let mut parts: Vec<VecDeque<Record<T>>> = (0..mapping.lanes.max(1)).map(|_| VecDeque::new()).collect();
        let salt = chance.u64(..);
        for record in shard {
            let lane = hash(&record.item, salt) as usize % parts.len();
            parts[lane].push_back(record);
        }
        lanes.extend(parts);
    }
    let (now, function) = (&now, &function);
    let runs = lanes.into_iter().map(|records| Lane {
        mapping,
        chance: fastrand::Rng::with_seed(chance.u64(..)),
        records,
        waiting: VecDeque::new(),
        delivered: Delivered::default(),
    });
    let runs: Vec<_> = runs.map(|lane| lane.run(now, function)).collect();
    let mut all = Delivered::default();
    for Delivered { given_up, calls, bisections, again } in join_all(runs).await {
        all.given_up.extend(given_up);
        all.calls += calls;
        all.bisections += bisections;
        all.again += again;
    }
    all
}

/// A part of a shard, whose batches come one after the other.
struct Lane<'m, T> {
    mapping: &'m Mapping,
    chance: fastrand::Rng,
    records: VecDeque<Record<T>>,
    waiting: VecDeque<Batch<T>>,
    delivered: Delivered<T>,
}

impl<T: Clone> Lane<'_, T> {
    async fn run(mut self, now: &impl Fn() -> u64, function: &impl AsyncFn(&[Record<T>]) -> Answer) -> Delivered<T> {
        while let Some(batch) = self.next() {
            let Some(batch) = self.young(batch, now()) else { continue };
            self.delivered.calls += 1;
            let answer = function(&batch.records).await;
            if answer == Answer::Failures(Vec::new()) && self.chance.u32(..100) < self.mapping.again_percent {
                self.delivered.again += 1;
                function(&batch.records).await;
                self.delivered.calls += 1;
            }
            self.take(batch, answer);
        }
        self.delivered
    }

    fn next(&mut self) -> Option<Batch<T>> {
        if let Some(batch) = self.waiting.pop_front() {
            return Some(batch);
        }
        let count = self.chance.usize(1..=self.mapping.batch_max.max(1)).min(self.records.len());
        let records: Vec<_> = self.records.drain(..count).collect();
        (!records.is_empty()).then_some(Batch { records, retries: 0 })
    }

    /// What is not too old; the rest is given up.
    fn young(&mut self, batch: Batch<T>, now: u64) -> Option<Batch<T>> {
        let Batch { records, retries } = batch;
        let is_old = |record: &Record<T>| {
            self.mapping.age_ms_max.is_some_and(|age_ms_max| now.saturating_sub(record.at) > age_ms_max)
        };
        let (old, records): (Vec<_>, Vec<_>) = records.into_iter().partition(is_old);
        if !old.is_empty() {
            self.delivered.given_up.push(old);
        }
        (!records.is_empty()).then_some(Batch { records, retries })
    }

    fn take(&mut self, batch: Batch<T>, answer: Answer) {
        let failed = match answer {
            Answer::Failures(_) if !self.mapping.reports_failures => return, // it is not looked at
            Answer::Failures(failures) if failures.is_empty() => return,
            Answer::Failures(failures) => lowest(&batch.records, &failures),
            Answer::Error => None,
        };
        match failed {
            // What comes before the lowest is done; all from there comes again, done or not.
            Some(lowest) if lowest > 0 => {
                let records = batch.records[lowest..].to_vec();
                self.waiting.push_front(Batch { records, retries: batch.retries });
            }
            _ => self.again(batch),
        }
    }

    fn again(&mut self, batch: Batch<T>) {
        let Batch { mut records, retries } = batch;
        if self.mapping.bisects && records.len() > 1 {
            self.delivered.bisections += 1;
            let second = records.split_off(records.len() / 2);
            self.waiting.push_front(Batch { records: second, retries });
            self.waiting.push_front(Batch { records, retries });
        } else if self.mapping.retries_max.is_some_and(|retries_max| retries >= retries_max) {
            self.delivered.given_up.push(records);
        } else {
            self.waiting.push_front(Batch { records, retries: retries + 1 });
        }
    }
}

/// Where the first record is that failed; `None` if the whole batch did, as it does where a name is
/// not one of the batch's.
fn lowest<T>(records: &[Record<T>], failures: &[String]) -> Option<usize> {
    let failed: HashSet<&str> = failures.iter().map(String::as_str).collect();
    let known = records.iter().filter(|record| failed.contains(&*record.sequence_number)).count();
    if known < failed.len() {
        return None;
    }
    records.iter().position(|record| failed.contains(&*record.sequence_number))
}

fn hash(text: &str, salt: u64) -> u64 {
    // FNV-1a: any spread will do.
    text.bytes()
        .fold(salt ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use pollster::block_on;

    use super::*;

    fn shard(count: u32) -> Vec<Record<u32>> {
        let record = |n: u32| Record { sequence_number: format!("{n}00"), item: n.to_string(), at: 0, data: n };
        (0..count).map(record).collect()
    }

    /// What was done of a shard, in its order, by a function that never does `poison`; and what was given up.
    fn delivered(mapping: &Mapping, count: u32, poison: Option<u32>, reports: bool) -> (Vec<u32>, Delivered<u32>) {
        let done = RefCell::new(Vec::new());
        let delivered = block_on(deliver(
            mapping,
            vec![shard(count)],
            7,
            || 0,
            async |records: &[Record<u32>]| {
                let mut failures = Vec::new();
                for record in records {
                    match Some(record.data) == poison {
                        true if !reports => return Answer::Error,
                        true => failures.push(record.sequence_number.clone()),
                        false => done.borrow_mut().push(record.data),
                    }
                }
                Answer::Failures(failures)
            },
        ));
        (done.into_inner(), delivered)
    }

    #[test]
    fn without_faults_each_record_comes_once_in_order() {
        let kind = Mapping { again_percent: 0, ..Mapping::default() };
        let (done, Delivered { given_up, calls, .. }) = delivered(&kind, 1_000, None, true);
        assert_eq!(done, (0..1_000).collect::<Vec<_>>());
        assert!(given_up.is_empty() && calls >= 10);
    }

    #[test]
    fn a_poison_record_is_given_up_alone_and_its_neighbours_are_done() {
        for reports in [true, false] {
            let (done, Delivered { given_up, again, .. }) = delivered(&Mapping::default(), 1_000, Some(503), reports);
            let given_up: Vec<u32> = given_up.iter().flatten().map(|record| record.data).collect();
            assert_eq!(given_up, [503]);
            let distinct: HashSet<u32> = done.iter().copied().collect();
            assert_eq!(distinct.len(), 999, "all others are done");
            assert!(done.len() > 999 && again > 0, "some of them more than once");
        }
    }

    #[test]
    fn a_function_that_names_a_record_of_another_batch_has_failed_as_a_whole() {
        let records = shard(3);
        assert_eq!(lowest(&records, &["200".to_owned(), "100".to_owned()]), Some(1));
        assert_eq!(lowest(&records, &["100".to_owned(), "900".to_owned()]), None);
        assert_eq!(lowest(&records, &[String::new()]), None);
    }

    #[test]
    fn without_bisection_and_reports_one_record_keeps_its_whole_batch() {
        let mapping = Mapping { bisects: false, again_percent: 0, retries_max: Some(2), ..Mapping::default() };
        let (_, Delivered { given_up, .. }) = delivered(&mapping, 1_000, Some(503), false);
        assert!(given_up.len() == 1 && given_up[0].iter().any(|record| record.data == 503));
        assert!(given_up[0].len() > 1, "its neighbours go with it");
    }

    #[test]
    fn what_is_too_old_is_given_up() {
        let mapping = Mapping { age_ms_max: Some(5), ..Mapping::default() };
        let calls = RefCell::new(0);
        let delivered = block_on(deliver(
            &mapping,
            vec![shard(9)],
            1,
            || 6,
            async |_: &[Record<u32>]| {
                *calls.borrow_mut() += 1;
                Answer::Failures(Vec::new())
            },
        ));
        assert_eq!((*calls.borrow(), delivered.given_up.iter().flatten().count()), (0, 9));
    }

    #[test]
    fn items_of_one_shard_keep_their_own_order_alone() {
        let mapping = Mapping { lanes: 4, batch_max: 3, again_percent: 0, ..Mapping::default() };
        let mut shard = shard(300);
        shard.iter_mut().for_each(|record| record.item = (record.data % 30).to_string());
        let done = RefCell::new(Vec::new());
        block_on(deliver(
            &mapping,
            vec![shard],
            3,
            || 0,
            async |records: &[Record<u32>]| {
                done.borrow_mut().extend(records.iter().map(|record| record.data));
                Answer::Failures(Vec::new())
            },
        ));
        let done = done.into_inner();
        assert!(!done.is_sorted(), "lanes overtake each other");
        for item in 0..30 {
            let of_item: Vec<u32> = done.iter().copied().filter(|n| n % 30 == item).collect();
            assert!(of_item.is_sorted() && of_item.len() == 10);
        }
    }
}
