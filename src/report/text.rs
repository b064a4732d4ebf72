//! DORA's metrics as a table for people, at 80 columns; and the sentences for it, which the page
//! shares.

use std::fmt::Write;

use super::dora::{Dora, FailRate, Frequency, LeadTime, Metrics, Recovery};
use super::{Trail, span};

const COLUMNS: usize = 80;
pub(super) const NAMES: [&str; 4] = [
    "Deployment frequency",
    "Change lead time",
    "Change fail rate",
    "Failed deployment recovery time",
];

/// The metrics, those still open, and a line for each canary.
pub fn table(dora: &Dora, trail: &Trail<'_>) -> String {
    let mut lines = vec![heading(dora), String::new()];
    for (name, sentence) in NAMES.iter().zip(sentences(&dora.all)) {
        let [told, detail] = sentence;
        lines.push(format!("{name:32} {told}"));
        if !detail.is_empty() {
            lines.push(format!("{:32} {detail}", ""));
        }
    }
    let open = &dora.all.failed_deployment_recovery_time.open;
    if !open.is_empty() {
        lines.extend([String::new(), "Not promoted since they failed:".to_owned()]);
    }
    for open in open {
        let failures = match open.failures {
            1 => String::new(),
            failures => format!(", {failures} times"),
        };
        let name = format!("{} {}/{}", open.cluster, open.namespace, open.canary);
        lines.push(format!(
            "  {} UTC{failures}  {name}",
            span::moment(open.since)
        ));
    }
    if !dora.canaries.is_empty() {
        lines.push(String::new());
        lines.extend(by_canary(dora));
    }
    let caveats = caveats(trail);
    if !caveats.is_empty() {
        lines.push(String::new());
        lines.extend(caveats);
    }
    // Records are others' texts: nothing in them may move the cursor.
    let clean = lines.iter().map(|line| {
        line.chars()
            .filter(|letter| !letter.is_control())
            .collect::<String>()
    });
    clean.collect::<Vec<_>>().join("\n")
}

/// The time that is reported on.
pub(super) fn heading(dora: &Dora) -> String {
    let seconds = dora.period.to.duration_since(dora.period.from).as_secs();
    format!(
        "{} to {} UTC, {}",
        span::moment(dora.period.from),
        span::moment(dora.period.to),
        span::words(seconds),
    )
}

/// Each metric in words, in the order of their names: what it is, and what stands behind it.
pub(super) fn sentences(metrics: &Metrics) -> [[String; 2]; 4] {
    let Metrics {
        deployment_frequency,
        change_lead_time,
        change_fail_rate,
        failed_deployment_recovery_time,
    } = metrics;
    [
        frequency(deployment_frequency),
        lead_time(change_lead_time),
        fail_rate(change_fail_rate),
        recovery(failed_deployment_recovery_time),
    ]
}

fn plain(text: &str) -> [String; 2] {
    [text.to_owned(), String::new()]
}

fn frequency(frequency: &Frequency) -> [String; 2] {
    let promotions = match frequency.promotions {
        0 => return plain("no promotions in this time"),
        1 => "1 promotion".to_owned(),
        promotions => format!("{promotions} promotions"),
    };
    let rates = [(frequency.per_day, "day"), (frequency.per_week, "week")];
    let rates = rates
        .iter()
        .filter_map(|(rate, length)| rate.map(|rate| format!("{} a {length}", span::rate(rate))));
    [promotions, rates.collect::<Vec<_>>().join(", ")]
}

fn lead_time(lead_time: &LeadTime) -> [String; 2] {
    let LeadTime { known, of, .. } = lead_time;
    match (lead_time.median_seconds, lead_time.p90_seconds) {
        _ if *of == 0 => plain("no promotions in this time"),
        (Some(median), Some(p90)) => [
            format!("median {}", span::words(median)),
            format!(
                "90 % within {}, known for {known} of {of}",
                span::words(p90)
            ),
        ],
        _ => [
            "not known".to_owned(),
            format!("no commit time for any of {of}"),
        ],
    }
}

fn fail_rate(fail_rate: &FailRate) -> [String; 2] {
    let FailRate {
        failed,
        ended,
        rate,
    } = fail_rate;
    match rate {
        Some(rate) => [
            format!("{:.1} %", rate * 100.0),
            format!("{failed} of {ended} failed"),
        ],
        None => plain("nothing came to an end in this time"),
    }
}

fn recovery(recovery: &Recovery) -> [String; 2] {
    let (recovered, open) = (recovery.recovered, recovery.open.len());
    match recovery.median_seconds {
        None if open == 0 => plain("no failures in this time"),
        None => ["none recovered".to_owned(), format!("{open} open")],
        Some(median) => [
            format!("median {}", span::words(median)),
            format!("{recovered} recovered, {open} open"),
        ],
    }
}

fn by_canary(dora: &Dora) -> Vec<String> {
    let heads = [
        "CANARY",
        "PROMOTED",
        "A WEEK",
        "LEAD TIME",
        "FAILED",
        "RECOVERY",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for row in &dora.canaries {
        let name = format!("{} {}/{}", row.cluster, row.namespace, row.canary);
        let [promoted, week, lead_time, failed, recovery] = cells(&row.metrics);
        rows.push([name, promoted, week, lead_time, failed, recovery]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut widths = [0, 1, 2, 3, 4, 5].map(|column| width(column).unwrap_or(0));
    let others: usize = widths[1..].iter().map(|width| width + 2).sum();
    widths[0] = widths[0].min(COLUMNS.saturating_sub(others));
    let lines = rows.iter().map(|row| {
        let name = cut(&row[0], widths[0]);
        let mut line = format!("{name:0$}", widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {cell:>width$}");
        }
        line
    });
    lines.collect()
}

/// A canary's metrics at their shortest; a dash where there is nothing to tell.
pub(super) fn cells(metrics: &Metrics) -> [String; 5] {
    let dash = || "–".to_owned();
    let recovery = &metrics.failed_deployment_recovery_time;
    let fails = &metrics.change_fail_rate;
    [
        metrics.deployment_frequency.promotions.to_string(),
        metrics
            .deployment_frequency
            .per_week
            .map_or_else(dash, span::rate),
        metrics
            .change_lead_time
            .median_seconds
            .map_or_else(dash, span::words),
        format!("{} of {}", fails.failed, fails.ended),
        match recovery.median_seconds {
            _ if !recovery.open.is_empty() => "open".to_owned(),
            Some(median) => span::words(median),
            None => dash(),
        },
    ]
}

/// The end of a name tells more than its beginning.
fn cut(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept = name.chars().skip(length + 1 - width);
    std::iter::once('…').chain(kept).collect()
}

/// What should be known of the records before their numbers are believed.
pub(super) fn caveats(trail: &Trail<'_>) -> Vec<String> {
    let (records, doubted) = trail.doubted();
    let mut caveats = Vec::new();
    if doubted > 0 {
        caveats.push(format!(
            "{doubted} of {records} records are not to be believed, and are counted: see davy verify"
        ));
    }
    if trail.unreadable > 0 {
        let unreadable = trail.unreadable;
        caveats.push(format!(
            "files that cannot be read, not counted: {unreadable}"
        ));
    }
    caveats
}
