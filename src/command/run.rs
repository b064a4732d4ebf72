//! `davy run`: one pass, or one after the other for a while.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{DONE, Format, INCOMPLETE, UNUSABLE, output};
use crate::io::listener::{self, Shown};
use crate::io::pushgateway::{Group, Pushgateway};
use crate::io::{self, Io};
use crate::objects::duration;
use crate::objects::shard::Shard;
use crate::pass::deliver::outbox::Places;
use crate::pass::deliver::records::Records;
use crate::pass::deliver::reverts::Reverts;
use crate::pass::deliver::{self, series};
use crate::pass::report::{Outcome, Report};
use crate::pass::{self, Options};
use crate::settings::Settings;

/// Make a pass over the canaries: at most one gated step for each.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this canary, as NAMESPACE/NAME.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = super::canary)]
    canary: Option<(String, String)>,
    /// Only this part of the canaries, such as 1/4; else DAVY_SHARD.
    #[arg(long, value_name = "NUMBER/OF", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Make a pass at every such interval, until stopped or until --for is over.
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    every: Option<Duration>,
    /// With --every: begin no pass after this time.
    #[arg(long = "for", value_name = "DURATION", requires = "every", value_parser = duration::parse)]
    during: Option<Duration>,
    /// With --every: serve /metrics, and /healthz that fails when passes stop succeeding.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "every")]
    listen: Option<SocketAddr>,
    /// Show the steps and the objects that they would change; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How the summary is written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// A duration that time can be divided by.
fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be longer than 0s, for example 15s".to_owned()),
        interval => Ok(interval),
    }
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let settings = match super::settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    super::log::start(&settings.log);
    match super::runtime() {
        Ok(runtime) => runtime.block_on(passes(arguments, settings)),
        Err(code) => code,
    }
}

async fn passes(arguments: &Arguments, settings: Settings) -> u8 {
    let io = match io::real(&settings.allowed).await {
        Ok(io) => io,
        Err(error) => {
            output::error(&io::cluster::chain(&error));
            return UNUSABLE;
        }
    };
    let options = options(arguments, settings);
    let insisted = match listen_for_signals(options.stop.clone()) {
        Ok(insisted) => insisted,
        Err(error) => {
            output::error(&format!("listening for SIGTERM and SIGINT: {error}"));
            return UNUSABLE;
        }
    };
    tokio::select! {
        code = repeat(arguments, &io, &options) => code,
        // Asked twice, it ends where it is, as if it had been killed: the next pass goes on.
        () = insisted.notified() => INCOMPLETE,
    }
}

/// One pass, or one after the other until it is stopped or over.
async fn repeat(arguments: &Arguments, io: &Io, options: &Options) -> u8 {
    let Some(every) = arguments.every else {
        let code = once(io, options, arguments.output, None).await;
        return code.unwrap_or_else(|| {
            output::error("stopped before the pass could begin");
            INCOMPLETE
        });
    };
    let begun = io.clock.now();
    let shown = match listen(arguments.listen, io, every + options.deadline).await {
        Ok(shown) => shown,
        Err(error) => {
            output::error(&error);
            return UNUSABLE;
        }
    };
    let mut last = DONE;
    let mut next = begun;
    loop {
        if options.stop.load(Ordering::SeqCst) {
            return last;
        }
        match once(io, options, arguments.output, shown.as_ref()).await {
            Some(code) => last = code,
            None => return last,
        }
        next = following(next, every, io.clock.now());
        let over = arguments
            .during
            .is_some_and(|during| begun.saturating_add(during).is_ok_and(|end| next > end));
        if over {
            return last;
        }
        tokio::select! {
            () = io.clock.sleep_until(next) => {}
            () = pass::stopped(&options.stop) => {}
        }
    }
}

/// When the next pass is planned: from the planned time of the last one, not from its end, so that
/// the schedule does not drift. Passes that were missed are not made up for.
fn following(planned: Timestamp, every: Duration, now: Timestamp) -> Timestamp {
    let late = u128::try_from(now.duration_since(planned).as_nanos()).unwrap_or(0);
    let ahead = (late / every.as_nanos().max(1) + 1).saturating_mul(every.as_nanos());
    let seconds = i64::try_from(ahead / 1_000_000_000).unwrap_or(i64::MAX);
    let nanoseconds = i32::try_from(ahead % 1_000_000_000).unwrap_or(0);
    let ahead = SignedDuration::new(seconds, nanoseconds);
    planned.saturating_add(ahead).unwrap_or(Timestamp::MAX)
}

/// Begins to serve, where that was asked for. Three passes may fail in a row before that is no
/// hiccup of the API server any more.
async fn listen(
    address: Option<SocketAddr>,
    io: &Io,
    pass: Duration,
) -> Result<Option<Shown>, String> {
    let Some(address) = address else {
        return Ok(None);
    };
    let shown = Shown::new(io.clock.now(), pass * 3);
    let listening = listener::listen(address, shown.clone(), io.clock.clone()).await;
    match listening {
        Ok(address) => tracing::info!(%address, "listening"),
        Err(error) => return Err(format!("listening on {address}: {error}")),
    }
    Ok(Some(shown))
}

