//! How Istio's proxies count the requests to a workload.

use crate::routers::BuiltInQueries;

pub static QUERIES: BuiltInQueries = BuiltInQueries {
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
