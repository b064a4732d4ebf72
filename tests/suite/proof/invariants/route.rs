//! What a VirtualService does with the traffic, read without Davy's own reader.

use serde_json::Value;

/// The two sides of a split, by the names of their Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) primary: String,
    pub(super) canary: String,
}

/// The weights of one rule that splits traffic between both sides, as they are written.
pub(super) struct Split<'a> {
    pub(super) primary: Vec<&'a Value>,
    pub(super) canary: Vec<&'a Value>,
}

/// Every rule that leads to both sides.
pub(super) fn splits<'a>(route: &'a Value, sides: &Sides) -> Vec<Split<'a>> {
    let rules = ["http", "tcp"]
        .into_iter()
        .filter_map(|list| route["spec"][list].as_array());
    rules
        .flatten()
        .map(|rule| {
            let entries = rule["route"].as_array();
            let of = |side: &str| {
                let entries = entries.into_iter().flatten();
                entries
                    .filter(|entry| {
                        let host = entry["destination"]["host"].as_str().unwrap_or_default();
                        host.split('.').next() == Some(side)
                    })
                    .map(|entry| &entry["weight"])
                    .collect()
            };
            Split {
                primary: of(&sides.primary),
                canary: of(&sides.canary),
            }
        })
        .filter(|split: &Split| !split.primary.is_empty() && !split.canary.is_empty())
        .collect()
}

/// The canary's share in percent: the most of all rules.
pub(super) fn canary_percent(route: &Value, sides: &Sides) -> u8 {
    let sum = |weights: &[&Value]| {
        weights
            .iter()
            .filter_map(|weight| weight.as_u64())
            .sum::<u64>()
    };
    let percents = splits(route, sides).into_iter().map(|split| {
        let (primary, canary) = (sum(&split.primary), sum(&split.canary));
        (canary * 100).checked_div(primary + canary).unwrap_or(0)
    });
    percents
        .max()
        .and_then(|percent| u8::try_from(percent).ok())
        .unwrap_or(0)
}
