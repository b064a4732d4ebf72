//! Reads: one object, its scale, or a list of one moment. Always the newest state, as a read
//! without a resourceVersion is.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::Cluster;
use super::answer::{Answer, Refusal};
use super::kinds::{Kind, Part, Place};
use super::object::{Key, map, text};
use super::request::Request;

pub(super) mod discovery;
mod selector;

/// How long the API server keeps old revisions, at the least.
const KEPT: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn answer(
    cluster: &Cluster,
    place: &Place,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    if place.name.is_empty() {
        return list(cluster, place, request, now);
    }
    let object = object(cluster, place)?;
    Ok(match place.part {
        Part::Scale => {
            has_replicas(place, &object)?;
            Answer::ok(&scale(place, &object)?)
        }
        Part::Main | Part::Status if request.wants_metadata() => {
            Answer::ok(&Item::Metadata(&object))
        }
        Part::Main | Part::Status => Answer::ok(object.as_ref()),
    })
}

/// The object at this place, in the version of the place.
pub(super) fn object(cluster: &Cluster, place: &Place) -> Result<Arc<Value>, Refusal> {
    let object = cluster.objects.get(&place.key());
    object
        .map(|object| served(place, object))
        .ok_or_else(|| place.kind.not_found(&place.name))
}

/// A stored object in the version of the place: the same fields under another name, as far as that
/// version has them.
pub(super) fn served(place: &Place, object: &Arc<Value>) -> Arc<Value> {
    let version = place.api_version();
    if text(object, "/apiVersion") == version {
        return object.clone();
    }
    let mut object = object.as_ref().clone();
    object["apiVersion"] = json!(version);
    if let Some(schema) = &place.version().schema {
        schema.fill(&mut object);
        schema.prune(&mut object);
    }
    Arc::new(object)
}

/// A custom resource without the number has no `Scale` to show, though one can be written.
fn has_replicas(place: &Place, object: &Value) -> Result<(), Refusal> {
    match &place.version().scale {
        Some(paths) if place.kind.custom && object.pointer(&paths.spec).is_none() => {
            let path = paths.spec.replace('/', ".");
            let why = format!("the spec replicas field \"{path}\" does not exist");
            Err(Refusal::internal_error(&why))
        }
        _ => Ok(()),
    }
}

/// The `Scale` of an object that can be scaled.
pub(super) fn scale(place: &Place, object: &Value) -> Result<Value, Refusal> {
    let paths = place
        .version()
        .scale
        .as_ref()
        .ok_or_else(Refusal::no_resource)?;
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let count = |path: &str| object.pointer(path).cloned().unwrap_or(json!(0));
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": count(&paths.spec)},
        "status": {"replicas": count(&paths.status)},
    });
    let selector = match paths.selector.as_str() {
        "" => selector::text_of(&object["spec"]["selector"]),
        path => text(object, path).to_owned(),
    };
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    Ok(scale)
}

fn list(
    cluster: &Cluster,
    place: &Place,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    if !request.parameter("watch").is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    let (revision, after) = match request.parameter("continue") {
        "" => (cluster.revision, None),
        token => read_token(cluster, token, now)?,
    };
    let selected = selected(cluster, place, request, revision)?;
    let mut rest = selected.into_iter().skip_while(|(key, _)| {
        after.as_ref().is_some_and(|(namespace, name)| {
            (&*key.namespace, &*key.name) <= (namespace.as_str(), name.as_str())
        })
    });
    let limit = limit(request)?;
    let page: Vec<_> = match limit {
        0 => rest.by_ref().collect(),
        limit => rest.by_ref().take(limit).collect(),
    };
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    let remaining = rest.count();
    let last = page.last().map(|(key, _)| key.clone());
    if let (Some(last), true) = (last, remaining > 0) {
        metadata["continue"] = json!(token(revision, &last));
        let filtered = !request.parameter("labelSelector").is_empty()
            || !request.parameter("fieldSelector").is_empty();
        if !filtered {
            metadata["remainingItemCount"] = json!(remaining);
        }
    } else if place.kind.custom && !request.wants_metadata() {
        metadata["continue"] = json!("");
    }
    Ok(listed(place, &page, metadata, request.wants_metadata()))
}

/// A list of these objects.
pub(super) fn listed(
    place: &Place,
    page: &[(Key, Arc<Value>)],
    metadata: Value,
    as_metadata: bool,
) -> Answer {
    let objects: Vec<_> = page
        .iter()
        .map(|(_, object)| served(place, object))
        .collect();
    let items = objects.iter().map(|object| match as_metadata {
        true => Item::Metadata(object),
        false if place.kind.custom => Item::Whole(object),
        false => Item::Bare(object),
    });
    let (api_version, kind) = if as_metadata {
        ("meta.k8s.io/v1".into(), "PartialObjectMetadataList".into())
    } else {
        (place.api_version(), format!("{}List", place.kind.kind))
    };
    Answer::ok(&List {
        api_version,
        kind,
        metadata,
        items: items.collect(),
    })
}

