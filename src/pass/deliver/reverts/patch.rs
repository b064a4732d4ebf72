//! Putting images back in a file of manifests: as little as possible of its text is changed, so
//! that comments, order and style stay those of its authors.
//!
//! What is to change is found in what the YAML means, and done in its lines. A document whose lines
//! cannot be brought to mean just that is left alone.

use std::path::Path;

use serde_yaml::Value;

use crate::api::record::{ImageChange, Revert};

/// Whether a file of this path may hold manifests.
pub(super) fn is_manifest(path: &str) -> bool {
    let extension = Path::new(path).extension();
    extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The file with the images of the revert put back; `None` where it does not name them.
pub(super) fn reverted(path: &str, text: &str, revert: &Revert) -> Option<String> {
    if !is_manifest(path) {
        return None;
    }
    let name = Path::new(path).file_name()?.to_str()?;
    let mut is_changed = false;
    let mut edited = String::with_capacity(text.len());
    for document in documents(text) {
        match edit(name, document, revert) {
            Some(document) => {
                edited.push_str(&document);
                is_changed = true;
            }
            None => edited.push_str(document),
        }
    }
    is_changed.then_some(edited)
}

/// The documents of a file, each with the line that begins it.
fn documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push(&text[from..at]);
            from = at;
        }
        at += line.len();
    }
    documents.push(&text[from..]);
    documents
}

fn edit(name: &str, document: &str, revert: &Revert) -> Option<String> {
    let before: Value = serde_yaml::from_str(document).ok()?;
    let mut wanted = before.clone();
    for image in &revert.images {
        put_back(name, &mut wanted, revert, image);
    }
    let mut left = differences(&before, &wanted);
    if left == 0 {
        return None;
    }
    let mut lines: Vec<String> = document.split_inclusive('\n').map(str::to_owned).collect();
    for index in 0..lines.len() {
        for line in candidates(&lines[index], revert) {
            let old = std::mem::replace(&mut lines[index], line);
            let now = serde_yaml::from_str(&lines.concat());
            match now.map(|now: Value| differences(&now, &wanted)) {
                Ok(fewer) if fewer < left => left = fewer,
                _ => lines[index] = old,
            }
        }
    }
    (left == 0).then(|| lines.concat())
}

/// Puts an image back wherever a document asks for it: in the workload itself, in the images of a
/// Kustomization, and in values of a chart that name repository and tag.
fn put_back(name: &str, document: &mut Value, revert: &Revert, image: &ImageChange) {
    if is_workload(document, revert) {
        let template = document
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("template"));
        if let Some(pod) = template.and_then(|template| template.get_mut("spec")) {
            for list in ["initContainers", "containers"] {
                for container in items(pod, list) {
                    exchange(container, "image", Some(&image.from), Some(&image.to));
                }
            }
        }
        return;
    }
    if is_of_another_namespace(document, revert) {
        return;
    }
    let (from, to) = (Parts::of(&image.from), Parts::of(&image.to));
    if from.repository != to.repository {
        return;
    }
    if is_kustomization(name, document) {
        for entry in items(document, "images") {
            let repository = entry.get("newName").or(entry.get("name"));
            if repository.and_then(Value::as_str) == Some(from.repository) {
                exchange(entry, "newTag", from.tag, to.tag);
                exchange(entry, "digest", from.digest, to.digest);
            }
        }
        return;
    }
    in_values(document, &from, &to);
}

fn is_workload(document: &Value, revert: &Revert) -> bool {
    let metadata = document.get("metadata");
    let text = |field: &str| metadata.and_then(|metadata| metadata.get(field)?.as_str());
    document.get("kind").and_then(Value::as_str) == Some(&revert.kind)
        && text("name") == Some(&revert.name)
        && text("namespace").is_none_or(|namespace| namespace == revert.namespace)
}

/// Whether a document says that what it makes is of another namespace: a Kustomization by its
/// `namespace`, a Helm or Flux release by its own or its `targetNamespace`.
fn is_of_another_namespace(document: &Value, revert: &Revert) -> bool {
    let at = |path: &[&str]| {
        let value = path
            .iter()
            .try_fold(document, |value, field| value.get(field));
        value.and_then(Value::as_str)
    };
    let said = at(&["namespace"])
        .or_else(|| at(&["spec", "targetNamespace"]))
        .or_else(|| at(&["metadata", "namespace"]));
    said.is_some_and(|namespace| namespace != revert.namespace)
}

