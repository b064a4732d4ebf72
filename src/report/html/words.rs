//! Outcomes, verdicts, images and numbers in words, and the classes by which the style knows them.

use crate::api::record::{Outcome, Record};
use crate::api::status::Verdict;

/// An outcome in words, as the filter and the list show it.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Initialized => "initialized",
        Outcome::NewRevision => "in progress",
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::PromotionFailed => "promotion failed",
        Outcome::Superseded => "superseded",
        Outcome::Reverted => "reverted",
        Outcome::Held => "held",
    }
}

/// What kind of an outcome it is: good, bad, or neither.
pub(super) fn kind(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "good",
        Outcome::RolledBack | Outcome::PromotionFailed => "bad",
        Outcome::Initialized
        | Outcome::NewRevision
        | Outcome::Superseded
        | Outcome::Reverted
        | Outcome::Held => "open",
    }
}

pub(super) fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => ("p", "pass"),
        Verdict::Fail => ("f", "fail"),
        Verdict::NoData => ("h", "no data"),
        Verdict::TooLittleData => ("h", "too little data"),
        Verdict::Error => ("h", "error"),
        Verdict::Pending => ("h", "pending"),
    }
}

/// Four places after the point, less where they say nothing: thresholds are seldom finer, and what
/// is, is shown as it came.
pub(super) fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return value.to_string();
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// From which to which image, as short as it can be told: without the registry, and once where only
/// the tag differs.
pub(super) fn change(record: &Record) -> String {
    let Some(release) = &record.release else {
        return String::new();
    };
    let names = |images: &[String]| {
        let names = images.iter().map(|image| name(image));
        names.collect::<Vec<_>>().join(", ")
    };
    let to = names(&release.to.images);
    let Some(from) = release.from.as_ref().map(|from| names(&from.images)) else {
        return to;
    };
    if from == to {
        return format!("{to}, other template");
    }
    match (from.split_once(':'), to.split_once(':')) {
        (Some((one, _)), Some((other, tag))) if one == other && release.to.images.len() == 1 => {
            format!("{from} → {tag}")
        }
        _ => format!("{from} → {to}"),
    }
}

/// An image without its registry and folders, a digest cut as one quotes it.
fn name(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once("@sha256:") {
        Some((name, digest)) => {
            let short: String = digest.chars().take(12).collect();
            format!("{name}:{short}")
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{name, number};

    #[test]
    fn numbers_are_short_and_true() {
        for (value, expected) in [
            (100.0, "100"),
            (0.0, "0"),
            (69.166_666, "69.1667"),
            (98.9999, "98.9999"),
            (-1.5, "-1.5"),
            (0.000_012, "0.000012"),
            (1200.0, "1200"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn images_lose_what_does_not_tell_them_apart() {
        for (image, expected) in [
            ("podinfo:1.2.0", "podinfo:1.2.0"),
            ("registry.example:5000/shop/podinfo:1.2.0", "podinfo:1.2.0"),
            ("a/b@sha256:0123456789abcdef", "b:0123456789ab"),
            ("plain", "plain"),
        ] {
            assert_eq!(name(image), expected);
        }
    }
}
