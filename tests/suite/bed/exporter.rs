//! Istio's request metrics under a test's control: counters that grow with time as if requests were
//! served, so that Prometheus' rates and quantiles come out at the numbers that the test asked for.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Istio's own bucket bounds in milliseconds, up to a minute.
const BOUNDS: [f64; 15] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    30_000.0, 60_000.0,
];
/// The quantile that comes out at the asked latency.
const QUANTILE: f64 = 0.99;

/// What a workload serves from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) requests_per_second: f64,
    /// The share of answers that are 200; the others are 500.
    pub(crate) success_percent: f64,
    pub(crate) p99_milliseconds: f64,
}

/// An HTTP server on a free loopback port. It runs in a thread of its own, so it outlives the
/// runtime of the test that started it.
pub(crate) struct Exporter {
    address: SocketAddr,
    workloads: Workloads,
    others: Others,
}

/// What else is served, made anew for each scrape.
type Others = Arc<Mutex<Vec<Box<dyn Fn() -> String + Send>>>>;

/// By namespace and name.
type Workloads = Arc<Mutex<BTreeMap<(String, String), Workload>>>;

struct Workload {
    traffic: Traffic,
    counted_until: Instant,
    successes: f64,
    failures: f64,
    /// Requests that took no longer than the bound of the same place.
    within: [f64; BOUNDS.len()],
}

impl Exporter {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let workloads = Workloads::default();
        let others = Others::default();
        let served = (Arc::clone(&workloads), Arc::clone(&others));
        thread::Builder::new()
            .name("exporter".to_owned())
            .spawn(move || {
                for connection in listener.incoming().flatten() {
                    // A scraper that hangs up asks again in a second.
                    let _ = answer(connection, &served.0, &served.1);
                }
            })?;
        Ok(Self {
            address,
            workloads,
            others,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The workload serves 100 requests a second from now on. A rate over a window is the asked one
    /// as soon as the window holds nothing older. A workload that never had a success has no series
    /// of successes, so its rate is no data and not 0 %.
    ///
    /// # Panics
    /// When the latency is not above 0.5 and at most 60000.
    pub(crate) fn serve(
        &self,
        namespace: &str,
        workload: &str,
        success_percent: f64,
        p99_milliseconds: f64,
    ) {
        let traffic = Traffic {
            requests_per_second: 100.0,
            success_percent,
            p99_milliseconds,
        };
        self.serve_traffic(namespace, workload, traffic);
    }

    /// As `serve`, with the number of requests.
    pub(crate) fn serve_traffic(&self, namespace: &str, workload: &str, traffic: Traffic) {
        let now = Instant::now();
        let key = (namespace.to_owned(), workload.to_owned());
        let mut workloads = lock(&self.workloads);
        let workload = workloads
            .entry(key)
            .or_insert_with(|| Workload::new(traffic, now));
        workload.count(now);
        workload.traffic = traffic;
    }

    /// Serves this text too: series of something else than requests.
    pub(crate) fn also(&self, text: impl Fn() -> String + Send + 'static) {
        lock(&self.others).push(Box::new(text));
    }

    /// The workload's series end, as when its pods are gone.
    pub(crate) fn forget(&self, namespace: &str, workload: &str) {
        lock(&self.workloads).remove(&(namespace.to_owned(), workload.to_owned()));
    }
}

impl Workload {
    fn new(traffic: Traffic, now: Instant) -> Self {
        let within = [0.0; BOUNDS.len()];
        Self {
            traffic,
            counted_until: now,
            successes: 0.0,
            failures: 0.0,
            within,
        }
    }

    /// Adds the requests since the last count. Parts of requests are counted too: whole ones would
    /// make a rate of 69.17 % come out near 69.17 %.
    fn count(&mut self, now: Instant) {
        let seconds = (now - self.counted_until).as_secs_f64();
        let requests = seconds * self.traffic.requests_per_second;
        let successes = requests * self.traffic.success_percent / 100.0;
        self.counted_until = now;
        self.successes += successes;
        self.failures += requests - successes;
        let shares = shares(self.traffic.p99_milliseconds);
        for (within, share) in self.within.iter_mut().zip(shares) {
            *within += requests * share;
        }
    }

    fn render(&self, namespace: &str, name: &str, text: &mut String) {
        let labels = format!(
            "reporter=\"destination\",destination_workload_namespace=\"{namespace}\",\
             destination_workload=\"{name}\""
        );
        // Istio has no series for a code that was never answered.
        for (code, count) in [(200, self.successes), (500, self.failures)] {
            if count > 0.0 {
                line(
                    text,
                    "istio_requests_total",
                    &labels,
                    &format!("response_code=\"{code}\""),
                    count,
                );
            }
        }
        let all = self.successes + self.failures;
        let bucket = "istio_request_duration_milliseconds_bucket";
        for (bound, count) in BOUNDS.iter().zip(self.within) {
            line(text, bucket, &labels, &format!("le=\"{bound}\""), count);
        }
        line(text, bucket, &labels, "le=\"+Inf\"", all);
    }
}

/// The share of requests at or below each bound, such that Prometheus, which takes the requests in
/// a bucket for evenly spread, finds the asked value at the quantile.
fn shares(p99_milliseconds: f64) -> [f64; BOUNDS.len()] {
    let bucket = BOUNDS.iter().position(|bound| *bound >= p99_milliseconds);
    let bucket = bucket.unwrap_or(BOUNDS.len() - 1);
    let low = if bucket == 0 { 0.0 } else { BOUNDS[bucket - 1] };
    let place = (p99_milliseconds - low) / (BOUNDS[bucket] - low);
    // Up to the quantile the bucket is topped up from below, past it from above.
    let (below, up_to) = if place < QUANTILE {
        ((QUANTILE - place) / (1.0 - place), 1.0)
    } else {
        (0.0, QUANTILE / place)
    };
    let mut shares = [1.0; BOUNDS.len()];
    shares[..bucket].fill(0.0);
    shares[bucket - 1] = below;
    shares[bucket] = up_to;
    shares
}

fn line(text: &mut String, name: &str, labels: &str, label: &str, count: f64) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{name}{{{labels},{label}}} {count}");
}

fn answer(mut connection: TcpStream, workloads: &Workloads, others: &Others) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = BufReader::new(&connection);
    let mut header = String::new();
    // The request ends at the empty line; what it says does not matter.
    while request.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut body = render(workloads);
    for text in lock(others).iter() {
        body.push_str(&text());
    }
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn render(workloads: &Workloads) -> String {
    let mut text = String::new();
    let now = Instant::now();
    for ((namespace, name), workload) in lock(workloads).iter_mut() {
        workload.count(now);
        workload.render(namespace, name, &mut text);
    }
    text
}

/// A test that panicked while it held the lock does not spoil the others' numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
