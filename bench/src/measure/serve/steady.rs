//! A share of the peak for a long time: events that happen now, while snapshots and trims run and readers read.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::Bench;
use super::super::figure::{Figure, count};
use super::super::load::Policy;
use super::super::meter::{Meter, Spent, megabytes, per_million};
use super::changes::{Seen, follow};
use super::connection::Connection;
use super::probe::{PREFIX, Probed, Probes, probe};
use super::readers::{Reads, read};
use super::sample::{Sample, first_and_last_fifth, watch};
use super::schedule::{Schedule, Times};
use super::senders::{Loop, Sender, Sent, send};
use super::server::{Server, verify};
use super::shared::Shared;
use super::{Measured, key};

/// Readers beside the senders, and what they and the prober do in a second.
const READERS: usize = 2;
const READS_PER_S: f64 = 300.0;
const PROBES_PER_S: f64 = 50.0;

/// Events of a tail before a snapshot is asked for.
const SNAPSHOT_EVERY: u32 = 20;
const LATENESS_S_MAX: u64 = 30;
/// The peak is looked for over so many times the lateness, and counted over the last third: by then, tails close.
const PEAK_LATENESSES: u64 = 6;
const WARM_UP_MAX: Duration = Duration::from_secs(60);

/// Memory may grow by so much from the first fifth to the last.
const DRIFT_PERCENT_MAX: f64 = 5.0;

/// What load to keep, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    /// How long.
    pub lasts: Duration,
    /// Hundredths of the peak.
    pub share_percent: u32,
    /// Keys that events are spread over.
    pub keys: u64,
    /// Connections that send.
    pub connections: usize,
    /// Events of a request.
    pub batch_events: usize,
}

/// What all threads saw while it was measured.
struct Seconds {
    offered_per_s: f64,
    sent: Sent,
    spent: Spent,
    samples: Vec<Sample>,
    trimmed: [u64; 2],
    snapshots: [u64; 2],
}

/// What those saw that are beside the senders.
struct Beside {
    reads: Reads,
    probed: Probed,
    seen: Seen,
}

impl Steady {
    pub(super) fn measure(&self, bench: &Bench) -> anyhow::Result<Measured> {
        let scratch = bench.scratch()?;
        let policy = Policy::Soon { lateness_s: self.lateness_s(), snapshot_every: SNAPSHOT_EVERY };
        let server = Server::start(bench, scratch.path(), policy.join()?.source_text())?;
        let (shared, probes) = (Shared::new(server.address, self.keys), Probes::default());
        let (peak, seconds, beside) = self.load(&server, &shared, &probes)?;
        let views = check_views(&shared, &probes, &beside.seen)?;
        let stats = server.stats()?;
        let events = self.check_counts(&shared, &probes, &stats)?;
        let data = server.data.clone();
        let finished = server.stop()?;
        let verified = verify(bench, &data)?;
        ensure!(verified["keys"] == views, "wrong answer: {views} views, and {verified}");
        let mut figures = self.figures(peak, &seconds, beside);
        figures.extend([
            Figure::new("peak memory", megabytes(finished.peak_rss_bytes), "MB"),
            Figure::new("events acknowledged, all there once; `verify` finds no difference", events as f64, "events"),
            Figure::new("requests that failed", shared.failures() as f64, "requests").at_most(0.0),
        ]);
        Ok(Measured { figures, samples: seconds.samples, failures: shared.failures_shown() })
    }

    fn lateness_s(&self) -> u64 {
        (self.lasts.as_secs() / 10).clamp(1, LATENESS_S_MAX)
    }

    /// The peak, the steady load, and what those beside it saw.
    fn load(&self, server: &Server, shared: &Shared, probes: &Probes) -> anyhow::Result<(f64, Seconds, Beside)> {
        // They are stopped, and not by a schedule's end.
        let ever = Duration::from_secs(u32::MAX.into());
        let (reads, probing) = (&Schedule::new(READS_PER_S, ever), &Schedule::new(PROBES_PER_S, ever));
        std::thread::scope(|scope| {
            let readers: Vec<_> =
                (0..READERS).map(|seed| scope.spawn(move || read(shared, reads, seed as u64))).collect();
            let prober = scope.spawn(move || probe(shared, probes, probing));
            let follower = scope.spawn(|| follow(shared, probes));
            let measured = self.peak_and_steady(server, shared);
            shared.stop();
            let mut reads = Reads::default();
            for reader in readers {
                reads.append(reader.join().expect("a reader does not panic"));
            }
            let probed = prober.join().expect("the prober does not panic");
            let seen = follower.join().expect("the reader of changes does not panic");
            let (peak, seconds) = measured?;
            Ok((peak, seconds, Beside { reads, probed, seen }))
        })
    }