fn is_kustomization(name: &str, document: &Value) -> bool {
    match document.get("kind").and_then(Value::as_str) {
        Some(kind) => matches!(kind, "Kustomization" | "Component"),
        None => name.starts_with("kustomization."),
    }
}

/// The values of a chart, wherever they are.
fn in_values(value: &mut Value, from: &Parts<'_>, to: &Parts<'_>) {
    let text = |value: &Value, field: &str| value.get(field)?.as_str().map(str::to_owned);
    match value {
        Value::Mapping(_) => {
            let repository = text(value, "repository").map(|repository| {
                let registry = text(value, "registry").filter(|registry| !registry.is_empty());
                registry.map_or(repository.clone(), |registry| {
                    format!("{registry}/{repository}")
                })
            });
            if repository.as_deref() == Some(from.repository) {
                exchange(value, "tag", from.tag, to.tag);
                exchange(value, "digest", from.digest, to.digest);
            }
            if let Value::Mapping(fields) = value {
                fields
                    .values_mut()
                    .for_each(|field| in_values(field, from, to));
            }
        }
        Value::Sequence(list) => list.iter_mut().for_each(|item| in_values(item, from, to)),
        _ => {}
    }
}

fn items<'a>(value: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = value.get_mut(field).and_then(Value::as_sequence_mut);
    list.into_iter().flatten()
}

fn exchange(value: &mut Value, field: &str, from: Option<&str>, to: Option<&str>) {
    if let (Some(from), Some(to)) = (from, to)
        && value.get(field).is_some_and(|now| *now == *from)
    {
        value[field] = Value::from(to);
    }
}

/// An image's name in parts.
struct Parts<'a> {
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(image: &'a str) -> Self {
        let (named, digest) = match image.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (image, None),
        };
        // A registry may have a port; a tag has no slash.
        let tagged = named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let (repository, tag) = tagged.map_or((named, None), |(name, tag)| (name, Some(tag)));
        Self {
            repository,
            tag,
            digest,
        }
    }
}

/// In how many places two documents differ.
fn differences(a: &Value, b: &Value) -> usize {
    match (a, b) {
        (Value::Mapping(a), Value::Mapping(b)) if a.len() == b.len() => a
            .iter()
            .map(|(key, value)| b.get(key).map_or(1, |other| differences(value, other)))
            .sum(),
        (Value::Sequence(a), Value::Sequence(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| differences(a, b)).sum()
        }
        (a, b) => usize::from(a != b),
    }
}

