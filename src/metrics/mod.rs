//! Whom checks are asked of: one file per metrics system, the built-in queries, and the tables.
//! A provider turns questions into requests and replies into measurements; it judges nothing.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::api::metric_template::MetricTemplateProvider;
use crate::api::status::{CheckStatus, Verdict};
use crate::objects::{Kind, Names, View};

use template::Piece;

pub mod access;
mod batch;
pub mod builtin;
mod cloudwatch;
mod custom;
mod datadog;
mod dynatrace;
mod externalmetrics;
mod graphite;
mod halt;
mod influxdb;
mod keptn;
mod newrelic;
mod placed;
pub mod prometheus;
mod promql;
mod resolve;
mod sigv4;
mod single;
mod splunk;
mod stackdriver;
pub mod template;

pub use access::{Access, Credentials, SecretName};
pub use custom::key as template_key;
pub use resolve::{Resolved, Sources, TemplateTrouble, Templates};
mod reply;

pub use batch::{Batch, Shape};

/// One check of a canary's analysis that is due in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// As the Canary names it.
    pub metric: String,
    /// The metrics system's address.
    pub address: String,
    pub origin: Origin,
    pub query: String,
    /// Asked where `query` finds no series: a number above zero says that there were requests and
    /// that not one of them succeeded, so that the answer is zero.
    pub only_failures: Option<String>,
    /// What the answer is multiplied by to be in `unit`.
    pub scale: f64,
    /// The window of the query.
    pub interval: Duration,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unit: Unit,
    /// The routing provider, for Flagger's no-data text.
    pub source: String,
    /// Whose query it is.
    pub author: Author,
    /// How the system is spoken to.
    pub access: Access,
    /// Where one query can serve many such checks. The answer is the same.
    pub batch: Option<Batch>,
}

/// Whose query a check asks, which decides how it is spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    BuiltIn,
    /// `spec.analysis.metrics[].query`.
    Inline,
    /// A MetricTemplate, as `name.namespace`.
    Template(String),
}

/// A metrics system, as it is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct System {
    /// An http or https URL.
    pub address: String,
    pub origin: Origin,
    pub access: Access,
}

/// Who wrote an address, which decides how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The operator, in the settings.
    Settings,
    /// A user, in a resource; requests to it carry `Untrusted`.
    Resource,
}

/// Marks a request (as an extension) whose address stands in a resource: whoever sends it checks
/// where the address leads before connecting, because its author may not reach all that we can.
/// The response bears it too: nothing of its text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untrusted;

/// Marks a request (as an extension) whose server may show any certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyCertificate;

/// What the number of a check means, which decides how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `request-success-rate`: percent.
    Percent,
    /// `request-duration`: milliseconds.
    Milliseconds,
    Plain,
}

/// The answer of a metrics system, before anybody judged it.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    Value(f64),
    /// No series, NaN, ±Inf, stale.
    NoData(String),
    /// Not asked successfully, not understood, or more than one series.
    Error(String),
}

/// What an answer means, and by which numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The number that was held against the bounds: whole milliseconds where it is a duration.
    pub value: Option<f64>,
    /// The bounds: `>= 99`, `<= 500`, `>= 1, <= 5`.
    pub threshold: String,
    /// For a failure: `<` or `>`, and the bound that the value is outside of.
    pub outside: Option<(char, f64)>,
    /// For anything but a pass.
    pub why: Option<String>,
}

impl Judgement {
    /// As the Canary's status keeps it.
    pub fn status(&self, metric: &str) -> CheckStatus {
        CheckStatus {
            metric: metric.to_owned(),
            verdict: self.verdict,
            value: self.value,
            threshold: Some(self.threshold.clone()).filter(|text| !text.is_empty()),
            hook: None,
            samples: None,
            why: self.why.clone(),
        }
    }
}

/// What came back for one request: status and body, or why there is none.
pub type Reply = Result<http::Response<Bytes>, String>;

/// The next thing to do for a provider.
#[derive(Debug)]
pub enum Next {
    /// Send these, then ask again with all replies so far.
    Ask(Vec<http::Request<Bytes>>),
    /// One measurement for each check, in order.
    Done(Vec<Measured>),
}

/// A metrics system.
pub trait Provider: Sync {
    fn name(&self) -> &'static str;

    /// `replies` holds the replies to everything asked so far, in order.
    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next;

    /// The request that tells whether the system answers at all. Some are signed with the time.
    fn probe(&self, system: &System, now: Timestamp) -> Result<http::Request<Bytes>, String>;

    /// Whether the reply to `probe` says that it does.
    fn online(&self, reply: &Reply) -> Result<(), String>;

    /// The address of a MetricTemplate that names none.
    fn default_address(&self) -> Option<&'static str> {
        None
    }

    /// Where the system of a MetricTemplate is: the address that it names, or the system's own.
    ///
    /// On failure: the field, and what is wrong with it.
    fn address(&self, provider: &MetricTemplateProvider) -> Result<String, (&'static str, String)> {
        let given = provider.address.as_deref();
        let given = given.filter(|address| !address.is_empty());
        let address = given.or(self.default_address());
        let missing = || ("spec.provider.address", "is needed".to_owned());
        address.map(str::to_owned).ok_or_else(missing)
    }

    /// What of the cluster's own API the system is: a kind, and the verb that a query needs. A user's
    /// address may lead elsewhere all the same.
    fn right(&self) -> Option<(&'static Kind, &'static str)> {
        None
    }

    /// The keys of a Secret that are read: no others leave it.
    fn secret_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The query of what a template gives: its text, unless the system's language needs more.
    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        Ok(pieces.iter().map(Piece::text).collect())
    }
}

/// Every system that a MetricTemplate can name.
static PROVIDERS: &[&dyn Provider] = &[
    &prometheus::Prometheus,
    &cloudwatch::CloudWatch,
    &datadog::Datadog,
    &dynatrace::Dynatrace,
    &externalmetrics::ExternalMetrics,
    &graphite::Graphite,
    &influxdb::InfluxDb,
    &keptn::Keptn,
    &newrelic::NewRelic,
    &splunk::Splunk,
    &stackdriver::Stackdriver,
];

/// All of them.
pub fn providers() -> impl Iterator<Item = &'static dyn Provider> {
    PROVIDERS.iter().copied()
}

/// The system of this name.
///
/// On failure: names the known ones.
pub fn provider_of(name: &str) -> Result<&'static dyn Provider, String> {
    let found = providers().find(|provider| provider.name() == name);
    found.ok_or_else(|| {
        let known: Vec<_> = providers().map(Provider::name).collect();
        let known = known.join(", ");
        format!("{name:?} is not supported by this version; known are {known}")
    })
}

/// The checks of the canary's analysis, resolved. A check that cannot be resolved (unknown name,
/// missing template) is a problem, never a check that passes.
pub fn checks(view: &View<'_>, sources: &Sources<'_>) -> Resolved {
    resolve::checks(view, sources)
}

/// Whether the value of a check by this name is in milliseconds.
pub fn is_in_milliseconds(metric: &str) -> bool {
    builtin::is_in_milliseconds(metric)
}

/// The Event of a check that did not pass, in Flagger's words.
pub fn halt_text(names: &Names, check: &Check, judgement: &Judgement) -> Option<String> {
    halt::text(names, check, judgement)
}

/// The metrics system of the built-in checks.
pub fn provider() -> &'static dyn Provider {
    &prometheus::Prometheus
}

/// A number as a user would write it: `99`, not `99.0`, and no run of zeros.
pub fn number(value: f64) -> String {
    if value == 0.0 || (1e-5..1e16).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:?}")
    }
}
