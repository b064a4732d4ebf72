//! KEDA's `ScaledObjects`: the primary gets a copy of the target's whose queries ask for the
//! primary. The target's own would start pods of a target that is at zero, and so it is paused
//! meanwhile.

use serde_json::{Value, json};

use crate::api::canary::AutoscalerReference;
use crate::objects::metadata::{self, Ownership};
use crate::objects::{Key, Kind, Names, Problem, Rank, View, Wanted, owner_reference};
use crate::workloads::Autoscaler;

static SCALED_OBJECT: Kind = Kind {
    group: "keda.sh",
    version: "v1alpha1",
    kind: "ScaledObject",
    plural: "scaledobjects",
};

/// With this annotation KEDA keeps the target at so many replicas, whatever its triggers say.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

/// Annotations that stop KEDA in one way or another begin so.
const PAUSES: &str = "autoscaling.keda.sh/paused";

/// KEDA itself puts it on each object, with the object's own name.
const OWN_NAME: &str = "scaledobject.keda.sh/name";

/// Where KEDA has an object that names no most.
const MOST: i64 = 100;

#[derive(Debug)]
pub struct ScaledObject;

impl Autoscaler for ScaledObject {
    fn kind(&self) -> &'static Kind {
        &SCALED_OBJECT
    }

    fn keys(&self, _names: &Names, reference: &str) -> Vec<Key> {
        vec![users_key(reference), primary_key(reference)]
    }

    /// KEDA allows none; a side that is to have traffic needs one.
    fn min_replicas(&self, autoscaler: &Value) -> i64 {
        autoscaler["spec"]["minReplicaCount"]
            .as_i64()
            .unwrap_or(0)
            .max(1)
    }

    fn most(&self, view: &View<'_>) -> Option<i64> {
        let reference = view.canary.spec.autoscaler_ref.as_ref()?;
        let bounds = reference.primary_scaler_replicas.as_ref();
        let own = view.object(self.kind(), &reference.name);
        bounds
            .and_then(|bounds| bounds.max_replicas)
            .or_else(|| own.map(most))
    }

    fn raised(&self, mut autoscaler: Value, least: i64) -> Value {
        let least = least.min(most(&autoscaler));
        if least > self.min_replicas(&autoscaler) {
            autoscaler["spec"]["minReplicaCount"] = json!(least);
        }
        autoscaler
    }

    fn render(&self, view: &View<'_>) -> Result<Vec<Wanted>, Problem> {
        let Some(reference) = &view.canary.spec.autoscaler_ref else {
            return Ok(Vec::new());
        };
        let users = view.object(self.kind(), &reference.name).ok_or_else(|| {
            let key = users_key(&reference.name);
            Problem::field("spec.autoscalerRef", format!("{key} does not exist"))
        })?;
        if metadata::ownership(users, view.names) == Ownership::Anothers {
            let key = users_key(&reference.name);
            return Err(metadata::controlled_by_another(&key, users));
        }
        let key = primary_key(&reference.name);
        let mut object = match view.object(key.kind, &key.name) {
            Some(live) => {
                metadata::must_be_ours(&key, live, view.names)?;
                live.clone()
            }
            None => json!({
                "apiVersion": key.kind.api_version(),
                "kind": key.kind.kind,
                "metadata": {
                    "name": key.name,
                    "namespace": view.names.namespace,
                    "ownerReferences": [owner_reference(view.names)],
                },
            }),
        };
        // Added, never taken away: others may have put theirs on the copy.
        let mut labels = metadata::copied(&metadata::labels(users));
        labels.remove(OWN_NAME);
        let mut all = metadata::labels(&object);
        all.extend(labels);
        metadata::set_labels(&mut object, all);
        // The pause is the target's alone: a primary with it would have no pods.
        let mut annotations = metadata::copied(&metadata::annotations(users));
        annotations.retain(|key, _| !key.starts_with(PAUSES));
        let mut all = metadata::annotations(&object);
        all.extend(annotations);
        metadata::set_annotations(&mut object, all);
        object["spec"] = primary_spec(view, reference, &users["spec"]);
        Ok(vec![Wanted {
            key,
            rank: Rank::Scaler,
            object,
        }])
    }

    fn hold(&self, view: &View<'_>, is_held: bool) -> Option<Wanted> {
        let reference = view.canary.spec.autoscaler_ref.as_ref()?;
        let users = view.object(self.kind(), &reference.name)?;
        // What another controller makes is not ours to pause; `render` says so.
        if metadata::ownership(users, view.names) == Ownership::Anothers {
            return None;
        }
        let mut object = users.clone();
        let mut annotations = metadata::annotations(users);
        if is_held {
            annotations.insert(PAUSED.to_owned(), json!("0"));
        } else if self.is_held(users) {
            annotations.remove(PAUSED);
        }
        metadata::set_annotations(&mut object, annotations);
        Some(Wanted {
            key: users_key(&reference.name),
            rank: Rank::Scaler,
            object,
        })
    }

    fn is_held(&self, autoscaler: &Value) -> bool {
        autoscaler["metadata"]["annotations"][PAUSED] == "0"
    }
}

