//! What the user does to the Canary in the middle of anything.

use serde_json::{Value, json};

use super::disturbance::{delete, edit, later};
use super::parts::Part;
use crate::proof::stage::Story;

/// A Canary is suspended for so many passes.
const PASSES_SUSPENDED: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CanaryEdit {
    Threshold,
    StepWeight,
    MaxWeight,
    IntervalLong,
    IntervalShort,
    /// One that the definition knows and Davy does not.
    ProviderUnknown,
    /// A field that Davy does not act on.
    Webhook,
    TemplateRef,
    NoMetrics,
    NoAnalysis,
    SkipAnalysis,
    AutoscalerRenamed,
    ServiceRenamed,
    Port,
    TargetRenamed,
    /// Another Deployment of the same application, under the same Service.
    TargetMoved,
    ProgressDeadline,
    SuspendedForAWhile,
    Suspended,
    Deleted,
    DeletedReverting,
    /// The same with a manifest that no pass can read to its end.
    DeletedInvalid,
}

impl CanaryEdit {
    pub(super) const ALL: &[Self] = &[
        Self::Threshold,
        Self::StepWeight,
        Self::MaxWeight,
        Self::IntervalLong,
        Self::IntervalShort,
        Self::ProviderUnknown,
        Self::Webhook,
        Self::TemplateRef,
        Self::NoMetrics,
        Self::NoAnalysis,
        Self::SkipAnalysis,
        Self::AutoscalerRenamed,
        Self::ServiceRenamed,
        Self::Port,
        Self::TargetRenamed,
        Self::TargetMoved,
        Self::ProgressDeadline,
        Self::SuspendedForAWhile,
        Self::Suspended,
        Self::Deleted,
        Self::DeletedReverting,
        Self::DeletedInvalid,
    ];

    /// Whether the Canary is not as it must be from then on, or is to be left alone.
    pub(super) fn needs_a_human(self) -> bool {
        matches!(
            self,
            Self::ProviderUnknown
                | Self::Webhook
                | Self::TemplateRef
                | Self::NoAnalysis
                | Self::AutoscalerRenamed
                | Self::TargetRenamed
                | Self::Suspended
        )
    }

    pub(super) fn happens(self, story: &mut Story) -> bool {
        if self == Self::TargetMoved && !another_target(story) {
            return false;
        }
        let key = story.canary().clone();
        let changed = edit(story, &key, |canary| self.change(canary));
        match self {
            Self::SuspendedForAWhile => later(story, PASSES_SUSPENDED, |story| {
                let key = story.canary().clone();
                edit(story, &key, |canary| {
                    canary["spec"]["suspend"] = json!(false);
                });
            }),
            Self::Deleted | Self::DeletedReverting | Self::DeletedInvalid => {
                return delete(story, &key);
            }
            _ => {}
        }
        changed
    }

    fn change(self, canary: &mut Value) {
        let spec = &mut canary["spec"];
        let is_first_flagger = spec.get("analysis").is_none();
        let field = if is_first_flagger {
            "canaryAnalysis"
        } else {
            "analysis"
        };
        match self {
            Self::Threshold => spec[field]["threshold"] = json!(1),
            Self::StepWeight if spec[field].get("stepWeight").is_some() => {
                spec[field]["stepWeight"] = json!(7);
            }
            Self::MaxWeight if spec[field].get("stepWeight").is_some() => {
                spec[field]["maxWeight"] = json!(15);
            }
            Self::StepWeight | Self::MaxWeight | Self::Deleted => {}
            Self::IntervalLong => spec[field]["interval"] = json!("10m"),
            Self::IntervalShort => spec[field]["interval"] = json!("10s"),
            Self::ProviderUnknown => spec["provider"] = json!("appmesh:v1beta2"),
            Self::Webhook => {
                spec[field]["webhooks"] =
                    json!([{ "name": "confirm", "url": "http://hooks.example/" }]);
            }
            Self::TemplateRef => {
                let metric = json!({
                    "name": "errors",
                    "templateRef": { "name": "errors" },
                    "thresholdRange": { "max": 1 },
                });
                if let Some(metrics) = spec[field]["metrics"].as_array_mut() {
                    metrics.push(metric);
                }
            }
            Self::NoMetrics => drop(spec[field].as_object_mut().map(|it| it.remove("metrics"))),
            Self::NoAnalysis => drop(spec.as_object_mut().map(|spec| spec.remove(field))),
            Self::SkipAnalysis => spec["skipAnalysis"] = json!(true),
            Self::AutoscalerRenamed => {
                if spec.get("autoscalerRef").is_some() {
                    spec["autoscalerRef"]["name"] = json!("elsewhere");
                }
            }
            Self::ServiceRenamed => spec["service"]["name"] = json!("renamed"),
            Self::Port => spec["service"]["port"] = json!(8088),
            Self::TargetRenamed => spec["targetRef"]["name"] = json!("elsewhere"),
            Self::TargetMoved => {
                let target = spec["targetRef"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let named = spec["service"]["name"].as_str();
                spec["service"]["name"] = json!(named.unwrap_or(&target));
                spec["targetRef"]["name"] = json!(another(&target));
            }
            Self::ProgressDeadline => spec["progressDeadlineSeconds"] = json!(40),
            Self::SuspendedForAWhile | Self::Suspended => spec["suspend"] = json!(true),
            Self::DeletedReverting => reverts(canary),
            Self::DeletedInvalid => {
                spec["provider"] = json!("appmesh:v1beta2");
                reverts(canary);
            }
        }
    }
}

/// As if it had been so from the start.
fn reverts(canary: &mut Value) {
    canary["spec"]["revertOnDeletion"] = json!(true);
    canary["metadata"]["finalizers"] = json!(["finalizer.flagger.app"]);
}

fn another(target: &str) -> String {
    format!("{target}-v2")
}

/// Another Deployment of the application, with pods of its own. Whether the target is one.
fn another_target(story: &Story) -> bool {
    let Some(target) = Part::Target.key(story).and_then(|key| story.get(&key)) else {
        return false;
    };
    let name = another(target["metadata"]["name"].as_str().unwrap_or_default());
    let labels = json!({ "app": name });
    let mut template = target["spec"]["template"].clone();
    template["metadata"]["labels"] = labels.clone();
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": target["metadata"]["namespace"] },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": template },
    });
    let now = story.world.now();
    let made = story.world.lock().cluster.apply(deployment, "other", now);
    target["kind"] == "Deployment" && made.is_ok()
}
