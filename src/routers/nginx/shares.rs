//! Which requests an Ingress of the canary takes: a share of all of them by its weight, or those of an
//! A/B test by other annotations.

use serde_json::{Map, Value, json};

use crate::api::canary::Canary;
use crate::objects::{Problem, View};
use crate::routers::nginx::{CANARY, annotation};
use crate::routers::{Traffic, ab_test};

const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const WEIGHT_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";
const BY_HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
const BY_HEADER_VALUE: &str = "nginx.ingress.kubernetes.io/canary-by-header-value";
const BY_HEADER_PATTERN: &str = "nginx.ingress.kubernetes.io/canary-by-header-pattern";
const BY_COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie";
/// Annotations by which requests reach the canary whatever the weight is.
const CHOICES: [&str; 2] = [BY_HEADER, BY_COOKIE];

/// The annotations by which the requests of an A/B test reach the canary. NGINX tells requests by one
/// header, and by one cookie, of which it takes the name: it holds `always`. As in Flagger the last
/// of the list wins where there are several; what asks for two things at once cannot be said, and
/// as one of many ways into the test it is left out.
fn choices(canary: &Canary) -> Map<String, Value> {
    let mut choices = Map::new();
    for condition in ab_test::matches_of(canary) {
        let mut fields = condition.as_object().into_iter().flatten();
        let is_headers = fields.all(|(field, _)| field == "headers" || field == "name");
        let headers = condition["headers"].as_object().filter(|it| it.len() == 1);
        let Some((name, value)) = headers
            .filter(|_| is_headers)
            .and_then(|it| it.iter().next())
        else {
            continue;
        };
        let text = |kind: &str| value[kind].as_str().filter(|text| !text.is_empty());
        match (text("exact"), text("regex")) {
            (Some(cookie), _) if name.eq_ignore_ascii_case("cookie") => {
                choices.insert(BY_COOKIE.to_owned(), json!(cookie));
            }
            (exact, regex) if !name.eq_ignore_ascii_case("cookie") => {
                let found = exact.map(|text| (BY_HEADER_VALUE, text));
                let found = found.or(regex.map(|text| (BY_HEADER_PATTERN, text)));
                if let Some((annotation, text)) = found {
                    choices.retain(|key, _| key == BY_COOKIE);
                    choices.insert(BY_HEADER.to_owned(), json!(name));
                    choices.insert(annotation.to_owned(), json!(text));
                }
            }
            _ => {}
        }
    }
    choices
}

/// What of an A/B test cannot be said by annotations.
pub(super) fn problems(canary: &Canary) -> Vec<Problem> {
    let analysis = canary.spec.analysis();
    let Some(analysis) = analysis.filter(|analysis| !analysis.r#match.is_empty()) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if choices(canary).is_empty() {
        let why = "NGINX tells requests by a header, exact or regex, or by a cookie that is named by \
                   exact; none of the list asks for just that";
        problems.push(ab_test::of_analysis(canary, "match", why));
    }
    let why = "of the requests that match NGINX sends all or none to the canary";
    if analysis.iterations.unwrap_or(0) <= 0 {
        let why = format!("needs iterations: {why}");
        problems.push(ab_test::of_analysis(canary, "match", why));
    }
    if analysis.step_weight_promotion.unwrap_or(0) > 0 {
        problems.push(ab_test::of_analysis(canary, "stepWeightPromotion", why));
    }
    problems
}

/// What an Ingress of the canary takes of the requests, or why that cannot be told.
pub(super) fn shown(view: &View<'_>, live: &Value) -> Result<Traffic, String> {
    let share = share(live, &choices(view.canary))?;
    Ok(match share {
        Share::Chosen => Traffic::of_matched(100),
        Share::Percent(percent) => Traffic::share(percent),
    })
}

/// What an Ingress takes.
enum Share {
    /// The requests of the test.
    Chosen,
    /// Rounded, but some is never said to be none, nor most to be all.
    Percent(u8),
}

fn share(live: &Value, choices: &Map<String, Value>) -> Result<Share, String> {
    if annotation(live, CANARY) != Some("true") {
        return Err(format!(
            "is not a canary's: it has no annotation {CANARY}: \"true\""
        ));
    }
    let all = [BY_HEADER, BY_HEADER_VALUE, BY_HEADER_PATTERN, BY_COOKIE];
    let given = |key: &str| annotation(live, key).filter(|value| !value.is_empty());
    let is_chosen = !choices.is_empty()
        && all
            .into_iter()
            .all(|key| given(key) == choices.get(key).and_then(Value::as_str));
    let by = CHOICES.into_iter().find(|choice| given(choice).is_some());
    if let Some(choice) = by.filter(|_| !is_chosen) {
        return Err(format!(
            "sends requests to the canary by annotation {choice}"
        ));
    }
    let number = |key| match annotation(live, key) {
        None => Ok(None),
        Some(text) => match text.parse::<u32>() {
            Ok(number) => Ok(Some(u64::from(number))),
            Err(_) => Err(format!("has no number in annotation {key}: {text:?}")),
        },
    };
    let weight = number(WEIGHT)?.ok_or_else(|| format!("has no annotation {WEIGHT}"))?;
    let total = number(WEIGHT_TOTAL)?.unwrap_or(100);
    match (by, weight) {
        (Some(_), 0) => return Ok(Share::Chosen),
        (Some(choice), _) => {
            return Err(format!(
                "sends requests to the canary by annotation {choice} and by weight"
            ));
        }
        (None, 0) => return Ok(Share::Percent(0)),
        (None, _) if weight >= total => return Ok(Share::Percent(100)),
        (None, _) => {}
    }
    let rounded = ((weight * 100 + total / 2) / total).clamp(1, 99);
    Ok(Share::Percent(u8::try_from(rounded).unwrap_or(99)))
}

/// The annotations with this traffic, and without any other that sends requests to the canary.
pub(super) fn set(
    view: &View<'_>,
    mut annotations: Map<String, Value>,
    traffic: Traffic,
) -> Map<String, Value> {
    annotations.retain(|key, _| !key.starts_with(CANARY));
    annotations.insert(CANARY.to_owned(), json!("true"));
    let weight = if traffic.matched {
        annotations.extend(choices(view.canary));
        0
    } else {
        traffic.canary.min(100)
    };
    annotations.insert(WEIGHT.to_owned(), json!(weight.to_string()));
    annotations
}
