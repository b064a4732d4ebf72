//! Why an analysis does not advance, in Flagger's words: people search for them, and alerting
//! rules match them. Judgement in, text of the Event out.

use crate::api::status::Verdict;
use crate::metrics::custom::BESIDE;
use crate::metrics::{Author, Check, Judgement, Unit, number};
use crate::objects::Names;

/// Flagger's reason where a query found nothing.
const NO_VALUES: &str = "no values found";

pub(super) fn text(names: &Names, check: &Check, judgement: &Judgement) -> Option<String> {
    let why = judgement.why.as_deref().unwrap_or_default();
    match judgement.verdict {
        // Numbers are never pending.
        Verdict::Pass | Verdict::Pending => None,
        Verdict::Fail => {
            let (canary, namespace) = (&names.canary, &names.namespace);
            let outside = outside(check, judgement)?;
            Some(format!("Halt {canary}.{namespace} advancement {outside}"))
        }
        Verdict::NoData | Verdict::TooLittleData => Some(no_data(names, check, why)),
        Verdict::Error => Some(match &check.author {
            Author::Template(_) => format!("Metric query failed for {}: {why}", name(check)),
            Author::Inline => format!("Prometheus query failed for {}: {why}", name(check)),
            Author::BuiltIn => format!("Prometheus query failed: running query failed: {why}"),
        }),
    }
}

/// The name of the metric as the Canary has it.
fn name(check: &Check) -> &str {
    let of_template = match &check.author {
        Author::Template(template) => check.metric.strip_suffix(&**template),
        Author::BuiltIn | Author::Inline => None,
    };
    let name = of_template.and_then(|name| name.strip_suffix(BESIDE));
    name.unwrap_or(&check.metric)
}

/// The number, and the bound that it is outside of.
fn outside(check: &Check, judgement: &Judgement) -> Option<String> {
    let value = judgement.value?;
    let (sign, bound) = judgement.outside?;
    Some(match check.unit {
        Unit::Percent => format!("success rate {value:.2}% {sign} {}%", number(bound)),
        Unit::Milliseconds => {
            format!(
                "request duration {} {sign} {}",
                duration(value),
                duration(bound)
            )
        }
        Unit::Plain => format!("{} {value:.2} {sign} {}", name(check), number(bound)),
    })
}

fn no_data(names: &Names, check: &Check, why: &str) -> String {
    match &check.author {
        Author::BuiltIn => {}
        Author::Template(_) => {
            let name = name(check);
            return format!("Halt advancement no values found for custom metric: {name}: {why}");
        }
        // Flagger says no more; where we know more than that, it is said.
        Author::Inline if why == NO_VALUES => {
            return format!(
                "Halt advancement no values found for metric: {}",
                name(check)
            );
        }
        Author::Inline => {
            let name = name(check);
            return format!("Halt advancement no values found for metric: {name}: {why}");
        }
    }
    let text = format!(
        "Halt advancement no values found for {} metric {} probably {}.{} is not receiving traffic",
        check.source, check.metric, names.target, names.namespace
    );
    // Flagger does not say it twice for durations; where we know more than that, it is said.
    if check.unit == Unit::Milliseconds && why == NO_VALUES {
        return text;
    }
    format!("{text}: running query failed: {why}")
}

/// Whole milliseconds as Go writes a duration: `0s`, `500ms`, `1.5s`, `1m0s`, `1h0m0.25s`.
fn duration(milliseconds: f64) -> String {
    let sign = if milliseconds < 0.0 { "-" } else { "" };
    let total = milliseconds.abs();
    let seconds = total % 60_000.0 / 1000.0;
    let minutes = (total / 60_000.0).floor() % 60.0;
    let hours = (total / 3_600_000.0).floor();
    if total > 0.0 && total < 1000.0 {
        format!("{sign}{total}ms")
    } else if hours > 0.0 {
        format!("{sign}{hours}h{minutes}m{seconds}s")
    } else if minutes > 0.0 {
        format!("{sign}{minutes}m{seconds}s")
    } else {
        format!("{sign}{seconds}s")
    }
}
