//! The refusals that name an object of some kind.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::kinds::Kind;
use super::{Cause, Refusal, causes};

impl Kind {
    pub(in super::super) fn not_found(&self, name: &str) -> Refusal {
        self.about(
            StatusCode::NOT_FOUND,
            "NotFound",
            name,
            format!("{} \"{name}\" not found", self.resource()),
        )
    }

    pub(in super::super) fn already_exists(&self, name: &str) -> Refusal {
        self.about(
            StatusCode::CONFLICT,
            "AlreadyExists",
            name,
            format!("{} \"{name}\" already exists", self.resource()),
        )
    }

    pub(in super::super) fn modified(&self, name: &str) -> Refusal {
        self.conflict(
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(in super::super) fn conflict(&self, name: &str, why: &str) -> Refusal {
        self.about(
            StatusCode::CONFLICT,
            "Conflict",
            name,
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {why}",
                self.resource()
            ),
        )
    }

    /// A precondition of a deletion. The real one names the kind here, not the resource.
    pub(in super::super) fn precondition(&self, name: &str, why: &str) -> Refusal {
        let kind = self.qualified_kind();
        Refusal {
            details: Some(self.details(name, &self.kind)),
            ..Refusal::new(
                StatusCode::CONFLICT,
                "Conflict",
                format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}"),
            )
        }
    }

    pub(in super::super) fn forbidden(&self, name: &str, why: &str) -> Refusal {
        self.about(
            StatusCode::FORBIDDEN,
            "Forbidden",
            name,
            format!("{} \"{name}\" is forbidden: {why}", self.resource()),
        )
    }

    /// A webhook's refusal. The details name the object, by which it is told from the bare 422 of a
    /// JSON patch that does not fit.
    pub(in super::super) fn denied(&self, name: &str, code: StatusCode, why: &str) -> Refusal {
        let reason = if code == StatusCode::FORBIDDEN {
            "Forbidden"
        } else {
            "Invalid"
        };
        let message = format!("admission webhook \"rehearsal.davy\" denied the request: {why}");
        self.about(code, reason, name, message)
    }

    pub(in super::super) fn invalid(&self, name: &str, found: &[Cause]) -> Refusal {
        self.invalid_as(name, found, &self.qualified_kind(), &self.kind)
    }

    /// A custom resource without the resourceVersion that an update needs. The real one names the
    /// resource here, not the kind.
    pub(in super::super) fn unconditional(&self, name: &str) -> Refusal {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &0,
            "must be specified for an update",
        );
        self.invalid_as(name, &[cause], &self.resource(), &self.plural)
    }

    pub(in super::super) fn of_another_kind(&self, name: &str, sent: &str) -> Refusal {
        let cause = Cause::invalid("kind", &json!(sent), &format!("must be {}", self.kind));
        self.invalid_as(name, &[cause], &format!("{sent}.{}", self.group), sent)
    }

    fn invalid_as(&self, name: &str, found: &[Cause], subject: &str, kind: &str) -> Refusal {
        let texts: Vec<_> = found
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let texts = match texts.as_slice() {
            [one] => one.clone(),
            _ => format!("[{}]", texts.join(", ")),
        };
        let mut details = self.details(name, kind);
        details["causes"] = found.iter().map(causes).collect();
        Refusal {
            details: Some(details),
            ..Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{subject} \"{name}\" is invalid: {texts}"),
            )
        }
    }

    fn about(
        &self,
        code: StatusCode,
        reason: &'static str,
        name: &str,
        message: String,
    ) -> Refusal {
        Refusal {
            details: Some(self.details(name, &self.plural)),
            ..Refusal::new(code, reason, message)
        }
    }

    pub(in super::super) fn details(&self, name: &str, kind: &str) -> Value {
        let mut details = json!({"kind": kind});
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }
}