/// What may become of a line that holds one of the texts to be replaced.
fn candidates(line: &str, revert: &Revert) -> Vec<String> {
    let mut candidates = Vec::new();
    let mut replace = |key: &str, from: &str, to: &str| {
        let Some((head, value)) = line.split_once(':') else {
            return;
        };
        let is_key = head.trim_start().trim_start_matches("- ").trim() == key;
        let bare = value.trim_start().trim_start_matches(['"', '\'']);
        if is_key && bare.starts_with(from) {
            let rest = &bare[from.len()..];
            let quoted = &value[..value.len() - bare.len()];
            candidates.push(format!("{head}:{quoted}{to}{rest}"));
            // A tag such as 1.20 is a number without quotes.
            candidates.push(format!("{head}:{quoted}\"{to}\"{rest}"));
        }
    };
    for ImageChange { from, to } in &revert.images {
        replace("image", from, to);
        let (from, to) = (Parts::of(from), Parts::of(to));
        if let (Some(from), Some(to)) = (from.tag, to.tag) {
            replace("newTag", from, to);
            replace("tag", from, to);
        }
        if let (Some(from), Some(to)) = (from.digest, to.digest) {
            replace("digest", from, to);
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revert() -> Revert {
        serde_json::from_value(serde_json::json!({
            "cluster": "default", "namespace": "test", "canary": "podinfo", "uid": "1", "step": 7,
            "time": "2026-01-01T00:00:00Z", "reason": "", "kind": "Deployment", "name": "podinfo",
            "images": [{ "from": "example.com:5000/podinfo:1.20", "to": "example.com:5000/podinfo:1.10" }],
        }))
        .expect("a revert")
    }

    fn of(path: &str, text: &str) -> Option<String> {
        reverted(path, text, &revert())
    }

    #[test]
    fn only_the_image_of_the_workload_is_another() {
        let text = "# The application.\nkind: Deployment\nmetadata: {name: podinfo}\nspec:\n  template:\n    spec:\n      containers:\n      - image: example.com:5000/podinfo:1.20 # image: example.com:5000/podinfo:1.20\n        name: a\n      - name: b\n        image: 'example.com:5000/podinfo:1.20'\n---\nkind: Deployment\nmetadata: {name: worker}\nspec:\n  template:\n    spec:\n      containers:\n      - image: example.com:5000/podinfo:1.20\n";
        let wanted = text.replacen("podinfo:1.20", "podinfo:1.10", 1).replace(
            "'example.com:5000/podinfo:1.20'",
            "'example.com:5000/podinfo:1.10'",
        );
        assert_eq!(of("apps/podinfo.yaml", text), Some(wanted));
        assert_eq!(of("apps/podinfo.txt", text), None);
        let elsewhere = text.replace("name: podinfo", "name: podinfo, namespace: staging");
        assert_eq!(of("apps/podinfo.yaml", &elsewhere), None);
    }

    #[test]
    fn manifests_of_another_namespace_are_left_alone() {
        let images = "images:\n- name: example.com:5000/podinfo\n  newTag: \"1.20\"\n";
        let values = "kind: HelmRelease\nspec:\n  values:\n    image:\n      \
                      repository: example.com:5000/podinfo\n      tag: '1.20'\n";
        for (path, own, other) in [
            (
                "kustomization.yaml",
                format!("namespace: test\n{images}"),
                format!("namespace: staging\n{images}"),
            ),
            (
                "release.yaml",
                format!("metadata: {{namespace: test}}\n{values}"),
                format!("metadata: {{namespace: staging}}\n{values}"),
            ),
            (
                "release.yaml",
                format!("metadata: {{namespace: flux}}\n{values}  targetNamespace: test\n"),
                format!("metadata: {{namespace: test}}\n{values}  targetNamespace: staging\n"),
            ),
        ] {
            assert_eq!(of(path, &own), Some(own.replace("1.20", "1.10")), "{own}");
            assert_eq!(of(path, &other), None, "{other}");
        }
    }

    #[test]
    fn a_tag_stays_a_text() {
        let kustomization = "images:\n- name: example.com:5000/podinfo\n  newTag: \"1.20\"\n- name: worker\n  newTag: \"1.20\"\n";
        let wanted = kustomization.replacen("1.20", "1.10", 1);
        assert_eq!(of("kustomization.yaml", kustomization), Some(wanted));
        let values = "kind: HelmRelease\nspec:\n  values:\n    image:\n      registry: example.com:5000\n      repository: podinfo\n      tag: !!str 1.20\n";
        assert_eq!(
            of("release.yaml", values),
            None,
            "a line that is not understood"
        );
        let values = values.replace("!!str 1.20", "'1.20'   # ours");
        assert_eq!(
            of("release.yaml", &values),
            Some(values.replace("'1.20'", "'1.10'"))
        );
    }

    #[test]
    fn what_is_shaped_otherwise_is_left_alone() {
        for spec in [
            "",
            "spec: podinfo\n",
            "spec: {template: [1]}\n",
            "spec: {replicas: 2}\n",
        ] {
            let text = format!("kind: Deployment\nmetadata: {{name: podinfo}}\n{spec}");
            assert_eq!(of("podinfo.yaml", &text), None, "{spec}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_left_alone() {
        assert_eq!(of("chart.yaml", "image: {{ .Values.image }}\n"), None);
        assert_eq!(
            of(
                "chart.yaml",
                "images: [{name: example.com:5000/podinfo, newTag: '1.20'}]\n"
            ),
            None
        );
    }
}
