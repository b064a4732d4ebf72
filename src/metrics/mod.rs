//! Whom checks are asked of: one file per metrics system, the built-in queries, and the tables.
//! A provider turns questions into requests and replies into measurements; it judges nothing.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::objects::{Problem, View};

pub mod builtin;
pub mod prometheus;

/// One check of a canary's analysis that is due in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// As the Canary names it.
    pub metric: String,
    /// The metrics system's address.
    pub address: String,
    pub query: String,
    /// The window of the query.
    pub interval: Duration,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unit: Unit,
    /// The routing provider, for Flagger's no-data text.
    pub source: String,
}

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

    /// The request that tells whether the system answers at all.
    fn probe(&self, address: &str) -> Result<http::Request<Bytes>, String>;

    /// Whether the reply to `probe` says that it does.
    fn online(&self, reply: &Reply) -> Result<(), String>;
}

/// The checks of the canary's analysis, resolved. A check that cannot be resolved (unknown name,
/// missing template) is a problem, never a check that passes.
pub fn checks(view: &View<'_>, metrics_server: &str) -> Result<Vec<Check>, Problem> {
    builtin::checks(view, metrics_server)
}
