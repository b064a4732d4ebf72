//! Policies that act in one namespace, and when they do.
use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::bed::{control_plane::ControlPlane, wait::until};

use super::row::documents;

const DEADLINE: Duration = Duration::from_mins(4);
const API_VERSION: &str = "admissionregistration.k8s.io/v1";
/// The `ConfigMap` by which a sentinel is asked whether it acts.
const ASKED: &str = "sentinel";
/// Kinds of the application that are not built in.
const DEFINED: [(&str, &str); 2] = [
    ("networking.istio.io/v1", "VirtualService"),
    ("flagger.app/v1beta1", "Canary"),
];

/// The policies of a row while they act.
pub(super) struct Acting<'a> {
    cluster: &'a ControlPlane,
    namespace: &'a str,
    /// Kinds and names, in the order in which they were applied.
    applied: Vec<(String, String)>,
    sentinels: Vec<Sentinel>,
}

/// The API server learns of a policy when its watch tells it. A policy of the same kind that is
/// applied after those of a row and acts shows that those act as well; and the same the other way
/// round once they are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sentinel {
    Mutating,
    Validating,
}

impl<'a> Acting<'a> {
    /// Applies the policies, bound to this namespace, and waits until they act.
    pub(super) async fn begin(cluster: &'a ControlPlane, namespace: &'a str, text: &str) -> Self {
        let policies = documents(text);
        let kinds: BTreeSet<_> = policies.iter().filter_map(Sentinel::of).collect();
        let sentinels: Vec<_> = kinds.into_iter().collect();
        let guards = sentinels.iter().flat_map(|sentinel| sentinel.policy());
        let mut acting = Self {
            cluster,
            namespace,
            applied: Vec::new(),
            sentinels: sentinels.clone(),
        };
        for document in policies.into_iter().chain(guards) {
            acting.apply(document).await;
        }
        acting.until(true).await;
        acting.until_kinds_are_known().await;
        acting
    }

    /// Deletes them, and waits until none acts.
    pub(super) async fn end(mut self) {
        for (kind, name) in std::mem::take(&mut self.applied) {
            let objects = self.cluster.objects(API_VERSION, &kind, None).await;
            let deleted = objects.delete(&name, &DeleteParams::default()).await;
            deleted.unwrap_or_else(|error| panic!("deleting {kind} {name}: {error}"));
        }
        self.until(false).await;
    }

    /// Names of policies are the cluster's: each namespace has its own.
    async fn apply(&mut self, mut document: Value) {
        let own = |name: &Value| format!("{}.{}", name.as_str().expect("a name"), self.namespace);
        document["metadata"]["name"] = own(&document["metadata"]["name"]).into();
        let kind = document["kind"].as_str().expect("a kind").to_owned();
        if kind.ends_with("Binding") {
            document["spec"]["policyName"] = own(&document["spec"]["policyName"]).into();
            document["spec"]["matchResources"]["namespaceSelector"] = json!({
                "matchLabels": {"kubernetes.io/metadata.name": self.namespace},
            });
        }
        let name = own_name(&document);
        self.cluster
            .apply_yaml(&document.to_string(), self.namespace)
            .await;
        self.applied.push((kind, name));
    }

    async fn until(&self, acts: bool) {
        for sentinel in &self.sentinels {
            until("the policies are heard of", DEADLINE, async || {
                if self.acts(*sentinel).await == acts {
                    Ok(())
                } else {
                    Err(format!("{sentinel:?}: not {acts}"))
                }
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Policies can change objects of a kind only some time after its definition is served.
    async fn until_kinds_are_known(&self) {
        for (api_version, kind) in DEFINED {
            let namespace = Some(self.namespace);
            let objects = self.cluster.objects(api_version, kind, namespace).await;
            let asked = json!({
                "apiVersion": api_version, "kind": kind, "metadata": {"name": ASKED}, "spec": {},
            });
            let asked = serde_json::from_value(asked).expect("an object");
            until("the kind is known to policies", DEADLINE, async || {
                match objects.create(&dry_run(), &asked).await {
                    Err(kube::Error::Api(status)) if status.code == 503 => Err(status.message),
                    // Whatever else is said of this object, the policies were asked.
                    _ => Ok(()),
                }
            })
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
    }

    async fn acts(&self, sentinel: Sentinel) -> bool {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.cluster.client(), self.namespace);
        let asked = serde_json::from_value(json!({"metadata": {"name": sentinel.asked()}}));
        let answer = config_maps
            .create(&dry_run(), &asked.expect("a ConfigMap"))
            .await;
        match (sentinel, answer) {
            (Sentinel::Mutating, Ok(stored)) => stored.data.is_some(),
            (Sentinel::Validating, Err(kube::Error::Api(status))) => status.code == 422,
            _ => false,
        }
    }
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

fn own_name(document: &Value) -> String {
    document["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

impl Sentinel {
    fn of(document: &Value) -> Option<Self> {
        match document["kind"].as_str() {
            Some("MutatingAdmissionPolicy") => Some(Self::Mutating),
            Some("ValidatingAdmissionPolicy") => Some(Self::Validating),
            _ => None,
        }
    }

    fn asked(self) -> String {
        format!("{ASKED}-{self:?}").to_lowercase()
    }

    /// The policy and its binding.
    fn policy(self) -> [Value; 2] {
        let name = self.asked();
        let mut spec = json!({
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["configmaps"],
            }]},
            "matchConditions": [
                {"name": "asked", "expression": format!("object.metadata.name == '{name}'")},
            ],
        });
        let mut binding = json!({"policyName": name});
        match self {
            Self::Mutating => {
                let expression = "Object{data: {'acts': 'yes'}}";
                spec["reinvocationPolicy"] = "Never".into();
                spec["mutations"] = json!([{
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": expression},
                }]);
            }
            Self::Validating => {
                spec["validations"] = json!([{"expression": "false"}]);
                binding["validationActions"] = json!(["Deny"]);
            }
        }
        let kind = format!("{self:?}AdmissionPolicy");
        let document = |kind: &str, spec: &Value| {
            json!({
                "apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec,
            })
        };
        [
            document(&kind, &spec),
            document(&format!("{kind}Binding"), &binding),
        ]
    }
}