fn users_key(reference: &str) -> Key {
    Key::new(&SCALED_OBJECT, reference)
}

fn primary_key(reference: &str) -> Key {
    Key::new(&SCALED_OBJECT, format!("{reference}-primary"))
}

fn most(autoscaler: &Value) -> i64 {
    let most = autoscaler["spec"]["maxReplicaCount"].as_i64();
    most.unwrap_or(MOST)
}

/// What the user's object says, of the primary.
fn primary_spec(view: &View<'_>, reference: &AutoscalerReference, users: &Value) -> Value {
    let mut spec = users.clone();
    spec["scaleTargetRef"]["name"] = json!(view.names.primary);
    // Flagger writes it even where the user's object has none.
    let scaler = &mut spec["advanced"]["horizontalPodAutoscalerConfig"];
    if scaler.is_null() {
        *scaler = json!({});
    }
    // Two scalers of one name would be one.
    if let Some(name) = scaler["name"].as_str().filter(|name| !name.is_empty()) {
        scaler["name"] = json!(format!("{name}-primary"));
    }
    if let Some(bounds) = &reference.primary_scaler_replicas {
        for (field, bound) in [
            ("minReplicaCount", bounds.min_replicas),
            ("maxReplicaCount", bounds.max_replicas),
        ] {
            if let Some(bound) = bound {
                spec[field] = json!(bound);
            }
        }
    }
    for trigger in spec["triggers"].as_array_mut().into_iter().flatten() {
        let Some(query) = trigger["metadata"]["query"].as_str() else {
            continue;
        };
        let of_primary = if reference.primary_scaler_queries.is_empty() {
            asking_for_primary(query, &view.names.target)
        } else {
            let name = trigger["name"].as_str().unwrap_or_default();
            let given = reference.primary_scaler_queries.get(name);
            given.map_or(query, String::as_str).to_owned()
        };
        trigger["metadata"]["query"] = json!(of_primary);
    }
    spec
}

/// The query with the primary's name wherever it has the target's or the canary's. As a part of a
/// longer word, like the name of a metric, it is another name.
fn asking_for_primary(query: &str, target: &str) -> String {
    if target.is_empty() {
        return query.to_owned();
    }
    let is_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut written = String::new();
    let mut rest = query;
    while let Some(at) = rest.find(target) {
        let (before, after) = (&rest[..at], &rest[at + target.len()..]);
        let previous = before.chars().next_back();
        let previous = previous.or_else(|| written.chars().next_back());
        let is_part =
            previous.is_some_and(is_of_word) || after.chars().next().is_some_and(is_of_word);
        written.push_str(before);
        written.push_str(target);
        rest = after;
        if is_part {
            continue;
        }
        written.push_str("-primary");
        let named = ["-canary", "-primary"];
        let mut suffixes = named.iter().filter_map(|suffix| after.strip_prefix(suffix));
        let following = suffixes.next();
        rest = following
            .filter(|following| !following.chars().next().is_some_and(is_of_word))
            .unwrap_or(after);
    }
    written + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_the_primary_by_whole_names() {
        let cases = [
            (r#"x{app="podinfo"}"#, r#"x{app="podinfo-primary"}"#),
            (r#"x{app="podinfo-canary"}"#, r#"x{app="podinfo-primary"}"#),
            (r#"x{app="podinfo-primary"}"#, r#"x{app="podinfo-primary"}"#),
            (
                r#"x{pod=~"podinfo-[a-z0-9]+"} / y{app="podinfo"}"#,
                r#"x{pod=~"podinfo-primary-[a-z0-9]+"} / y{app="podinfo-primary"}"#,
            ),
            (
                r#"podinfo_total{app="podinfo2"}"#,
                r#"podinfo_total{app="podinfo2"}"#,
            ),
            ("mypodinfopodinfo", "mypodinfopodinfo"),
            ("podinfo-canaryx", "podinfo-primary-canaryx"),
            ("", ""),
        ];
        for (query, wanted) in cases {
            assert_eq!(asking_for_primary(query, "podinfo"), wanted);
        }
    }
}
