//! The three Services of a canary: the apex, which clients use and which selects the primary's
//! pods, and one each for primary and canary, which routes point to.

use serde_json::{Map, Value, json};

use crate::api::service::{CanaryService, ServiceMetadata};
use crate::objects::metadata::{self, FLUX, LAST_APPLIED, Ownership, STEP};
use crate::objects::selector::Selector;
use crate::objects::{Key, Problem, Rank, SERVICE, View, Wanted, owner_reference, ports};

/// The Services as they should be: canary, primary, apex.
///
/// Of a Service that is there already, ports and selector are set; and labels and annotations
/// where it is the Canary's own. Its type and addresses stay.
pub fn render(view: &View<'_>, target: &Value) -> Result<Vec<Wanted>, Problem> {
    let service = service(view)?;
    let selector = Selector::of(view, target)?;
    let names = view.names;
    let primary_value = selector.primary_value();
    [
        (
            &names.apex_canary,
            Rank::Service,
            &selector.value,
            &service.canary,
        ),
        (
            &names.apex_primary,
            Rank::Service,
            &primary_value,
            &service.primary,
        ),
        (&names.apex, Rank::Apex, &primary_value, &service.apex),
    ]
    .into_iter()
    .map(|(name, rank, value, metadata)| {
        let shape = Shape {
            key: Key::new(&SERVICE, name.as_str()),
            label: &selector.label,
            selector: json!({ &*selector.label: value }),
            ports: ports::of(service, target),
            metadata: metadata.as_ref(),
        };
        let object = match view.object(&SERVICE, name) {
            Some(live) => edited(view, service, &shape, rank, live)?,
            None => created(view, service, &shape),
        };
        Ok(Wanted {
            key: shape.key,
            rank,
            object,
        })
    })
    .collect()
}

/// The apex Service that a user made before there was a Canary, given back: it selects what it
/// did, as far as that is known, and Flux may have it again. `None` if it is not a user's.
pub fn restore_apex(view: &View<'_>, target: &Value) -> Option<Wanted> {
    let live = view.object(&SERVICE, &view.names.apex)?;
    if metadata::ownership(live, view.names) != Ownership::Nobodys {
        return None;
    }
    let mut annotations = metadata::annotations(live);
    let applied = annotations
        .get(LAST_APPLIED)
        .and_then(Value::as_str)
        .unwrap_or("null");
    let applied: Value = serde_json::from_str(applied).unwrap_or(Value::Null);
    let selector = match &applied["spec"]["selector"] {
        Value::Object(selector) if !selector.is_empty() => Value::Object(selector.clone()),
        _ => {
            let selector = Selector::of(view, target).ok()?;
            json!({ selector.label: selector.value })
        }
    };
    for (key, _) in FLUX {
        if applied["metadata"]["annotations"][key].is_null() {
            annotations.remove(key);
        }
    }
    let mut object = live.clone();
    object["spec"]["selector"] = selector;
    metadata::set_annotations(&mut object, annotations);
    Some(Wanted {
        key: Key::new(&SERVICE, view.names.apex.as_str()),
        rank: Rank::Apex,
        object,
    })
}

/// What tells one of the three Services from the others.
struct Shape<'a> {
    key: Key,
    label: &'a str,
    selector: Value,
    ports: Vec<Value>,
    metadata: Option<&'a ServiceMetadata>,
}

impl Shape<'_> {
    fn labels(&self) -> Map<String, Value> {
        let given = self.metadata.map(|metadata| &metadata.labels);
        let mut labels = to_map(given.into_iter().flatten());
        labels.insert(self.label.to_owned(), Value::from(self.key.name.as_str()));
        labels
    }

    fn annotations(&self) -> Map<String, Value> {
        let given = self.metadata.map(|metadata| &metadata.annotations);
        let mut annotations = to_map(given.into_iter().flatten());
        add_flux(&mut annotations);
        annotations
    }
}

fn service<'a>(view: &View<'a>) -> Result<&'a CanaryService, Problem> {
    let missing = || Problem::field("spec.service", "is missing; its port is needed");
    view.canary.spec.service.as_ref().ok_or_else(missing)
}

