//! An application as its cluster tells of it: what its pods use, as cAdvisor and kube-state-metrics
//! say it, and what Istio's proxies count at either side of a request.

use std::fmt::Write as _;

/// Istio's bounds, in milliseconds.
const BOUNDS: [f64; 12] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0,
];

/// A workload with what it has counted so far.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) pods: Vec<Pod>,
    successes: f64,
    failures: f64,
    within: [f64; BOUNDS.len()],
}

#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) megabytes: f64,
    pub(super) restarts: u32,
    cpu_seconds: f64,
}

impl Workload {
    /// With pods of a Deployment, whose names end with these.
    pub(super) fn new(namespace: &str, name: &str, ends: &[&str]) -> Self {
        let pod = |end: &&str| Pod {
            name: format!("{name}-{end}"),
            megabytes: 40.0,
            restarts: 0,
            cpu_seconds: 0.0,
        };
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pods: ends.iter().map(pod).collect(),
            successes: 0.0,
            failures: 0.0,
            within: [0.0; BOUNDS.len()],
        }
    }

    /// Serves requests for so long. How long they take falls off evenly, so that 99 % of them are
    /// faster than the given milliseconds.
    pub(super) fn serve(&mut self, seconds: f64, requests: f64, success_percent: f64, p99: f64) {
        let all = seconds * requests;
        self.successes += all * success_percent / 100.0;
        self.failures += all * (100.0 - success_percent) / 100.0;
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += all * (1.0 - (-bound * 100.0_f64.ln() / p99).exp());
        }
        // No two pods are the same.
        let mut share = 1.1 / self.pods.iter().map(|_| 1.0).sum::<f64>();
        for pod in &mut self.pods {
            pod.cpu_seconds += seconds * (0.01 + requests * share * 0.002);
            pod.megabytes = 30.0 + requests * share * 0.2;
            share *= 0.8;
        }
    }

    /// What its own proxies count.
    pub(super) fn requests(&self, text: &mut String) {
        let Self {
            namespace, name, ..
        } = self;
        let labels = format!(
            "reporter=\"destination\",connection_security_policy=\"mutual_tls\",\
             source_workload=\"ingress\",source_workload_namespace=\"istio-system\",\
             destination_workload=\"{name}\",destination_workload_namespace=\"{namespace}\""
        );
        self.codes(&labels, text);
        let bucket = "istio_request_duration_milliseconds_bucket";
        let all = self.successes + self.failures;
        for (bound, count) in BOUNDS.iter().zip(self.within) {
            line(text, bucket, &format!("{labels},le=\"{bound}\""), count);
        }
        line(text, bucket, &format!("{labels},le=\"+Inf\""), all);
    }

    /// What its proxies count of the requests that it sends itself: as many as it serves.
    pub(super) fn calls(&self, text: &mut String) {
        let Self {
            namespace, name, ..
        } = self;
        for policy in ["mutual_tls", "none"] {
            let labels = format!(
                "reporter=\"source\",connection_security_policy=\"{policy}\",\
                 source_workload=\"{name}\",source_workload_namespace=\"{namespace}\",\
                 destination_service=\"database.{namespace}.svc.cluster.local\""
            );
            self.codes(&labels, text);
        }
    }

    fn codes(&self, labels: &str, text: &mut String) {
        for (code, count) in [(200, self.successes), (500, self.failures)] {
            // Istio has no series for a code that was never answered.
            if count > 0.0 {
                let labels = format!("{labels},response_code=\"{code}\"");
                line(text, "istio_requests_total", &labels, count);
            }
        }
    }

    /// What its pods use.
    pub(super) fn usage(&self, text: &mut String) {
        let namespace = &self.namespace;
        for pod in &self.pods {
            let of_pod = format!("namespace=\"{namespace}\",pod=\"{}\"", pod.name);
            let (cpu, bytes) = (pod.cpu_seconds, pod.megabytes * 1e6);
            // A pod's own line, that of its pause container, its proxy's, and the one that counts.
            for (container, share) in [("", 1.5), ("POD", 0.0), ("istio-proxy", 0.5), ("app", 1.0)]
            {
                let labels = format!("{of_pod},cpu=\"total\",container=\"{container}\"");
                line(
                    text,
                    "container_cpu_usage_seconds_total",
                    &labels,
                    cpu * share,
                );
                let labels = format!("{of_pod},container=\"{container}\"");
                line(
                    text,
                    "container_memory_working_set_bytes",
                    &labels,
                    bytes * share,
                );
            }
            let labels = format!("{of_pod},container=\"app\"");
            let restarts = f64::from(pod.restarts);
            line(
                text,
                "kube_pod_container_status_restarts_total",
                &labels,
                restarts,
            );
            let labels = format!("{of_pod},interface=\"eth0\"");
            for name in ["receive", "transmit"] {
                let name = format!("container_network_{name}_bytes_total");
                line(text, &name, &labels, cpu * 1e6);
            }
        }
    }
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{name}{{{labels}}} {value}");
}
