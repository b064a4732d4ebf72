//! Which revision is on the target, on the primary, and in status.

use std::borrow::Cow;

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase};
use crate::objects::hash::{template_hash, unmarked_hash};

use super::{Revision, Snapshot};

impl Snapshot {
    /// What the target asks to have released.
    pub fn revision(&self) -> Revision {
        let spec = self
            .target()
            .map(|target| template_hash(&self.workload.template(target)))
            .unwrap_or_default();
        Revision {
            spec,
            configs: self.checksums.clone(),
        }
    }

    /// The revision that was last acted upon, as status has it.
    pub fn applied_revision(&self) -> Revision {
        Revision {
            spec: self.status.last_applied_spec.clone().unwrap_or_default(),
            configs: self.status.tracked_configs.clone().unwrap_or_default(),
        }
    }

    /// Hash of the template that a promotion would copy to the primary now.
    pub fn copy_hash(&self) -> Option<String> {
        let target = self.target()?;
        Some(template_hash(
            &self.workload.primary_template(&self.view(), target),
        ))
    }

    /// Hash of the template that the primary has.
    pub fn primary_hash(&self) -> Option<String> {
        self.primary()
            .map(|primary| template_hash(&self.workload.template(primary)))
    }

    /// Whether a template of the primary that was sent with one hash is stored with the other: the
    /// same, unless a policy of the cluster changes what is written.
    pub fn is_stored_as(&self, sent: Option<&str>, stored: Option<&str>) -> bool {
        let key = self.primary_key();
        sent == stored
            || self.status.stored.iter().any(|object| {
                key.is(&object.api_version, &object.kind, &object.name)
                    && object.sent_template.is_some()
                    && object.sent_template.as_deref() == sent
                    && object.stored_template.as_deref() == stored
            })
    }

    /// Whether the primary already has all that would be copied from the target now.
    pub fn is_on_primary(&self) -> bool {
        self.primary().is_some()
            && self.is_stored_as(self.copy_hash().as_deref(), self.primary_hash().as_deref())
            && self.has_promoted_configs()
    }

    fn has_promoted_configs(&self) -> bool {
        let had = self.status.promoted_configs.as_ref();
        had.is_none_or(|had| *had == self.checksums)
    }

    /// Whether the primary runs what the target carries, but for the marks of a restart in place.
    pub fn is_on_restarted_primary(&self) -> bool {
        let (Some(target), Some(primary)) = (self.target(), self.primary()) else {
            return false;
        };
        let copy = self.workload.primary_template(&self.view(), target);
        unmarked_hash(&copy) == unmarked_hash(&self.workload.template(primary))
            && self.has_promoted_configs()
    }

    /// The revision that status names as the last one acted upon.
    pub fn is_applied(&self, revision: &Revision) -> bool {
        self.status.last_applied_spec.as_deref() == Some(&revision.spec)
            && self
                .status
                .tracked_configs
                .as_ref()
                .is_none_or(|had| *had == revision.configs)
    }

    pub fn is_promoted(&self, revision: &Revision) -> bool {
        self.status.last_promoted_spec.as_deref() == Some(&revision.spec)
            && self
                .status
                .promoted_configs
                .as_ref()
                .is_none_or(|had| *had == revision.configs)
    }

    /// Whether a promotion that this status speaks of, adopted or ours, is in the primary. The
    /// annotation tells a copy of the same template with other configs; an adopted one has
    /// Flagger's, and nothing to compare.
    pub fn is_copied(&self, status: &CanaryStatus) -> bool {
        self.primary().is_some_and(|primary| {
            let template = self.workload.template(primary);
            let id = &template["metadata"]["annotations"]["flagger-id"];
            let hash = template_hash(&template);
            self.is_stored_as(status.primary_spec.as_deref(), Some(&hash))
                && (status.previous_spec.is_none() || *id == self.flagger_id(status))
        })
    }

    /// The annotation that a promotion of this status leaves on the primary's pods. It follows
    /// from the Canary and the revision, so that a repeated copy restarts nothing.
    pub fn flagger_id(&self, status: &CanaryStatus) -> String {
        crate::objects::hash::identifier(&[
            &self.names.uid,
            status.primary_spec.as_deref().unwrap_or_default(),
            &status
                .tracked_configs
                .iter()
                .flatten()
                .fold(String::new(), |text, (name, sum)| {
                    format!("{text}{name}={sum};")
                }),
        ])
    }

    /// Whether the primary has the template back that it had before the promotion that failed.
    /// Where only configs were promoted the two templates differ in the annotation alone.
    pub fn has_earlier(&self, status: &CanaryStatus) -> bool {
        let hash = self.primary_hash();
        self.is_stored_as(status.primary_spec.as_deref(), hash.as_deref())
            && self
                .primary()
                .is_some_and(|primary| !self.is_of_failed(status, &self.workload.template(primary)))
    }

    /// The template that the primary had before the promotion that failed, for putting it back.
    pub fn earlier_template(&self, status: &CanaryStatus) -> Option<Cow<'_, Value>> {
        self.history
            .iter()
            .map(|object| self.workload.template(object))
            .filter(|template| !self.is_of_failed(status, template))
            .find(|template| status.primary_spec.as_deref() == Some(&*template_hash(template)))
    }

    /// Whether a template is the one that was promoted and failed; `previous_spec` is its hash now.
    fn is_of_failed(&self, status: &CanaryStatus, template: &Value) -> bool {
        let failed = CanaryStatus {
            primary_spec: status.previous_spec.clone(),
            tracked_configs: status.tracked_configs.clone(),
            ..CanaryStatus::default()
        };
        let hash = template_hash(template);
        self.is_stored_as(status.previous_spec.as_deref(), Some(&hash))
            && template["metadata"]["annotations"]["flagger-id"] == self.flagger_id(&failed)
    }

    /// A promotion failed, and the primary has not taken the traffic back yet.
    pub fn is_healing(&self) -> bool {
        self.phase() == Some(Phase::Failed) && self.status.previous_spec.is_some()
    }
}