    fn peak_and_steady(&self, server: &Server, shared: &Shared) -> anyhow::Result<(f64, Seconds)> {
        let mut senders: Vec<Sender> =
            (0..self.connections).map(|number| Sender::new(number, self.batch_events, self.keys)).collect();
        let lasts = Duration::from_secs(PEAK_LATENESSES * self.lateness_s());
        let counted = lasts / 3;
        eprintln!("bench: looking for the peak, {} s", lasts.as_secs());
        let peak = send(&mut senders, shared, Loop::Closed { lasts, counted })?;
        let peak = peak.taken.received as f64 / counted.as_secs_f64();
        let offered_per_s = peak * f64::from(self.share_percent) / 100.0;
        let warm_up = (self.lasts / 10).min(WARM_UP_MAX);
        eprintln!(
            "bench: peak {} events/s; {} s at {}",
            count(peak as u64),
            self.lasts.as_secs(),
            offered_per_s as u64
        );
        let schedule = Schedule::new(offered_per_s / self.batch_events as f64, warm_up + self.lasts);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send(&mut senders, shared, Loop::Open(&schedule)));
            watch(server, warm_up)?;
            let before = server.stats()?;
            let meter = Meter::start();
            shared.measure(true);
            let watched = watch(server, self.lasts);
            shared.measure(false);
            let spent = meter.stop();
            let sent = sending.join().expect("a sender does not panic")?;
            let after = server.stats()?;
            let counted = |what: &str| [&before, &after].map(|stats| stats[what].as_u64().unwrap_or_default());
            let (samples, trimmed, snapshots) = (watched?, counted("trimmed"), counted("snapshots"));
            Ok((peak, Seconds { offered_per_s, sent, spent, samples, trimmed, snapshots }))
        })
    }

    /// Every event that was acknowledged was accepted once, and no other.
    fn check_counts(&self, shared: &Shared, probes: &Probes, stats: &Value) -> anyhow::Result<u64> {
        let probed: usize = (0..super::probe::PROBE_KEYS).map(|key| probes.sent(key)).sum();
        let distinct = shared.ledger.distinct() + probed as u64;
        let none = ["late", "quarantined", "ignored", "conflicts", "divergence"];
        let right = stats["accepted"] == distinct
            // What failed was sent again, and may have been taken before.
            && (stats["duplicate"] == shared.ledger.repeated() || shared.failures() > 0)
            && none.iter().all(|what| stats[*what] == 0);
        let repeated = shared.ledger.repeated();
        ensure!(right, "wrong counts: {stats}; right are {distinct} accepted and {repeated} duplicates");
        Ok(distinct)
    }

    fn figures(&self, peak: f64, seconds: &Seconds, beside: Beside) -> Vec<Figure> {
        let Seconds { offered_per_s, sent, spent, samples, trimmed, snapshots } = seconds;
        let lasted = spent.seconds;
        let cpu_s = samples[samples.len() - 1].cpu_s - samples[0].cpu_s;
        let taken = sent.taken.received;
        let (batch, connections) = (count(self.batch_events as u64), self.connections);
        let mut figures = vec![
            Figure::new(format!("peak, closed loop, {connections} connections, batches of {batch}"), peak, "events/s"),
            Figure::new(
                format!("offered, {} % of it, for {:.0} s", self.share_percent, lasted),
                *offered_per_s,
                "events/s",
            ),
            Figure::new("acknowledged", taken as f64 / lasted, "events/s"),
        ];
        let Beside { reads, probed, seen } = beside;
        let mut acknowledged = sent.acknowledged.clone();
        figures.extend(times(&format!("batch of {batch}, due to acknowledged"), &mut acknowledged));
        let mut timed = [
            ("single event, due to acknowledged", probed.acknowledged),
            ("single event, acknowledged to read in its view", probed.visible),
            ("single event, due to told to a reader of all changes", seen.told),
            ("read of a view", reads.views),
            ("read of a view that is known (If-None-Match)", reads.known),
            ("read of a page of 100 views", reads.pages),
        ];
        figures.extend(timed.iter_mut().flat_map(|(what, of)| times(what, of)));
        let [memory, memory_after] = first_and_last_fifth(samples, |sample| sample.rss_bytes);
        let [disk, disk_after] = first_and_last_fifth(samples, |sample| sample.disk_bytes);
        figures.extend([
            Figure::new("changes told, of all", seen.changes as f64, "changes"),
            Figure::new("views not modified since they were read", reads.not_modified as f64, "reads"),
            Figure::new("snapshots made", (snapshots[1] - snapshots[0]) as f64, "snapshots"),
            Figure::new("events trimmed", (trimmed[1] - trimmed[0]) as f64, "events"),
            Figure::new("server, CPU", cpu_s / lasted, "cores"),
            Figure::new("server, CPU", per_million(cpu_s, taken), "CPU-s / M events"),
            Figure::new("generator, CPU", spent.cpu_s / lasted, "cores"),
            Figure::new("memory, first fifth", memory, "MB"),
            Figure::new("memory, last fifth", memory_after, "MB"),
            Figure::new("memory, growth", (memory_after / memory - 1.0) * 100.0, "%").at_most(DRIFT_PERCENT_MAX),
            Figure::new("on disk, first fifth", disk, "MB"),
            Figure::new("on disk, last fifth", disk_after, "MB"),
        ]);
        figures
    }
}

