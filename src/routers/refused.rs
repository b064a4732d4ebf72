//! Providers of Flagger's that Davy does not route on, for good: why, and what does instead.

use crate::objects::Problem;

const APP_MESH: &str = "AWS has discontinued App Mesh; provider gatewayapi:v1 routes on Amazon VPC \
                        Lattice, provider istio on Istio";

const OPEN_SERVICE_MESH: &str = "Open Service Mesh is discontinued and led its users to Istio; \
                                 providers istio and gatewayapi:v1 route on that";

/// Two namespaces with a Service of the same name would write the same object.
const KUMA: &str = "Kuma has discontinued TrafficRoute, which has no namespace; it takes HTTPRoutes \
                    as well: provider gatewayapi:v1 with a Service in spec.service.gatewayRefs";

/// By the names that `spec.provider` has for them.
static REFUSED: [(&str, &str); 5] = [
    ("appmesh", APP_MESH),
    ("appmesh:v1beta1", APP_MESH),
    ("appmesh:v1beta2", APP_MESH),
    ("kuma", KUMA),
    ("osm", OPEN_SERVICE_MESH),
];

/// Why there is no router of this name, if there is none for good.
pub(super) fn problem(provider: &str) -> Option<Problem> {
    let mut refused = REFUSED.iter();
    let (_, why) = refused.find(|(name, _)| *name == provider)?;
    let why = format!("\"{provider}\" is not supported: {why}");
    Some(Problem::field("spec.provider", why))
}
