//! The kinds that are served: the built-in ones, and those that CRDs bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::answer::Refusal;
use super::builtin::BUILTIN;
use super::object::{self, Key, list, text};
use super::request::Request;
use super::schema::Schema;

mod unknown;

pub(super) const CRD_GROUP: &str = "apiextensions.k8s.io";
pub(super) const CRD_KIND: &str = "CustomResourceDefinition";

/// One kind in all its versions.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "that is what Kubernetes calls its name"
)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) short_names: Vec<String>,
    pub(super) namespaced: bool,
    pub(super) versions: Vec<Version>,
    /// The version in which objects are stored.
    pub(super) storage: String,
    pub(super) custom: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) schema: Option<Arc<Schema>>,
    pub(super) has_status: bool,
    pub(super) scale: Option<Scale>,
}

/// Where `/scale` finds its numbers, as JSON pointers.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) spec: String,
    pub(super) status: String,
    pub(super) selector: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    Scale,
}

/// What a path points at.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: Arc<Kind>,
    version: usize,
    pub(super) namespace: String,
    /// Empty for a collection.
    pub(super) name: String,
    pub(super) part: Part,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    by_plural: BTreeMap<(String, String), Arc<Kind>>,
}

impl Kind {
    /// As refusals name it: `deployments.apps`.
    pub(super) fn resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    pub(super) fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(super) fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(&self.group, &self.kind, namespace, name)
    }

    pub(super) fn stored_version(&self) -> String {
        object::api_version(&self.group, &self.storage)
    }

    /// Whether it says which fields it has.
    fn has_schema(&self) -> bool {
        let described =
            |version: &Version| version.schema.as_ref().is_some_and(|it| it.is_described());
        self.versions.iter().any(described)
    }

    pub(super) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
}

impl Place {
    pub(super) fn version(&self) -> &Version {
        &self.kind.versions[self.version]
    }

    pub(super) fn api_version(&self) -> String {
        object::api_version(&self.kind.group, &self.version().name)
    }

    pub(super) fn key(&self) -> Key {
        self.kind.key(&self.namespace, &self.name)
    }
}

impl Kinds {
    pub(super) fn builtin() -> Self {
        let mut kinds = Self::default();
        for row in BUILTIN {
            kinds.insert(row.kind());
        }
        kinds
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.by_plural.values()
    }

    /// The kind of this object, and the place of the version that its key was made from.
    pub(super) fn of(&self, key: &Key) -> Result<(Arc<Kind>, Place), Refusal> {
        let kind = self
            .find(&key.group, &key.kind)
            .ok_or_else(Refusal::no_page)?;
        let version = kind
            .versions
            .iter()
            .position(|version| version.name == kind.storage)
            .unwrap_or(0);
        let place = Place {
            kind: kind.clone(),
            version,
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            part: Part::Main,
        };
        Ok((kind, place))
    }

    pub(super) fn find(&self, group: &str, kind: &str) -> Option<Arc<Kind>> {
        self.iter()
            .find(|candidate| candidate.is(group, kind))
            .cloned()
    }

    /// Whether a client that asks for this version gets an answer.
    pub(super) fn serves(&self, api_version: &str, kind: &str) -> bool {
        let (group, version) = object::group_and_version(api_version);
        self.find(group, kind)
            .is_some_and(|kind| kind.version(version).is_some())
    }

    /// The place of an object by its own `apiVersion` and `kind`.
    pub(super) fn place_of(&self, object: &Value) -> Result<Place, Refusal> {
        let (group, version) = object::group_and_version(text(object, "/apiVersion"));
        let kind = self
            .find(group, text(object, "/kind"))
            .ok_or_else(Refusal::no_page)?;
        let version = kind.versions.iter().position(|known| known.name == version);
        let namespace = match text(object, "/metadata/namespace") {
            _ if !kind.namespaced => "",
            "" => "default",
            namespace => namespace,
        };
        Ok(Place {
            namespace: namespace.to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            version: version.ok_or_else(Refusal::no_page)?,
            part: Part::Main,
            kind,
        })
    }

