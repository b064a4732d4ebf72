//! The three Services of a canary: the apex, which clients use and which selects the primary's
//! pods, and one each for primary and canary, which routes point to.
//!
//! Each leads to the pods that there are: the canary's follows the target, the primary's and the apex
//! the primary, so that a new revision which moves a port moves it where the revision runs. Of a
//! Service that is there, only what the Canary names is set. What others put on it stays, and what the
//! Canary named before and names no more, as far as status knows it, goes.

use serde_json::{Map, Value, json};

use crate::api::named::{Named, NamedMetadata};
use crate::api::service::{CanaryService, ServiceMetadata};
use crate::objects::metadata::{self, FLUX, Ownership};
use crate::objects::selector::{self, Selector};
use crate::objects::{Key, Names, Problem, Rank, SERVICE, View, Wanted, owner_reference};

mod containers;
mod given_back;
pub mod named;
mod original;
mod ports;

pub use given_back::give_back;

/// The Service of the canary's pods, by the target's selector and ports.
///
/// # Errors
/// The Canary has no `spec.service`, the target is selected by none of the accepted labels, or the
/// Service is not this Canary's.
pub fn canary(view: &View<'_>, target: &Value) -> Result<Wanted, Problem> {
    let service = service(view)?;
    let selector = Selector::of(view, target)?;
    let shape = Shape {
        role: Role::Canary,
        key: Role::Canary.key(view.names),
        label: Some(selector.label.clone()),
        selector: selector.canary_labels(),
        workload: target,
        target_port: ports::target_port(service),
    };
    shape.render(view, service)
}

/// The Service of the primary's pods, by the selector and ports of `primary`: the primary as it is, or
/// as it is about to be made.
///
/// # Errors
/// The Canary has no `spec.service`, the primary selects by no label, or the Service is not this
/// Canary's.
pub fn primary(view: &View<'_>, primary: &Value) -> Result<Wanted, Problem> {
    of_primary(view, primary, Role::Primary)
}

/// The apex Service, which clients use: it leads to the pods of `primary`, as that of [`primary`]
/// does. One that a user made is adopted: nothing but its selector, the Canary's port and the
/// discovered ones changes, and what was there is remembered in an annotation where kubectl does not.
///
/// # Errors
/// As of [`primary`], but that a Service without a controller may be adopted.
pub fn apex(view: &View<'_>, primary: &Value) -> Result<Wanted, Problem> {
    of_primary(view, primary, Role::Apex)
}

fn of_primary(view: &View<'_>, primary: &Value, role: Role) -> Result<Wanted, Problem> {
    let service = service(view)?;
    let key = role.key(view.names);
    let live = view.object(key.kind, &key.name);
    let live_ports = live.map_or(&Value::Null, |live| &live["spec"]["ports"]);
    let target = view.workload(&view.names.target);
    let match_labels = selector::match_labels(primary);
    let shape = Shape {
        role,
        key,
        label: selector::accepted(view, &match_labels).map(|(label, _)| label.to_owned()),
        // Where the one is not there, the other may tell what its pods are selected by.
        selector: selector::of_primary(view, primary, live.or_else(|| apex_of(view)))?,
        workload: primary,
        target_port: ports::target_port_of_primary(service, primary, target, live_ports),
    };
    shape.render(view, service)
}

fn apex_of<'a>(view: &View<'a>) -> Option<&'a Value> {
    view.object(&SERVICE, &view.names.apex)
}

/// Which of the three Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Canary,
    Primary,
    Apex,
}

impl Role {
    fn key(self, names: &Names) -> Key {
        let name = match self {
            Self::Canary => &names.apex_canary,
            Self::Primary => &names.apex_primary,
            Self::Apex => &names.apex,
        };
        Key::new(&SERVICE, name.as_str())
    }

    fn rank(self) -> Rank {
        match self {
            Self::Canary | Self::Primary => Rank::Service,
            Self::Apex => Rank::Apex,
        }
    }

