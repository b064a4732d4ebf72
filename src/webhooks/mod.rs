//! Flagger's webhooks: `spec.analysis.webhooks` becomes hooks ([`hooks`]), a hook becomes a request
//! ([`call`]), and a reply an answer ([`reply`]). Nothing is sent here, and when a hook is called is
//! decided elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::api::checks::{Webhook, WebhookType};
use crate::objects::{Problem, duration};

pub mod call;
pub mod reply;
pub mod texts;

/// Flagger's, for a hook that says nothing of it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

const PLACE: &str = "webhook/";

/// As much of a hook's name stands in its key; a header has to hold it.
const NAME_MAX: usize = 63;

/// One webhook of a Canary, with what it leaves out filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    pub kind: WebhookType,
    /// As the Canary names it, for people.
    pub name: String,
    /// Tells it from the other hooks of its Canary, whatever their order: its type and its name,
    /// in letters that a header can hold.
    pub id: String,
    /// Where it is called. Whoever knows the address may be able to do the same.
    pub uri: http::Uri,
    /// The time from the first call until there has to be an answer.
    pub timeout: Duration,
    /// How often a call that came to nothing is made again, once in each pass.
    pub retries: u32,
    /// Sent along as it is.
    pub metadata: BTreeMap<String, String>,
    /// Whether no alert is sent when the hook makes a release wait.
    pub mute_alert: bool,
    /// Whether the server may show any certificate.
    pub any_certificate: bool,
}

/// Without what may not be in a log.
impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("id", &self.id)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Hook {
    /// Whether the hook holds a release until it consents. Its refusal is no failed check.
    pub fn is_gate(&self) -> bool {
        match self.kind {
            WebhookType::ConfirmRollout
            | WebhookType::ConfirmTrafficIncrease
            | WebhookType::ConfirmPromotion => true,
            WebhookType::PreRollout
            | WebhookType::Rollout
            | WebhookType::Rollback
            | WebhookType::PostRollout
            | WebhookType::Event => false,
        }
    }
}

/// The hooks of a type, in the order in which the Canary lists them.
pub fn of_kind(hooks: &[Hook], kind: WebhookType) -> impl Iterator<Item = &Hook> {
    hooks.iter().filter(move |hook| hook.kind == kind)
}

/// The hooks of a Canary. `path` is where the list stands: `spec.analysis.webhooks`.
/// `allows_any_certificate` says whether the operator lets hooks do without a check of certificates.
///
/// # Errors
/// Everything that is wrong with a hook, by its field; an address is in none of it.
pub fn hooks(
    path: &str,
    webhooks: &[Webhook],
    allows_any_certificate: bool,
) -> Result<Vec<Hook>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut hooks: Vec<Hook> = Vec::new();
    for (index, webhook) in webhooks.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match hook(&path, webhook, allows_any_certificate) {
            Ok(mut hook) => {
                hook.id = unique(&hook.id, &hooks);
                hooks.push(hook);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(hooks)
    } else {
        Err(problems)
    }
}

fn hook(path: &str, webhook: &Webhook, allows_any: bool) -> Result<Hook, Vec<Problem>> {
    let Webhook {
        r#type,
        name,
        url,
        timeout,
        retries,
        metadata,
        mute_alert,
        disable_tls,
    } = webhook;
    let mut problems = Vec::new();
    let uri = uri(&format!("{path}.url"), url).map_err(|problem| problems.push(problem));
    let timeout = within(&format!("{path}.timeout"), timeout.as_deref())
        .map_err(|problem| problems.push(problem));
    let retries = u32::try_from(retries.unwrap_or(0)).map_err(|_| {
        let why = format!("{} is no number of retries", retries.unwrap_or(0));
        problems.push(Problem::field(&format!("{path}.retries"), why));
    });
    let any_certificate = disable_tls.unwrap_or(false);
    if any_certificate && !allows_any {
        let why = "certificates are checked; DAVY_ALLOW_INSECURE_WEBHOOKS=true lets a webhook do \
                   without";
        problems.push(Problem::field(&format!("{path}.disableTLS"), why));
    }
    match (uri, timeout, retries) {
        (Ok(uri), Ok(timeout), Ok(retries)) if problems.is_empty() => Ok(Hook {
            kind: *r#type,
            name: name.clone(),
            id: format!("{}-{}", type_name(*r#type), in_header(name)),
            uri,
            timeout,
            retries,
            metadata: metadata.clone(),
            mute_alert: mute_alert.unwrap_or(false),
            any_certificate,
        }),
        _ => Err(problems),
    }
}

/// The place in an outbox that stands for a hook.
pub fn place_of(namespace: &str, canary: &str, id: &str) -> String {
    format!("{PLACE}{namespace}/{canary}/{id}")
}

/// The hook that a place stands for: namespace and name of its Canary, and its id.
pub fn hook_at(place: &str) -> Option<(&str, &str, &str)> {
    let (namespace, rest) = place.strip_prefix(PLACE)?.split_once('/')?;
    let (canary, id) = rest.split_once('/')?;
    Some((namespace, canary, id))
}

/// As `spec.analysis.webhooks[].type` has it; an empty one is `rollout`.
pub fn type_name(kind: WebhookType) -> &'static str {
    match kind {
        WebhookType::ConfirmRollout => "confirm-rollout",
        WebhookType::PreRollout => "pre-rollout",
        WebhookType::Rollout => "rollout",
        WebhookType::ConfirmTrafficIncrease => "confirm-traffic-increase",
        WebhookType::ConfirmPromotion => "confirm-promotion",
        WebhookType::PostRollout => "post-rollout",
        WebhookType::Rollback => "rollback",
        WebhookType::Event => "event",
    }
}

/// What is wrong with an address is told without showing it.
fn uri(field: &str, url: &str) -> Result<http::Uri, Problem> {
    let wrong = |why: &str| Problem::field(field, why);
    if url.is_empty() {
        return Err(wrong("is empty"));
    }
    let uri: http::Uri = url
        .parse()
        .map_err(|_| wrong("is not the address of a server"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(wrong("has neither http:// nor https:// and a host")),
    }
}

/// Flagger takes what is too short to be a duration for one that was left out.
fn within(field: &str, timeout: Option<&str>) -> Result<Duration, Problem> {
    let Some(text) = timeout.filter(|text| text.len() > 1) else {
        return Ok(TIMEOUT_DEFAULT);
    };
    match duration::parse(text).map_err(|why| Problem::field(field, why))? {
        Duration::ZERO => Err(Problem::field(field, "0 is no time to answer in")),
        timeout => Ok(timeout),
    }
}

fn in_header(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().take(NAME_MAX).map(fit).collect()
}

/// The second hook of an id gets a number.
fn unique(id: &str, hooks: &[Hook]) -> String {
    let is_free = |id: &str| hooks.iter().all(|hook| hook.id != id);
    if is_free(id) {
        return id.to_owned();
    }
    // One of as many numbers as there are hooks is free.
    let numbered = (2..=hooks.len() + 2).map(|number| format!("{id}-{number}"));
    numbered
        .into_iter()
        .find(|id| is_free(id))
        .unwrap_or_else(|| id.to_owned())
}
