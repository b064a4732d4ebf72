//! The built-in checks, by data plane: Flagger's queries, word for word, so that a cluster which
//! changes hands is judged by the same numbers. Data only.
//!
//! They measure the canary's pods alone: a Prometheus pattern matches whole names, so
//! `podinfo` is not `podinfo-primary`.

use crate::routers::{ROUTERS, base_name, istio};

/// How a data plane counts and times requests, in `PromQL` with the variables `{{ target }}`, `{{
/// service }}`, `{{ namespace }}`, `{{ ingress }}`, `{{ route }}` and `{{ interval }}`; with `_id`
/// behind its name, a variable has `_` for all but word characters.
#[derive(Debug)]
pub struct BuiltInQueries {
    /// Percent of the requests that were answered without a server error.
    pub success_rate: &'static str,
    /// How long requests took: the 99th percentile, or an average where there is no histogram.
    pub duration: &'static str,
    /// Milliseconds in one of what `duration` answers in.
    pub duration_scale: f64,
}

impl BuiltInQueries {
    /// The rate of requests where not one succeeds, else no series.
    ///
    /// A proxy has no series for an answer that it never gave, so the success rate of a version
    /// which only fails is no number: without this it would look as if it had no traffic. Both
    /// sides are the success rate's own; the second one looks at the counter itself, because a
    /// rate needs two samples and a success may be too new for that.
    pub fn only_failures(&self) -> Option<String> {
        let (good, rest) = self.success_rate.split_once('/')?;
        let (all, _) = rest.rsplit_once('*')?;
        let mut good = good.replace("rate(", "");
        for end in ["[{{ interval }}] )", "[{{ interval }}])"] {
            good = good.replace(end, "");
        }
        Some(format!("{} unless {}", all.trim(), good.trim()))
    }
}

/// The queries of a routing provider; a name also stands for itself with a version
/// (`gatewayapi:v1`).
pub fn of(provider: &str) -> Option<&'static BuiltInQueries> {
    let base = base_name(provider);
    all()
        .find(|(name, _)| *name == base)
        .map(|(_, queries)| queries)
}

/// Istio's, which the first Flagger's metric names ask for by name.
pub fn of_first_flagger() -> &'static BuiltInQueries {
    &istio::QUERIES
}

/// The data planes that have built-in queries, in the order of their names.
pub fn known() -> Vec<&'static str> {
    let mut known: Vec<_> = all().map(|(name, _)| name).collect();
    known.sort_unstable();
    known.dedup();
    known
}

fn all() -> impl Iterator<Item = (&'static str, &'static BuiltInQueries)> {
    let routers = ROUTERS.iter().filter_map(|router| {
        let name = router.names().first()?;
        Some((base_name(name), router.queries()?))
    });
    let others = WITHOUT_A_ROUTER
        .iter()
        .map(|(name, queries)| (*name, *queries));
    routers.chain(others)
}

/// Measured by the application itself, where no proxy sees the requests.
pub(super) static APPLICATION: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( http_request_duration_seconds_count{
            kubernetes_namespace="{{ namespace }}",
            kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",
            status!~"5.*" }[{{ interval }}] ) )
        / sum( rate( http_request_duration_seconds_count{
            kubernetes_namespace="{{ namespace }}",
            kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
            }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( http_request_duration_seconds_bucket{
            kubernetes_namespace="{{ namespace }}",
            kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
            }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1000.0,
};

/// Data planes that Davy does not route on: a mesh may count what a router of another splits, and a
/// Canary is told what is wrong with it, not that its checks are unknown.
static WITHOUT_A_ROUTER: &[(&str, &BuiltInQueries)] = &[
    (
        "appmesh",
        &BuiltInQueries {
            success_rate: r#"
            sum( rate( envoy_cluster_upstream_rq{ kubernetes_namespace="{{ namespace }}",
                kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",
                envoy_response_code!~"5.*" }[{{ interval }}] ) )
            / sum( rate( envoy_cluster_upstream_rq{ kubernetes_namespace="{{ namespace }}",
                kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
                }[{{ interval }}] ) ) * 100"#,
            duration: r#"
            histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
                kubernetes_namespace="{{ namespace }}",
                kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
                }[{{ interval }}] ) ) by (le) )"#,
            duration_scale: 1.0,
        },
    ),
    (
        "kuma",
        &BuiltInQueries {
            success_rate: r#"
            sum( rate( envoy_cluster_upstream_rq{
                service=~"{{ target }}-canary_{{ namespace }}_svc_[0-9a-zA-Z-]+",
                envoy_response_code!~"5.*" }[{{ interval }}] ) )
            / sum( rate( envoy_cluster_upstream_rq{
                service=~"{{ target }}-canary_{{ namespace }}_svc_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) * 100"#,
            duration: r#"
            histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
                service=~"{{ target }}-canary_{{ namespace }}_svc_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) by (le) )"#,
            duration_scale: 1.0,
        },
    ),
    (
        "osm",
        &BuiltInQueries {
            success_rate: r#"
            sum( rate( osm_request_total{ destination_namespace="{{ namespace }}",
                destination_kind="Deployment", destination_name="{{ target }}",
                response_code!~"5.*" }[{{ interval }}] ) )
            / sum( rate( osm_request_total{ destination_namespace="{{ namespace }}",
                destination_kind="Deployment",
                destination_name="{{ target }}" }[{{ interval }}] ) ) * 100"#,
            duration: r#"
            histogram_quantile( 0.99, sum( rate( osm_request_duration_ms_bucket{
                destination_namespace="{{ namespace }}", destination_kind="Deployment",
                destination_name="{{ target }}" }[{{ interval }}] ) ) by (le) )"#,
            duration_scale: 1.0,
        },
    ),
];