    fn metadata(self, service: &CanaryService) -> Option<&ServiceMetadata> {
        match self {
            Self::Canary => service.canary.as_ref(),
            Self::Primary => service.primary.as_ref(),
            Self::Apex => service.apex.as_ref(),
        }
    }

    fn named(self, named: &Named) -> &NamedMetadata {
        match self {
            Self::Canary => &named.canary,
            Self::Primary => &named.primary,
            Self::Apex => &named.apex,
        }
    }
}

/// One of the three Services as the Canary asks for it.
struct Shape<'a> {
    role: Role,
    key: Key,
    /// The label that bears the Service's own name.
    label: Option<String>,
    selector: Map<String, Value>,
    /// Whose pods it leads to.
    workload: &'a Value,
    target_port: Value,
}

impl Shape<'_> {
    fn render(self, view: &View<'_>, service: &CanaryService) -> Result<Wanted, Problem> {
        let object = match view.object(&SERVICE, &self.key.name) {
            None => self.made(view, service),
            Some(live) if self.may_adopt(view, live) => self.adopted(view, service, live),
            Some(live) => {
                metadata::must_be_ours(&self.key, live, view.names)?;
                self.owned(view, service, live)
            }
        };
        Ok(Wanted {
            key: self.key,
            rank: self.role.rank(),
            object,
        })
    }

    fn may_adopt(&self, view: &View<'_>, live: &Value) -> bool {
        self.role == Role::Apex && metadata::ownership(live, view.names) == Ownership::Nobodys
    }

    fn ports(&self, service: &CanaryService) -> Vec<Value> {
        ports::of(service, self.workload, &self.target_port)
    }

    fn labels(&self, service: &CanaryService) -> Map<String, Value> {
        let given = self.role.metadata(service).map(|metadata| &metadata.labels);
        let mut labels = to_map(given.into_iter().flatten());
        if let Some(label) = &self.label {
            labels.insert(label.clone(), Value::from(self.key.name.as_str()));
        }
        labels
    }

    fn annotations(&self, service: &CanaryService) -> Map<String, Value> {
        let given = self
            .role
            .metadata(service)
            .map(|metadata| &metadata.annotations);
        let mut annotations = to_map(given.into_iter().flatten());
        add_flux(&mut annotations);
        annotations
    }

    fn made(&self, view: &View<'_>, service: &CanaryService) -> Value {
        let mut object = json!({
            "apiVersion": SERVICE.api_version(),
            "kind": SERVICE.kind,
            "metadata": {
                "name": self.key.name,
                "namespace": view.names.namespace,
                "labels": self.labels(service),
                "annotations": self.annotations(service),
                "ownerReferences": [owner_reference(view.names)],
            },
            "spec": {
                "type": "ClusterIP",
                "selector": self.selector,
                "ports": self.ports(service),
            },
        });
        if service.headless == Some(true) {
            object["spec"]["clusterIP"] = json!("None");
        }
        set_distribution(view, service, &mut object);
        object
    }

    /// A Service that Davy made, or Flagger.
    fn owned(&self, view: &View<'_>, service: &CanaryService, live: &Value) -> Value {
        let mut object = live.clone();
        let named = named_before(view);
        let is_others = |port: &Value| named.is_some_and(|named| !names_port(named, port));
        let live_ports = live_ports(view, service, live);
        let ports = ports::owned(&live_ports, &self.ports(service), is_others);
        object["spec"]["ports"] = Value::Array(ports);
        object["spec"]["selector"] = Value::Object(self.selector.clone());
        set_distribution(view, service, &mut object);

        let unmanaged = service.unmanaged_metadata.as_ref();
        let before = named.map(|named| self.role.named(named));
        let labels = Entries {
            live: metadata::labels(live),
            wanted: self.labels(service),
            before: before.map_or(&[][..], |named| &named.labels),
            unmanaged: unmanaged.map_or(&[][..], |unmanaged| &unmanaged.labels),
        };
        metadata::set_labels(&mut object, labels.held());
        let annotations = Entries {
            live: metadata::annotations(live),
            wanted: self.annotations(service),
            before: before.map_or(&[][..], |named| &named.annotations),
            unmanaged: unmanaged.map_or(&[][..], |unmanaged| &unmanaged.annotations),
        };
        metadata::set_annotations(&mut object, annotations.held());
        metadata::take_ownership(&mut object, view.names);
        object
    }

    /// A Service that a user made. Its labels and annotations are the user's, but for those that hold
    /// Flux off once anything else is not as in Git.
    fn adopted(&self, view: &View<'_>, service: &CanaryService, live: &Value) -> Value {
        let mut object = live.clone();
        let named = named_before(view);
        let original = original::ports(live);
        let is_others = |port: &Value| {
            let is_original = ports::is_taken(&original, port)
                || original.iter().any(|it| ports::is_same_number(it, port));
            is_original || named.is_none_or(|named| !names_port(named, port))
        };
        let live_ports = live_ports(view, service, live);
        let wanted = self.ports(service);
        let ports = ports::adopted(service, self.workload, &live_ports, &wanted, is_others);
        object["spec"]["ports"] = Value::Array(ports);
        object["spec"]["selector"] = Value::Object(self.selector.clone());
        set_distribution(view, service, &mut object);

        if object != *live || original::is_remembered(live) {
            let mut annotations = metadata::annotations(live);
            if object != *live {
                original::remember(live, &mut annotations);
            }
            add_flux(&mut annotations);
            metadata::set_annotations(&mut object, annotations);
        }
        object
    }
}