    /// The place that a path points at.
    pub(super) fn place(&self, request: &Request) -> Result<Place, Refusal> {
        let parts: Vec<_> = request.path.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_page()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, part, rest @ ..]
                if !matches!(*part, "status" | "finalize") =>
            {
                (Some(*namespace), [&[*part], rest].concat())
            }
            rest => (None, rest.to_vec()),
        };
        let missing = || self.missing(group);
        let (plural, name, part) = match rest.as_slice() {
            [plural] => (*plural, "", None),
            [plural, name] => (*plural, *name, None),
            [plural, name, part] => (*plural, *name, Some(*part)),
            _ => return Err(missing()),
        };
        let kind = self
            .by_plural
            .get(&(group.to_owned(), plural.to_owned()))
            .ok_or_else(missing)?
            .clone();
        let version = kind
            .versions
            .iter()
            .position(|known| known.name == version)
            .ok_or_else(missing)?;
        // A list without a namespace is over all of them; anything else of a namespaced kind needs
        // one.
        if namespace.is_some() != kind.namespaced && !(namespace.is_none() && name.is_empty()) {
            return Err(missing());
        }
        let served = &kind.versions[version];
        let part = match part {
            None => Part::Main,
            Some("status") if served.has_status => Part::Status,
            Some("scale") if served.scale.is_some() => Part::Scale,
            Some(_) if kind.custom => return Err(kind.not_found(name)),
            Some(_) => return Err(Refusal::no_resource()),
        };
        let (namespace, name) = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        Ok(Place {
            kind,
            version,
            namespace,
            name,
            part,
        })
    }

    fn missing(&self, group: &str) -> Refusal {
        // The groups that the API server itself serves answer with a Status, all others with a bare
        // page.
        if self.iter().any(|kind| kind.group == group && !kind.custom) {
            Refusal::no_resource()
        } else {
            Refusal::no_page()
        }
    }

    /// Serves the kind of a CRD, in place of what an older CRD of this name brought.
    pub(super) fn register(&mut self, crd: &Value) {
        let versions = list(crd, "/spec/versions");
        let storage = versions.iter().find(|version| version["storage"] == true);
        let names = &crd["spec"]["names"];
        let kind = text(names, "/kind");
        let singular = match text(names, "/singular") {
            "" => kind.to_lowercase(),
            singular => singular.to_owned(),
        };
        self.insert(Kind {
            group: text(crd, "/spec/group").to_owned(),
            kind: kind.to_owned(),
            plural: text(names, "/plural").to_owned(),
            singular,
            short_names: list(names, "/shortNames")
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            namespaced: text(crd, "/spec/scope") == "Namespaced",
            versions: versions
                .iter()
                .filter(|version| version["served"] != false)
                .map(crd_version)
                .collect(),
            storage: storage
                .map(|version| text(version, "/name").to_owned())
                .unwrap_or_default(),
            custom: true,
        });
    }

    pub(super) fn unregister(&mut self, crd: &Value) {
        let (group, plural) = (text(crd, "/spec/group"), text(crd, "/spec/names/plural"));
        self.by_plural
            .remove(&(group.to_owned(), plural.to_owned()));
    }

    fn insert(&mut self, kind: Kind) {
        self.by_plural
            .insert((kind.group.clone(), kind.plural.clone()), Arc::new(kind));
    }
}

fn crd_version(version: &Value) -> Version {
    let pointer = |path: &str| path.replace('.', "/");
    let scale = version.pointer("/subresources/scale").map(|scale| Scale {
        spec: pointer(text(scale, "/specReplicasPath")),
        status: pointer(text(scale, "/statusReplicasPath")),
        selector: pointer(text(scale, "/labelSelectorPath")),
    });
    Version {
        name: text(version, "/name").to_owned(),
        schema: version
            .pointer("/schema/openAPIV3Schema")
            .map(|schema| Arc::new(Schema::of(schema))),
        has_status: version.pointer("/subresources/status").is_some(),
        scale,
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}