/// How many items a page may have; none asked for, or zero, is all of them.
fn limit(request: &Request) -> Result<usize, Refusal> {
    match request.parameter("limit") {
        "" => Ok(0),
        // Any state will do, so the cache answers, and it does not page.
        _ if request.parameter("resourceVersion") == "0" => Ok(0),
        limit => limit.parse().map_err(|_| {
            Refusal::bad_request(format!(
                "strconv.ParseInt: parsing {limit:?}: invalid syntax"
            ))
        }),
    }
}

/// The objects of a list at a revision, in order.
pub(super) fn selected(
    cluster: &Cluster,
    place: &Place,
    request: &Request,
    revision: u64,
) -> Result<Vec<(Key, Arc<Value>)>, Refusal> {
    let labels = selector::labels(request.parameter("labelSelector"))?;
    let fields = selector::fields(&place.kind, request.parameter("fieldSelector"))?;
    let chosen = |object: &Value| labels.matches(object) && fields.matches(object);
    let everywhere = place.namespace.is_empty();
    let (group, kind) = (&*place.kind.group, &*place.kind.kind);
    let pairs = |(key, object): (&Key, &Arc<Value>)| (key.clone(), object.clone());
    let mut objects: Vec<_> = if revision < cluster.revision {
        let mut objects = at(cluster, &place.kind, revision);
        objects.retain(|key, _| everywhere || *key.namespace == *place.namespace);
        objects.into_iter().collect()
    } else if everywhere {
        cluster.objects.of(group, kind).map(pairs).collect()
    } else {
        cluster
            .objects
            .within(group, kind, &place.namespace)
            .map(pairs)
            .collect()
    };
    objects.retain(|(_, object)| chosen(object));
    Ok(objects)
}

/// The objects of a kind as they were: today's, with every later write taken back.
fn at(cluster: &Cluster, kind: &Kind, revision: u64) -> BTreeMap<Key, Arc<Value>> {
    let mut objects: BTreeMap<_, _> = cluster
        .objects
        .of(&kind.group, &kind.kind)
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    for write in cluster
        .history
        .backwards()
        .take_while(|write| write.number > revision)
    {
        if !kind.is(&write.key.group, &write.key.kind) {
            continue;
        }
        match &write.before {
            Some(before) => objects.insert(write.key.clone(), before.clone()),
            None => objects.remove(&write.key),
        };
    }
    objects
}

fn token(revision: u64, last: &Key) -> String {
    format!("{revision}.{}.{}", last.namespace, last.name)
}

/// The revision and the last object of a token. A token with revision 0 goes on in the state of
/// today.
fn read_token(
    cluster: &Cluster,
    token: &str,
    now: Timestamp,
) -> Result<(u64, Option<(String, String)>), Refusal> {
    let refused = || Refusal::bad_request("invalid continue token: continue key is not valid");
    let mut parts = token.splitn(3, '.');
    let revision: u64 = parts
        .next()
        .and_then(|part| part.parse().ok())
        .ok_or_else(refused)?;
    let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else {
        return Err(refused());
    };
    let after = Some((namespace.to_owned(), name.to_owned()));
    if revision == 0 {
        return Ok((cluster.revision, after));
    }
    let next = cluster
        .history
        .backwards()
        .take_while(|write| write.number > revision)
        .last();
    let forgotten = next.is_some_and(|next| now.duration_since(next.at) >= KEPT);
    if revision < cluster.compacted || forgotten {
        return Err(Refusal::expired(&format!("0.{namespace}.{name}")));
    }
    Ok((revision, after))
}

struct List<'a> {
    api_version: String,
    kind: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(4))?;
        fields.serialize_entry("kind", &self.kind)?;
        fields.serialize_entry("apiVersion", &self.api_version)?;
        fields.serialize_entry("metadata", &self.metadata)?;
        fields.serialize_entry("items", &self.items)?;
        fields.end()
    }
}

/// An object as a list shows it, without a copy of it.
enum Item<'a> {
    Whole(&'a Value),
    /// Built-in kinds do not repeat `apiVersion` and `kind` for each item.
    Bare(&'a Value),
    Metadata(&'a Value),
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(object) => object.serialize(serializer),
            Self::Bare(object) => serializer.collect_map(
                object
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")),
            ),
            Self::Metadata(object) => {
                let mut fields = serializer.serialize_map(Some(3))?;
                fields.serialize_entry("kind", "PartialObjectMetadata")?;
                fields.serialize_entry("apiVersion", "meta.k8s.io/v1")?;
                fields.serialize_entry("metadata", &object["metadata"])?;
                fields.end()
            }
        }
    }
}

/// Sets the number of replicas where the kind keeps it.
pub(super) fn set_replicas(object: &mut Value, path: &str, replicas: Value) {
    let mut at = object;
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            map(at).insert(part.to_owned(), replicas);
            return;
        }
        at = map(at).entry(part).or_insert_with(|| json!({}));
    }
}
