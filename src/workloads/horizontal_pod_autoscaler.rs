//! `HorizontalPodAutoscalers`: the primary gets a copy of the target's, so that it scales by the
//! same rules. The target's own idles while the target has no replicas.

use serde_json::{Value, json};

use crate::objects::metadata;
use crate::objects::{
    HORIZONTAL_POD_AUTOSCALER, Key, Kind, Names, Problem, Rank, View, Wanted, owner_reference,
};
use crate::workloads::Autoscaler;

#[derive(Debug)]
pub struct HorizontalPodAutoscaler;

impl Autoscaler for HorizontalPodAutoscaler {
    fn kind(&self) -> &'static Kind {
        &HORIZONTAL_POD_AUTOSCALER
    }

    fn keys(&self, _names: &Names, reference: &str) -> Vec<Key> {
        vec![Key::new(self.kind(), reference), primary_key(reference)]
    }

    fn min_replicas(&self, autoscaler: &Value) -> i64 {
        autoscaler["spec"]["minReplicas"]
            .as_i64()
            .unwrap_or(1)
            .max(1)
    }

    fn most(&self, view: &View<'_>) -> Option<i64> {
        let reference = view.canary.spec.autoscaler_ref.as_ref()?;
        let bounds = reference.primary_scaler_replicas.as_ref();
        let own = view.object(self.kind(), &reference.name);
        bounds
            .and_then(|bounds| bounds.max_replicas)
            .or_else(|| own?["spec"]["maxReplicas"].as_i64())
    }

    fn raised(&self, mut autoscaler: Value, least: i64) -> Value {
        let most = autoscaler["spec"]["maxReplicas"].as_i64().unwrap_or(1);
        let now = self.min_replicas(&autoscaler);
        if least.min(most) > now {
            autoscaler["spec"]["minReplicas"] = json!(least.min(most));
        }
        autoscaler
    }

    fn render(&self, view: &View<'_>) -> Result<Vec<Wanted>, Problem> {
        let Some(reference) = &view.canary.spec.autoscaler_ref else {
            return Ok(Vec::new());
        };
        let users = view.object(self.kind(), &reference.name).ok_or_else(|| {
            let key = Key::new(self.kind(), reference.name.as_str());
            Problem::field("spec.autoscalerRef", format!("{key} does not exist"))
        })?;
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
        // Labels are added, never taken away: others may have put theirs on the copy.
        let mut labels = metadata::labels(&object);
        labels.extend(metadata::copied(&metadata::labels(users)));
        metadata::set_labels(&mut object, labels);
        object["spec"] = users["spec"].clone();
        object["spec"]["scaleTargetRef"]["name"] = json!(view.names.primary);
        if let Some(bounds) = &reference.primary_scaler_replicas {
            for (field, bound) in [
                ("minReplicas", bounds.min_replicas),
                ("maxReplicas", bounds.max_replicas),
            ] {
                if let Some(bound) = bound {
                    object["spec"][field] = json!(bound);
                }
            }
        }
        Ok(vec![Wanted {
            key,
            rank: Rank::Scaler,
            object,
        }])
    }
}

fn primary_key(reference: &str) -> Key {
    Key::new(&HORIZONTAL_POD_AUTOSCALER, format!("{reference}-primary"))
}
