//! New Relic's Insights query API.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::metrics::single;
use crate::metrics::template::Piece;
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System, access};

#[derive(Debug)]
pub(super) struct NewRelic;

impl Provider for NewRelic {
    fn name(&self) -> &'static str {
        "newrelic"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], _: Timestamp) -> Next {
        let ask = |check: &Check| {
            let query = format!(
                "{} SINCE {} seconds ago",
                check.query,
                check.interval.as_secs()
            );
            request(&check.address, check.origin, &check.access, &query)
        };
        single::next(checks, replies, ask, |_, reply| measured(reply))
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        let query = "SELECT * FROM Metric";
        request(&system.address, system.origin, &system.access, query)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    fn default_address(&self) -> Option<&'static str> {
        Some("https://insights-api.newrelic.com")
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["newrelic_account_id", "newrelic_query_key"]
    }

    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        let text: String = pieces.iter().map(Piece::text).collect();
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn request(
    address: &str,
    origin: Origin,
    of: &Access,
    query: &str,
) -> Result<http::Request<Bytes>, String> {
    let account = of.key("newrelic_account_id")?;
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the key newrelic_account_id of its Secret is not a number".to_owned());
    }
    let path = format!("/v1/accounts/{account}/query");
    let header = "X-Query-Key";
    let request = single::get(address, &path, &[("nrql", query)], of)?
        .header("Accept", "application/json")
        .header(
            header,
            access::secret_value(header, of.key("newrelic_query_key")?)?,
        );
    single::sent(request, origin)
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    result: Value,
}

fn measured(reply: &Reply) -> Measured {
    let Answer { results } = match single::json(reply) {
        Ok(answer) => answer,
        Err(why) => return Measured::Error(why),
    };
    let [row] = &*results else {
        return match results.len() {
            0 => Measured::NoData(single::NO_VALUES.to_owned()),
            count => Measured::Error(format!("{count} results where one is expected")),
        };
    };
    match &row.result {
        Value::Null => Measured::NoData(single::NO_VALUES.to_owned()),
        Value::Number(number) => single::value(number.as_f64().unwrap_or(f64::NAN)),
        _ => Measured::Error("the result is not a number".to_owned()),
    }
}