/// p50, p99, p99.9 and the longest.
fn times(what: &str, times: &mut Times) -> Vec<Figure> {
    times.sort();
    let shares = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)];
    // Of fewer than a thousand, one is already p99.9.
    let enough = |share: f64| share == 1.0 || times.len() as f64 * (1.0 - share) >= 1.0;
    let shares = shares.into_iter().filter(|(_, share)| enough(*share));
    shares.map(|(name, share)| Figure::new(format!("{what}: {name}"), times.at(share), "ms")).collect()
}

#[derive(Deserialize)]
struct Entry<'l> {
    #[serde(borrow)]
    key: &'l str,
    version: u64,
    #[serde(borrow)]
    document: &'l RawValue,
}

/// All views over HTTP, against the ledger and against what the reader of changes was told; how many there are.
fn check_views(shared: &Shared, probes: &Probes, seen: &Seen) -> anyhow::Result<u64> {
    let started = Instant::now();
    let connection = Connection::open(shared.address)?;
    let (stream, begun) = connection.stream("/v1/views/user-activity", "accept: application/x-ndjson\r\n")?;
    let (mut views, mut workload_views) = (0, 0);
    for line in BufReader::new(Cursor::new(begun).chain(stream)).lines() {
        let line = line.context("reading all views")?;
        let Entry { key: found, version, document } =
            serde_json::from_str(&line).with_context(|| format!("no view: {line}"))?;
        views += 1;
        // A snapshot makes another version of the same document.
        let told = seen.last.get(found).filter(|told| told.version <= version && told.is_document(document.get()));
        ensure!(told.is_some(), "{found} has version {version}: {document}, and told was {:?}", seen.last.get(found));
        if let Some(probe) = found.strip_prefix(PREFIX) {
            let document: Value = serde_json::from_str(document.get())?;
            let sent = probes.sent(probe.parse()?);
            ensure!(document["recentOrderCount"] == sent, "wrong answer: {document}, and {sent} were sent");
        } else {
            let number = found.rsplit('-').next().and_then(|number| number.parse().ok());
            let number = number.filter(|number| key(*number) == found).with_context(|| format!("no key: {found}"))?;
            shared.ledger.check(number, document.get())?;
            workload_views += 1;
        }
    }
    let right = shared.ledger.views()?;
    ensure!(workload_views == right, "wrong answer: {workload_views} views; right are {right}");
    ensure!(seen.resets == 0, "the reader of changes was told to forget everything, {} times", seen.resets);
    eprintln!("bench: {views} views are right, read in {:.1} s", started.elapsed().as_secs_f64());
    Ok(views)
}
