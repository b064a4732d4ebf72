//! A real Prometheus that reads the exporter every second.
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    exporter::Exporter,
    keeper::Keeper,
    wait::{free_port, get, until},
};

const START_DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Prometheus {
    address: SocketAddr,
    exporter: Exporter,
    /// Ends the process when this goes.
    _keeper: Keeper,
}

impl Prometheus {
    /// Starts the program with an exporter of its own, and waits until it answers. It reads a
    /// Pushgateway too, where there is one, and has what is in `history`, a file in the format of
    /// `OpenMetrics`, as if it had read it at the times in there.
    pub(super) async fn start(
        program: &Path,
        pushgateway: Option<SocketAddr>,
        history: Option<&Path>,
    ) -> Result<Self, String> {
        let exporter = Exporter::start().map_err(|error| format!("the exporter: {error}"))?;
        let mut keeper = Keeper::new("prometheus")?;
        let config = keeper.folder().join("prometheus.yaml");
        fs::write(&config, scrape(exporter.address(), pushgateway))
            .map_err(|error| format!("writing {}: {error}", config.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let data = keeper.folder().join("data");
        if let Some(history) = history {
            fill(program, history, &data)?;
        }
        let mut arguments = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
        ];
        if history.is_some() {
            // In a file there are no marks for where a series ends, so what is older is taken for it.
            arguments.push("--query.lookback-delta=45s".to_owned());
        }
        keeper.start("prometheus", program, &arguments)?;
        keeper
            .ready("Prometheus is ready", START_DEADLINE, async || {
                match get(address, "/-/ready").map_err(|error| error.to_string())? {
                    (200, _) => Ok(()),
                    (status, body) => Err(format!("{status} {body}")),
                }
            })
            .await?;
        Ok(Self {
            address,
            exporter,
            _keeper: keeper,
        })
    }

    /// For `DAVY_METRICS_SERVER`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it reads.
    pub(crate) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// The value of a query that has exactly one; `None` when there is no series.
    ///
    /// # Panics
    /// When the query is refused or answers several series.
    pub(crate) fn ask(&self, query: &str) -> Option<f64> {
        let data = &self.answer(query, &format!("query?query={}", encode(query)));
        let value = if data["resultType"] == "scalar" {
            &data["result"][1]
        } else {
            let series = data["result"].as_array().expect("a result is a list");
            assert!(series.len() <= 1, "{query}: several series: {data}");
            &series.first()?["value"][1]
        };
        value.as_str()?.parse().ok()
    }

    /// The series of a query at a time, in seconds of Unix; a scalar is one without labels.
    ///
    /// # Panics
    /// When the query is refused.
    pub(crate) fn series(&self, query: &str, at: i64) -> Vec<Value> {
        let data = self.answer(query, &format!("query?query={}&time={at}", encode(query)));
        match &data["result"] {
            scalar if data["resultType"] == "scalar" => {
                vec![json!({"metric": {}, "value": scalar})]
            }
            series => series.as_array().cloned().unwrap_or_default(),
        }
    }

    /// The series of a query over a time, a value for every `step` seconds.
    ///
    /// # Panics
    /// When the query is refused.
    pub(crate) fn over(&self, query: &str, from: i64, to: i64, step: i64) -> Vec<Value> {
        let asked = encode(query);
        let path = format!("query_range?query={asked}&start={from}&end={to}&step={step}");
        let data = self.answer(query, &path);
        data["result"].as_array().cloned().unwrap_or_default()
    }

    fn answer(&self, query: &str, path: &str) -> Value {
        let (status, body) = get(self.address, &format!("/api/v1/{path}"))
            .unwrap_or_else(|error| panic!("asking Prometheus: {error}"));
        assert_eq!(status, 200, "{query}: {body}");
        let reply: Value = serde_json::from_str(&body).expect("Prometheus answers in JSON");
        reply["data"].clone()
    }

    /// Asks until the value is as wanted.
    ///
    /// # Panics
    /// When it is not so before the deadline.
    pub(crate) async fn until(
        &self,
        query: &str,
        wanted: impl Fn(f64) -> bool,
        deadline: Duration,
    ) -> f64 {
        until(query, deadline, async || match self.ask(query) {
            Some(value) if wanted(value) => Ok(value),
            other => Err(format!("the last answer was {other:?}")),
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Writes Prometheus' data of what it has not read. promtool comes with it.
fn fill(program: &Path, history: &Path, data: &Path) -> Result<(), String> {
    let promtool = program.with_file_name("promtool");
    let output = Command::new(&promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([history, data])
        .output()
        .map_err(|error| format!("running {}: {error}", promtool.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {said}", promtool.display()))
}

fn scrape(target: SocketAddr, pushgateway: Option<SocketAddr>) -> String {
    let pushed = pushgateway.map_or_else(String::new, |pushgateway| {
        format!(
            "- job_name: pushgateway\n  honor_labels: true\n  static_configs:\n  \
             - targets: ['{pushgateway}']\n"
        )
    });
    format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
         scrape_configs:\n- job_name: istio\n  static_configs:\n  - targets: ['{target}']\n{pushed}"
    )
}

/// Percent-encodes a query for a URL.
fn encode(query: &str) -> String {
    query.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
