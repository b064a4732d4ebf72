//! The binary in a loop, each run killed after a time that is drawn, some left to their end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::bed::audit::AuditEvent;
use crate::bed::program::{Ended, Program};
use crate::draw::Draw;

/// One in so many runs is left to its end.
const WHOLE_PERCENT: usize = 15;
/// At most this long between two runs, so that there are moments without any.
const PAUSE_MAX: usize = 400;

/// How a copy of the binary is called.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) kubeconfig: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) metrics_server: String,
}

/// One run of the binary.
pub(super) struct Run {
    pub(super) begun: Timestamp,
    pub(super) lasted: Duration,
    pub(super) ended: Ended,
}

impl Run {
    pub(super) fn is_killed(&self) -> bool {
        self.ended.code.is_none()
    }
}

impl Call<'_> {
    pub(super) fn program(&self) -> Program {
        Program::new(&["run", "-o", "json"])
            .set("KUBECONFIG", self.kubeconfig)
            .set("DAVY_NAMESPACE", self.namespace)
            .set("DAVY_METRICS_SERVER", &self.metrics_server)
    }

    /// Runs and kills until it is told to stop. Blocks its thread.
    pub(super) fn kill_until(&self, stop: &AtomicBool, mut draw: Draw) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        // As long as a whole run last took. One that has a step to take takes longer than most, so
        // kills fall up to twice as late.
        let mut whole = Duration::from_secs(1);
        while !stop.load(Ordering::SeqCst) {
            let is_whole = draw.happens(WHOLE_PERCENT);
            let patience = if is_whole {
                Duration::from_mins(1)
            } else {
                whole.mul_f64(drawn(draw.below(2_000)))
            };
            let run = self.run(patience);
            if is_whole {
                whole = run.lasted;
            }
            runs.push(run);
            let pause = u64::try_from(draw.below(PAUSE_MAX)).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(pause));
        }
        runs
    }

    #[expect(clippy::disallowed_methods, reason = "held against the audit log")]
    fn run(&self, patience: Duration) -> Run {
        let (begun, since) = (Timestamp::now(), Instant::now());
        let ended = self.program().start().kill_after(patience);
        Run {
            begun,
            lasted: since.elapsed(),
            ended,
        }
    }
}

/// Thousandths as a share.
fn drawn(thousandths: usize) -> f64 {
    f64::from(u32::try_from(thousandths).unwrap_or(0)) / 1_000.0
}

/// Where runs were when they were killed: by the last request that the API server had from each.
#[derive(Default)]
pub(super) struct Moments(BTreeMap<String, usize>);

impl Moments {
    /// Adds the runs of one loop, whose user has made these requests.
    pub(super) fn add(&mut self, runs: &[Run], requests: &[AuditEvent]) {
        let mut requests = requests.iter().peekable();
        for (index, run) in runs.iter().enumerate() {
            let next = runs
                .get(index + 1)
                .map_or(Timestamp::MAX, |next| next.begun);
            let mut last = "before its first request".to_owned();
            while let Some(request) = requests.next_if(|request| received(request) < next) {
                last = format!("after {} {}", request.verb, resource(request));
            }
            if run.is_killed() {
                *self.0.entry(last).or_default() += 1;
            }
        }
    }

    pub(super) fn different(&self) -> usize {
        self.0.len()
    }

    /// Kills after a claim, before its pass did anything else.
    pub(super) fn between_claim_and_write(&self) -> usize {
        let claimed = self.0.get("after patch canaries/status");
        claimed.copied().unwrap_or(0)
    }
}

impl fmt::Display for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (moment, count) in &self.0 {
            writeln!(f, "  {count:5} {moment}")?;
        }
        Ok(())
    }
}

fn received(request: &AuditEvent) -> Timestamp {
    let time = request.raw["requestReceivedTimestamp"].as_str();
    time.and_then(|time| time.parse().ok()).unwrap_or_default()
}

fn resource(request: &AuditEvent) -> String {
    match &*request.subresource {
        "" => request.resource.clone(),
        subresource => format!("{}/{subresource}", request.resource),
    }
}
