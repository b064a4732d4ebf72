//! The built-in queries, by routing provider: Flagger's, word for word, so that a cluster which
//! changes hands is judged by the same numbers. Data only.
//!
//! They measure the canary's pods alone: a Prometheus pattern matches whole names, so
//! `podinfo` is not `podinfo-primary`.

/// How requests through one routing provider are counted and timed.
#[derive(Debug)]
pub(super) struct Observer {
    /// The routing providers; a name also stands for itself with a version (`gatewayapi:v1`).
    pub(super) names: &'static [&'static str],
    /// Percent of the requests that were answered without a server error.
    pub(super) success_rate: &'static str,
    /// How long requests took: the 99th percentile, or an average where there is no histogram.
    pub(super) duration: &'static str,
    /// Milliseconds in one of what `duration` answers in.
    pub(super) duration_scale: f64,
}

impl Observer {
    /// The rate of requests where not one succeeds, else no series.
    ///
    /// A proxy has no series for an answer that it never gave, so the success rate of a version
    /// which only fails is no number: without this it would look as if it had no traffic. Both
    /// sides are the success rate's own; the second one looks at the counter itself, because a
    /// rate needs two samples and a success may be too new for that.
    pub(super) fn only_failures(&self) -> Option<String> {
        let (good, rest) = self.success_rate.split_once('/')?;
        let (all, _) = rest.rsplit_once('*')?;
        let mut good = good.replace("rate(", "");
        for end in ["[{{ interval }}] )", "[{{ interval }}])"] {
            good = good.replace(end, "");
        }
        Some(format!("{} unless {}", all.trim(), good.trim()))
    }
}

/// The observer of a routing provider.
pub(super) fn observer(provider: &str) -> Option<&'static Observer> {
    let base = provider.split_once(':').map_or(provider, |(base, _)| base);
    OBSERVERS
        .iter()
        .copied()
        .find(|observer| observer.names.contains(&base))
}

/// The routing providers that have built-in queries.
pub(super) fn known() -> Vec<&'static str> {
    OBSERVERS
        .iter()
        .copied()
        .flat_map(|observer| observer.names)
        .copied()
        .collect()
}

/// Istio's queries, which the first Flagger's metric names ask for by name.
pub(super) static ISTIO: Observer = Observer {
    names: &["istio"],
    success_rate: r#"
        sum( rate( istio_requests_total{ reporter="destination",
            destination_workload_namespace="{{ namespace }}",
            destination_workload=~"{{ target }}", response_code!~"5.*" }[{{ interval }}] ) )
        / sum( rate( istio_requests_total{ reporter="destination",
            destination_workload_namespace="{{ namespace }}",
            destination_workload=~"{{ target }}" }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( istio_request_duration_milliseconds_bucket{
            reporter="destination", destination_workload_namespace="{{ namespace }}",
            destination_workload=~"{{ target }}" }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1.0,
};

static OBSERVERS: &[&Observer] = &[
    &ISTIO,
    &Observer {
        // Measured by the application itself, where no proxy sees the requests.
        names: &["kubernetes", "gatewayapi"],
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
    },
    &Observer {
        names: &["linkerd"],
        success_rate: r#"
            sum( rate( response_total{ namespace="{{ namespace }}",
                deployment=~"{{ target }}", classification!="failure",
                direction="inbound" }[{{ interval }}] ) )
            / sum( rate( response_total{ namespace="{{ namespace }}",
                deployment=~"{{ target }}", direction="inbound" }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            histogram_quantile( 0.99, sum( rate( response_latency_ms_bucket{
                namespace="{{ namespace }}", deployment=~"{{ target }}",
                direction="inbound" }[{{ interval }}] ) ) by (le) )"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["appmesh"],
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
    &Observer {
        names: &["contour"],
        success_rate: r#"
            sum( rate( envoy_cluster_upstream_rq{
                envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
                envoy_response_code!~"5.*" }[{{ interval }}] ) )
            / sum( rate( envoy_cluster_upstream_rq{
                envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
                envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) by (le) )"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["gloo"],
        success_rate: r#"
            sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}-{{ target }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
                envoy_response_code!~"5.*" }[{{ interval }}] ) )
            / sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}-{{ target }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
            envoy_cluster_name=~"{{ namespace }}-{{ target }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
                }[{{ interval }}] ) ) by (le) )"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["kuma"],
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
    &Observer {
        names: &["nginx"],
        success_rate: r#"
            sum( rate( nginx_ingress_controller_requests{ namespace="{{ namespace }}",
                ingress="{{ ingress }}", canary!="", status!~"5.*" }[{{ interval }}] ) )
            / sum( rate( nginx_ingress_controller_requests{ namespace="{{ namespace }}",
                ingress="{{ ingress }}", canary!="" }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            sum( rate( nginx_ingress_controller_response_duration_seconds_sum{
                namespace="{{ namespace }}", ingress="{{ ingress }}",
                canary!="" }[{{ interval }}] ) )
            / sum( rate( nginx_ingress_controller_response_duration_seconds_count{
                namespace="{{ namespace }}", ingress="{{ ingress }}",
                canary!="" }[{{ interval }}] ) ) * 1000"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["traefik"],
        success_rate: r#"
            sum( rate( traefik_service_request_duration_seconds_bucket{
                service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd",
                code!~"5..", le="+Inf" }[{{ interval }}] ) )
            / sum( rate( traefik_service_request_duration_seconds_bucket{
                service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd",
                le="+Inf" }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            histogram_quantile( 0.99, sum( rate( traefik_service_request_duration_seconds_bucket{
                service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd"
                }[{{ interval }}] ) ) by (le) ) * 1000"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["apisix"],
        success_rate: r#"
            sum( rate( apisix_http_status{
                route=~"{{ namespace }}_{{ route }}-{{ target }}-canary_.+",
                code!~"5.." }[{{ interval }}] ) )
            / sum( rate( apisix_http_status{
                route=~"{{ namespace }}_{{ route }}-{{ target }}-canary_.+"
                }[{{ interval }}] ) ) * 100"#,
        duration: r#"
            histogram_quantile( 0.99, sum( rate( apisix_http_latency_bucket{ type=~"request",
                route=~"{{ namespace }}_{{ route }}-{{ target }}-canary_.+"
                }[{{ interval }}] ) ) by (le) )"#,
        duration_scale: 1.0,
    },
    &Observer {
        // The `_id` variables are what Skipper makes of a name: all but word characters is `_`.
        names: &["skipper"],
        success_rate: r#"
            sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_{{ namespace_id
            }}__{{ ingress_id }}_canary__.*__{{ service_id
            }}_canary(_[0-9]+)?",code!~"5..",le="+Inf"}[{{ interval }}]))
            / sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_{{ namespace_id
            }}__{{ ingress_id }}_canary__.*__{{ service_id
            }}_canary(_[0-9]+)?",le="+Inf"}[{{ interval }}])) * 100"#,
        duration: r#"
            sum(rate(skipper_serve_route_duration_seconds_sum{route=~"kube(ew)?_{{ namespace_id
            }}__{{ ingress_id }}_canary__.*__{{ service_id }}_canary(_[0-9]+)?"}[{{ interval }}]))
            / sum(rate(skipper_serve_route_duration_seconds_count{route=~"kube(ew)?_{{ namespace_id
            }}__{{ ingress_id }}_canary__.*__{{ service_id }}_canary(_[0-9]+)?"}[{{ interval }}]))
            * 1000"#,
        duration_scale: 1.0,
    },
    &Observer {
        names: &["osm"],
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
];
