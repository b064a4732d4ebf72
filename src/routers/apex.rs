//! What a routing object bears of the Canary besides its spec: the labels and annotations of the
//! apex, and the Canary as its owner.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::metadata::{self, FLUX};
use crate::objects::{Kind, View, owner_reference};

/// Keys that contain it steer Flux at the user's own object and are not copied from there.
const FLUX_DOMAIN: &str = "toolkit.fluxcd.io";

static NO_SERVICE: LazyLock<CanaryService> = LazyLock::new(CanaryService::default);

/// `spec.service`; an empty one where there is none.
pub(super) fn service<'a>(view: &View<'a>) -> &'a CanaryService {
    view.canary.spec.service.as_ref().unwrap_or(&NO_SERVICE)
}

/// A new object of the Canary's with this spec, without labels and annotations.
pub(super) fn new_object(view: &View<'_>, kind: &Kind, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": view.names.namespace,
            "ownerReferences": [owner_reference(view.names)],
        },
        "spec": spec,
    })
}

/// The route called like the apex, new, with this spec and the apex's labels and annotations.
pub(super) fn new_route(view: &View<'_>, kind: &Kind, spec: &Value) -> Value {
    let mut object = new_object(view, kind, &view.names.apex, spec);
    let text = |entries: BTreeMap<&str, &str>| -> Map<String, Value> {
        let entries = entries.into_iter();
        entries
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect()
    };
    metadata::set_annotations(&mut object, text(annotations(service(view))));
    metadata::set_labels(&mut object, text(labels(view)));
    object
}

/// Gives a route that is there already the labels and annotations of the apex; what the Canary
/// named before and names no more goes, and what others have added stays.
pub(super) fn hold(view: &View<'_>, live: &Value, object: &mut Value) {
    let service = service(view);
    let status = view.canary.status.as_ref();
    let before = status.and_then(|status| Some(&status.named.as_ref()?.apex));
    let keep =
        |mut entries: Map<String, Value>, wanted: BTreeMap<&str, &str>, before: &[String]| {
            entries.retain(|key, _| !before.contains(key) || wanted.contains_key(&**key));
            entries.extend(
                wanted
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), json!(value))),
            );
            entries
        };
    let given = service.apex.iter().flat_map(|apex| &apex.labels);
    let labels = keep(
        metadata::labels(live),
        given.map(|(key, value)| (&**key, &**value)).collect(),
        before.map_or(&[], |before| &before.labels),
    );
    metadata::set_labels(object, labels);
    let annotations = keep(
        metadata::annotations(live),
        annotations(service),
        before.map_or(&[], |before| &before.annotations),
    );
    metadata::set_annotations(object, annotations);
}

fn annotations(service: &CanaryService) -> BTreeMap<&str, &str> {
    let apex = service.apex.iter().flat_map(|apex| &apex.annotations);
    let mut annotations: BTreeMap<_, _> = apex
        .filter(|(key, _)| !key.contains(FLUX_DOMAIN))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    annotations.extend(FLUX);
    annotations
}

/// Whoever gives the apex labels finds the selector's label beside them in what Flagger makes.
fn labels<'a>(view: &View<'a>) -> BTreeMap<&'a str, &'a str> {
    let Some(apex) = &service(view).apex else {
        return BTreeMap::new();
    };
    let given = apex
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let mut labels: BTreeMap<_, _> = given.collect();
    let target = view.workload(&view.names.target);
    let selector = target.map(|target| &target["spec"]["selector"]["matchLabels"]);
    let mut known = view.policy.selector_labels.iter();
    let label = known.find(|label| selector.is_some_and(|selector| selector.get(label).is_some()));
    labels.extend(label.map(|label| (label.as_str(), view.names.apex.as_str())));
    labels
}
