//! The ingress controller of NGINX: beside the user's Ingress, which leads to the apex, stands one
//! that leads to the canary and says by annotations which share of the requests it takes.
//!
//! The user's Ingress is only read. What the canary's has of it follows it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::api::canary::Canary;
use crate::objects::metadata::{self, FLUX};
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic, apex};

mod shares;

pub static INGRESS: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "Ingress",
    plural: "ingresses",
};

/// Begins every annotation that makes an Ingress a canary's.
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
static QUERIES: BuiltInQueries = BuiltInQueries {
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
};

pub struct Nginx;

impl Router for Nginx {
    fn names(&self) -> &'static [&'static str] {
        &["nginx"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&INGRESS];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities {
            matches: true,
            ..Capabilities::WEIGHTS
        }
    }

    fn reads(&self, canary: &Canary, _: &Names) -> Vec<(Key, Role)> {
        let users = users_ingress(canary).map(|name| (Key::new(&INGRESS, name), Role::UsersOwn));
        let ours = ingresses(canary).map(|name| (Key::new(&INGRESS, name), Role::Owned));
        users.into_iter().chain(ours).collect()
    }

    fn weight_keys(&self, canary: &Canary, _: &Names) -> Vec<Key> {
        ingresses(canary)
            .map(|name| Key::new(&INGRESS, name))
            .collect()
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        let mut problems = shares::problems(canary);
        if named_now(canary).is_none() {
            let names = Names::of(canary);
            let why = format!(
                "provider \"nginx\" needs the Ingress that leads to Service {}",
                names.apex
            );
            problems.push(Problem::field("spec.ingressRef", why));
        }
        problems
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let live = ingresses(view.canary).filter_map(|name| view.object(&INGRESS, &name));
        let shares = live
            .map(|live| shares::shown(view, live).map_err(|why| of_ingress(view, live, &why)))
            .collect::<Result<Vec<_>, _>>()?;
        // The most where an Ingress of before is there too: its requests reach the canary as well.
        Ok(shares
            .into_iter()
            .reduce(Traffic::either)
            .map(|traffic| Seen {
                traffic,
                programmed: Ok(()),
            }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let Some(users) = users_ingress(view.canary) else {
            return Vec::new();
        };
        let now = of_canary(users);
        let rendered = ingresses(view.canary).filter_map(|name| {
            let object = if name == now {
                canarys(view, users, traffic)?
            } else {
                // That of an Ingress which the Canary named before takes nothing any more.
                let mut object = view.object(&INGRESS, &name)?.clone();
                let annotations = metadata::annotations(&object);
                metadata::set_annotations(
                    &mut object,
                    shares::set(view, annotations, Traffic::default()),
                );
                object
            };
            Some(Wanted {
                key: Key::new(&INGRESS, name),
                rank: Rank::Route,
                object,
            })
        });
        rendered.collect()
    }

    fn obstacles(&self, view: &View<'_>) -> Vec<Problem> {
        let Some(name) = users_ingress(view.canary) else {
            return Vec::new();
        };
        let Names {
            namespace, apex, ..
        } = view.names;
        let why = match view.object(&INGRESS, name) {
            None => "does not exist".to_owned(),
            Some(users) if leads_to_canary(view, users).is_none() => {
                format!("has no backend that is Service {apex}")
            }
            Some(users) if annotation(users, CANARY) == Some("true") => {
                "is itself a canary's, by its annotations".to_owned()
            }
            Some(_) => return Vec::new(),
        };
        let why = format!("Ingress {namespace}/{name} {why}");
        vec![Problem::field("spec.ingressRef", why)]
    }

    /// What the Ingress of the canary has of the user's, and whose it is.
    fn fields(&self, view: &View<'_>) -> Vec<String> {
        let mut fields = named(view);
        let before = before(view.canary).filter(|field| is_shown(view, field));
        fields.extend(before.map(str::to_owned));
        fields.sort();
        fields.dedup();
        fields
    }

    /// The controller takes one canary for a host and path, and does not say which.
    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        let Some(users) = users_ingress(view.canary).and_then(|it| view.object(&INGRESS, it))
        else {
            return false;
        };
        let name = other["metadata"]["name"].as_str().unwrap_or_default();
        other["kind"] == INGRESS.kind
            && other["metadata"]["namespace"] == *view.names.namespace
            && !ingresses(view.canary).any(|ours| ours == name)
            && users_ingress(view.canary) != Some(name)
            && annotation(other, CANARY) == Some("true")
            && !paths(users).is_disjoint(&paths(other))
    }

    fn named_by(&self) -> &'static str {
        "spec.ingressRef.name"
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

const INGRESS_REF: &str = "/ingressRef=";
const ANNOTATIONS: &str = "/annotations=";
const LABELS: &str = "/labels=";

/// The Ingress that leads to the apex: that which the Canary names, or did before it named none.
fn users_ingress(canary: &Canary) -> Option<&str> {
    named_now(canary).or_else(|| named_before(canary).next())
}

fn named_now(canary: &Canary) -> Option<&str> {
    let reference = canary.spec.ingress_ref.as_ref()?;
    Some(&*reference.name).filter(|name| !name.is_empty())
}

fn named_before(canary: &Canary) -> impl Iterator<Item = &str> {
    before(canary).filter_map(|field| field.strip_prefix(INGRESS_REF))
}

fn of_canary(users: &str) -> String {
    format!("{users}-canary")
}

/// The canary's Ingresses: that of the Ingress which the Canary names, and those of Ingresses which
/// it named before: they would go on as they are.
fn ingresses(canary: &Canary) -> impl Iterator<Item = String> {
    let now = users_ingress(canary);
    let earlier = named_before(canary).filter(move |name| now != Some(*name));
    now.into_iter().chain(earlier).map(of_canary)
}

/// What `status.named.route` has.
fn before(canary: &Canary) -> impl Iterator<Item = &str> {
    let named = canary.status.as_ref().and_then(|it| it.named.as_ref());
    named
        .into_iter()
        .flat_map(|it| &it.route)
        .map(String::as_str)
}

fn named(view: &View<'_>) -> Vec<String> {
    let Some(name) = users_ingress(view.canary) else {
        return Vec::new();
    };
    let mut named = vec![format!("{INGRESS_REF}{name}")];
    if let Some(users) = view.object(&INGRESS, name) {
        let annotations = annotations_of(users).into_iter();
        named.extend(annotations.map(|(key, _)| format!("{ANNOTATIONS}{key}")));
        let labels = metadata::copied(&metadata::labels(users)).into_iter();
        named.extend(labels.map(|(key, _)| format!("{LABELS}{key}")));
    }
    named
}

fn is_shown(view: &View<'_>, field: &str) -> bool {
    if let Some(name) = field.strip_prefix(INGRESS_REF) {
        return view.object(&INGRESS, &of_canary(name)).is_some();
    }
    let mut live = ingresses(view.canary).filter_map(|name| view.object(&INGRESS, &name));
    let (list, key) = match (field.strip_prefix(ANNOTATIONS), field.strip_prefix(LABELS)) {
        (Some(key), _) => ("annotations", key),
        (None, Some(key)) => ("labels", key),
        (None, None) => return false,
    };
    live.any(|live| live["metadata"][list].get(key).is_some())
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

fn of_ingress(view: &View<'_>, live: &Value, why: &str) -> Problem {
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    Problem(format!("Ingress {name}.{} {why}", view.names.namespace))
}

/// The Ingress of the canary with this traffic; `None` where it cannot be made, because there is
/// nothing to make it from.
fn canarys(view: &View<'_>, users: &str, traffic: Traffic) -> Option<Value> {
    let name = of_canary(users);
    let live = view.object(&INGRESS, &name);
    let users = view.object(&INGRESS, users);
    let spec = users.and_then(|users| leads_to_canary(view, users));
    let mut object = match (live, &spec) {
        (Some(live), _) => live.clone(),
        (None, Some(spec)) => apex::new_object(view, &INGRESS, &name, spec),
        (None, None) => return None,
    };
    if let (Some(spec), Some(fields)) = (spec, object.as_object_mut()) {
        fields.insert("spec".to_owned(), spec);
    }
    let mut annotations = metadata::annotations(&object);
    let mut labels = metadata::labels(&object);
    // What cannot be read now is no longer there only if it was taken away.
    if let Some(users) = users {
        let wanted = annotations_of(users);
        forget(view, &mut annotations, &wanted, ANNOTATIONS);
        annotations.extend(wanted);
        let wanted = metadata::copied(&metadata::labels(users));
        forget(view, &mut labels, &wanted, LABELS);
        labels.extend(wanted);
    }
    let flux = FLUX.map(|(key, value)| (key.to_owned(), json!(value)));
    annotations.extend(flux);
    metadata::set_annotations(&mut object, shares::set(view, annotations, traffic));
    metadata::set_labels(&mut object, labels);
    Some(object)
}

/// The annotations that the canary's Ingress has of the user's.
fn annotations_of(users: &Value) -> Map<String, Value> {
    let mut annotations = metadata::copied(&metadata::annotations(users));
    annotations.retain(|key, _| !key.starts_with(CANARY));
    annotations
}

/// Takes off what came from the user's Ingress and is there no more.
fn forget(
    view: &View<'_>,
    entries: &mut Map<String, Value>,
    wanted: &Map<String, Value>,
    list: &str,
) {
    for key in before(view.canary).filter_map(|field| field.strip_prefix(list)) {
        if !wanted.contains_key(key) {
            entries.remove(key);
        }
    }
}

/// The spec of the user's Ingress with the canary's Service in place of the apex; `None` where it
/// does not lead to the apex.
fn leads_to_canary(view: &View<'_>, users: &Value) -> Option<Value> {
    let mut spec = users["spec"].clone();
    let mut is_found = false;
    let mut rename = |backend: Option<&mut Value>| {
        let name = backend.and_then(|backend| backend.pointer_mut("/service/name"));
        if let Some(name) = name
            && *name == *view.names.apex
        {
            *name = json!(view.names.apex_canary);
            is_found = true;
        }
    };
    rename(spec.get_mut("defaultBackend"));
    let rules = spec.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let paths = rule.pointer_mut("/http/paths");
        for path in paths.and_then(Value::as_array_mut).into_iter().flatten() {
            rename(path.get_mut("backend"));
        }
    }
    is_found.then_some(spec)
}

/// The hosts and paths of an Ingress.
fn paths(ingress: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
    rules
        .flat_map(|rule| {
            let paths = rule["http"]["paths"].as_array().into_iter().flatten();
            paths.map(move |path| (text(&rule["host"]), text(&path["path"])))
        })
        .collect()
}