fn created(view: &View<'_>, service: &CanaryService, shape: &Shape<'_>) -> Value {
    let mut object = json!({
        "apiVersion": SERVICE.api_version(),
        "kind": SERVICE.kind,
        "metadata": {
            "name": shape.key.name,
            "namespace": view.names.namespace,
            "labels": shape.labels(),
            "annotations": shape.annotations(),
            "ownerReferences": [owner_reference(view.names)],
        },
        "spec": { "type": "ClusterIP", "selector": shape.selector, "ports": shape.ports },
    });
    if service.headless == Some(true) {
        object["spec"]["clusterIP"] = json!("None");
    }
    if let Some(distribution) = &service.traffic_distribution {
        object["spec"]["trafficDistribution"] = json!(distribution);
    }
    object
}

fn edited(
    view: &View<'_>,
    service: &CanaryService,
    shape: &Shape<'_>,
    rank: Rank,
    live: &Value,
) -> Result<Value, Problem> {
    let ownership = metadata::ownership(live, view.names);
    match (ownership, rank) {
        (Ownership::Nobodys, Rank::Apex) => {}
        _ => metadata::must_be_ours(&shape.key, live, view.names)?,
    }
    let mut object = live.clone();
    let spec = &mut object["spec"];
    spec["ports"] = Value::Array(ports::merged(&live["spec"]["ports"], &shape.ports));
    spec["selector"] = shape.selector.clone();
    if let Some(distribution) = &service.traffic_distribution {
        spec["trafficDistribution"] = json!(distribution);
    }
    if ownership == Ownership::Ours {
        let labels = with_unmanaged(view, live, shape.labels(), "labels");
        metadata::set_labels(&mut object, labels);
        let annotations = with_unmanaged(view, live, shape.annotations(), "annotations");
        metadata::set_annotations(&mut object, annotations);
        metadata::take_ownership(&mut object, view.names);
    } else if object != *live {
        let mut annotations = metadata::annotations(live);
        add_flux(&mut annotations);
        metadata::set_annotations(&mut object, annotations);
    }
    Ok(object)
}

/// The wanted entries, and of the live ones those that others own.
fn with_unmanaged(
    view: &View<'_>,
    live: &Value,
    mut wanted: Map<String, Value>,
    field: &str,
) -> Map<String, Value> {
    let unmanaged = view
        .canary
        .spec
        .service
        .as_ref()
        .and_then(|s| s.unmanaged_metadata.as_ref());
    let keys = unmanaged.map(|unmanaged| match field {
        "labels" => &unmanaged.labels,
        _ => &unmanaged.annotations,
    });
    let keys = keys.into_iter().flatten().map(String::as_str).chain([STEP]);
    for key in keys {
        if let Some(value) = live["metadata"][field].get(key) {
            wanted.insert(key.to_owned(), value.clone());
        }
    }
    wanted
}

fn add_flux(annotations: &mut Map<String, Value>) {
    annotations.extend(FLUX.map(|(key, value)| (key.to_owned(), Value::from(value))));
}

fn to_map<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> Map<String, Value> {
    entries
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}

fn nth(view: &View<'_>, target: &Value, index: usize) -> Result<Wanted, Problem> {
    render(view, target).map(|mut all| all.remove(index))
}

pub fn canary(view: &View<'_>, target: &Value) -> Result<Wanted, Problem> {
    nth(view, target, 0)
}

pub fn primary(view: &View<'_>, primary: &Value) -> Result<Wanted, Problem> {
    let target = view.object(&crate::objects::DEPLOYMENT, &view.names.target);
    nth(view, target.unwrap_or(primary), 1)
}

pub fn apex(view: &View<'_>, primary: &Value) -> Result<Wanted, Problem> {
    let target = view.object(&crate::objects::DEPLOYMENT, &view.names.target);
    nth(view, target.unwrap_or(primary), 2)
}

pub fn give_back(view: &View<'_>, target: Option<&Value>) -> Option<Wanted> {
    restore_apex(view, target?)
}
