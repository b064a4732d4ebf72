//! The settings of clusters that several teams share.

use super::Texts;
use super::texts::{Problems, boolean, gateways, hosts};
use crate::objects::tenancy::Tenancy;

impl Texts {
    /// Whether MetricTemplates of other namespaces are read: as in Flagger, unless it is said that they
    /// are not. What is wrong with the setting is said where it is read for AlertProviders.
    pub(super) fn templates_cross_namespaces(&self) -> bool {
        let is_strict = self.tenancy.as_deref() == Some("strict");
        let allowed = self.allow_cross_namespace.as_deref().map(boolean);
        allowed.and_then(Result::ok).unwrap_or(!is_strict)
    }

    /// What teams that share a cluster may not do to each other.
    pub(super) fn tenancy(&self, problems: &mut Problems) -> Tenancy {
        let texts = self.clone();
        let strict = problems.checked("DAVY_TENANCY", texts.tenancy, |text| match text {
            "strict" => Ok(true),
            "trusting" => Ok(false),
            _ => Err(format!(
                "\"{text}\" is not known; known are strict, trusting"
            )),
        });
        Tenancy {
            strict: strict.unwrap_or(false),
            hosts: problems
                .checked("DAVY_ALLOW_HOSTS", texts.allow_hosts, hosts)
                .unwrap_or_default(),
            gateways: problems
                .checked("DAVY_ALLOW_GATEWAYS", texts.allow_gateways, gateways)
                .unwrap_or_default(),
        }
    }
}