/// Labels or annotations of a Service that is there.
struct Entries<'a> {
    live: Map<String, Value>,
    wanted: Map<String, Value>,
    /// What the Canary named when it was last rendered.
    before: &'a [String],
    /// What the Canary leaves to others, whatever else it says.
    unmanaged: &'a [String],
}

impl Entries<'_> {
    /// The live entries with those that the Canary names, and without those that it names no more.
    fn held(self) -> Map<String, Value> {
        let Self {
            live: mut held,
            wanted,
            before,
            unmanaged,
        } = self;
        held.retain(|key, _| {
            !before.contains(key) || wanted.contains_key(key) || unmanaged.contains(key)
        });
        for (key, value) in wanted {
            if !unmanaged.contains(&key) || !held.contains_key(&key) {
                held.insert(key, value);
            }
        }
        held
    }
}

fn service<'a>(view: &View<'a>) -> Result<&'a CanaryService, Problem> {
    let missing = || Problem::field("spec.service", "is missing; its port is needed");
    view.canary.spec.service.as_ref().ok_or_else(missing)
}

/// What the Canary named when it was last rendered, as far as status knows.
fn named_before<'a>(view: &View<'a>) -> Option<&'a Named> {
    view.canary.status.as_ref()?.named.as_ref()
}

fn names_port(named: &Named, port: &Value) -> bool {
    named.ports.iter().any(|name| port["name"] == **name)
}

/// The ports of a Service, without what the Canary gave them and gives no more.
fn live_ports(view: &View<'_>, service: &CanaryService, live: &Value) -> Value {
    let live = &live["spec"]["ports"];
    if ports::app_protocol(service).is_none() && was_named(view, named::APP_PROTOCOL) {
        ports::without_app_protocol(service, live)
    } else {
        live.clone()
    }
}

fn set_distribution(view: &View<'_>, service: &CanaryService, object: &mut Value) {
    let spec = &mut object["spec"];
    if let Some(distribution) = &service.traffic_distribution {
        spec[named::TRAFFIC_DISTRIBUTION] = json!(distribution);
    } else if was_named(view, named::TRAFFIC_DISTRIBUTION)
        && let Some(spec) = spec.as_object_mut()
    {
        spec.remove(named::TRAFFIC_DISTRIBUTION);
    }
}

fn was_named(view: &View<'_>, field: &str) -> bool {
    named_before(view).is_some_and(|named| named.service.iter().any(|it| it == field))
}

fn add_flux(annotations: &mut Map<String, Value>) {
    annotations.extend(FLUX.map(|(key, value)| (key.to_owned(), Value::from(value))));
}

fn to_map<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> Map<String, Value> {
    entries
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}