fn options(arguments: &Arguments, settings: Settings) -> Options {
    // A single canary needs no more rights than its namespace's.
    let scope = match &arguments.canary {
        Some((namespace, _)) => io::cluster::Scope::Namespace(namespace.clone()),
        None => settings.scope,
    };
    let shard = arguments.shard.or(settings.shard);
    // A pass over one canary would replace the series of all others.
    let pushgateway = settings
        .pushgateway_url
        .filter(|_| arguments.canary.is_none())
        .map(|url| Pushgateway {
            url,
            group: Group {
                cluster: settings.policy.cluster_name.clone(),
                scope: scope.clone(),
                shard: shard.map(|shard| shard.to_string()),
            },
        });
    Options {
        scope,
        pushgateway,
        canary: arguments.canary.clone(),
        shard,
        policy: settings.policy,
        metrics_server: settings.metrics_server,
        places: settings.places,
        concurrency: settings.concurrency,
        deadline: settings.pass_deadline,
        dry_run: arguments.dry_run,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// What is wrong with the settings of the repositories, and with the files that they name.
fn repository_faults(places: &Places) -> BTreeSet<String> {
    let opened = [
        places.records.as_ref().map(Records::remote),
        places.reverts.as_ref().map(Reverts::remote),
    ];
    let wrong = opened.into_iter().flatten().filter_map(Result::err);
    wrong.flatten().collect()
}

/// One pass, and the code that it ends with; none where it was stopped before it could begin. What is wrong with a repository's settings is
/// told and delays no canary: a rollback must not wait for a key.
async fn once(io: &Io, options: &Options, format: Format, shown: Option<&Shown>) -> Option<u8> {
    let faults = repository_faults(&options.places);
    for fault in &faults {
        output::error(fault);
    }
    let report = match pass::run(io, options).await {
        Ok(report) => report,
        Err(_) if options.stop.load(Ordering::SeqCst) => {
            tracing::info!("stopped before any canary was begun");
            return None;
        }
        Err(error) => {
            let why = pass::could_not_start(&error);
            tracing::error!(error = %why, "the pass could not start");
            output::error(&why);
            return Some(UNUSABLE);
        }
    };
    if let Some(shown) = shown.filter(|_| !report.needs_crds()) {
        shown.succeeded(report.started);
        if let Some(page) = deliver::page(&report, &options.policy.mesh_provider) {
            shown.show(page, series::TEXT_FORMAT);
        }
    }
    log(&report);
    show(&report, format);
    if let Some((namespace, name)) = &options.canary
        && report.canaries.is_empty()
    {
        output::error(&format!("Canary {namespace}/{name} does not exist"));
        return Some(UNUSABLE);
    }
    Some(if report.needs_crds() {
        UNUSABLE
    } else if report.is_complete() && faults.is_empty() {
        DONE
    } else {
        INCOMPLETE
    })
}

/// One line for each canary and pass.
fn log(report: &Report) {
    for untold in &report.untold {
        tracing::warn!("{untold}");
    }
    for handled in &report.canaries {
        let phase = handled
            .phase
            .map(|phase| format!("{phase:?}"))
            .unwrap_or_default();
        let outcome = format!("{:?}", handled.outcome);
        match handled.outcome {
            Outcome::Refused | Outcome::Failed | Outcome::NotReached => tracing::error!(
                canary = handled.canary,
                outcome,
                phase,
                weight = handled.weight,
                step = handled.step,
                "{}",
                handled.reason
            ),
            _ => tracing::info!(
                canary = handled.canary,
                outcome,
                phase,
                weight = handled.weight,
                step = handled.step,
                "{}",
                handled.reason
            ),
        }
    }
}

fn show(report: &Report, format: Format) {
    match format {
        Format::Json => match serde_json::to_string(report) {
            Ok(json) => output::line(&json),
            Err(error) => output::error(&format!("writing the summary: {error}")),
        },
        Format::Text => {
            for handled in report
                .canaries
                .iter()
                .filter(|h| h.outcome == Outcome::DryRun)
            {
                output::row(&format!("{}: {}", handled.canary, handled.reason));
                for change in &handled.changes {
                    output::row(&format!("  {}", change.object));
                    let patch = serde_yaml::to_string(&change.patch).unwrap_or_default();
                    for line in patch.lines() {
                        output::line(&format!("    {line}"));
                    }
                }
            }
            output::row(&report.to_string());
        }
    }
}

/// Hears SIGTERM and SIGINT (Ctrl-C) from here on, whatever else is going on. At the first of them
/// `stop` is set: the canaries that were begun are finished, no others are. At the second the
/// returned notification is given.
fn listen_for_signals(stop: Arc<AtomicBool>) -> std::io::Result<Arc<Notify>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let insisted = Arc::new(Notify::new());
    let notify = insisted.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.swap(true, Ordering::SeqCst) {
                notify.notify_one();
            }
        }
    });
    Ok(insisted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::{following, interval};

    #[test]
    fn no_interval_is_of_no_length() {
        assert_eq!(interval("1ms"), Ok(Duration::from_millis(1)));
        for text in ["0s", "0m0ms"] {
            assert!(interval(text).is_err_and(|why| why.contains("longer than 0s")));
        }
        assert!(interval("often").is_err_and(|why| why.contains("often")));
    }

    #[test]
    fn the_schedule_does_not_drift_and_makes_up_for_nothing() {
        let planned = Timestamp::UNIX_EPOCH;
        let every = Duration::from_secs(15);
        let after = |seconds| planned + SignedDuration::from_secs(seconds);
        for (now, next) in [
            (-3, 15),
            (0, 15),
            (14, 15),
            (15, 30),
            (100, 105),
            (1_500_000, 1_500_015),
        ] {
            assert_eq!(
                following(planned, every, after(now)),
                after(next),
                "{now} s"
            );
        }
        // A night asleep is no loop over every millisecond of it.
        let millisecond = Duration::from_millis(1);
        let year = after(31_536_000);
        assert_eq!(following(planned, millisecond, year), year + millisecond);
    }
}
