//! Objects on the control plane: namespaces of the tests' own, manifests and CRDs applied as a user
//! would, and kubeconfigs for users with fewer rights than the administrator.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective},
    core::{GroupVersionKind, TypeMeta},
    discovery::{ApiCapabilities, ApiResource, Scope, oneshot},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    control_plane::{ControlPlane, chain},
    wait::until,
};

/// For what the server does on its own once an object is there.
const SETTLE_DEADLINE: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Creates a namespace named after the test and waits until pods may be created in it.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        let name = format!(
            "{prefix}-{}",
            self.namespaces.fetch_add(1, Ordering::Relaxed)
        );
        let client = self.client();
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap_or_else(|error| panic!("creating namespace {name}: {}", chain(&error)));
        // Without its service account the first pods would be refused.
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        until(
            "the default service account exists",
            SETTLE_DEADLINE,
            async || {
                accounts
                    .get("default")
                    .await
                    .map(drop)
                    .map_err(|error| chain(&error))
            },
        )
        .await
        .unwrap_or_else(|error| panic!("namespace {name}: {error}"));
        name
    }

    /// Applies every document of a YAML text, in its order, as `kubectl apply --server-side
    /// --force-conflicts --validate=strict` does: create or update, unknown fields refused.
    pub(crate) async fn apply_yaml(&self, text: &str, namespace: &str) -> Vec<DynamicObject> {
        let client = self.client();
        let mut applied = Vec::new();
        for object in documents(text) {
            applied.push(apply(&client, &object, namespace).await);
        }
        applied
    }

    /// Applies the CRDs of a YAML text, whatever else it holds, and waits until they are served.
    pub(crate) async fn install_crds(&self, text: &str) {
        let client = self.client();
        let definitions: Vec<DynamicObject> =
            documents(text).into_iter().filter(is_definition).collect();
        assert!(
            !definitions.is_empty(),
            "no CustomResourceDefinition in the text"
        );
        for definition in &definitions {
            apply(&client, definition, "").await;
        }
        self.until_crds_are_served(text).await;
    }

    /// Waits until the CRDs of a YAML text are served, however they were installed.
    pub(crate) async fn until_crds_are_served(&self, text: &str) {
        let client = self.client();
        for definition in documents(text).iter().filter(|it| is_definition(it)) {
            let name = definition.name_any();
            until("the CRD is served", SETTLE_DEADLINE, async || {
                served(&client, &name).await
            })
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    /// Installs the CRDs of a file, or of all `*.yaml` files of a folder.
    pub(crate) async fn install_crd_files(&self, path: &Path) {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
                .unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
            files.retain(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "yaml")
            });
            files.sort();
        }
        for file in files {
            let text = fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("reading {}: {error}", file.display()));
            self.install_crds(&text).await;
        }
    }

    /// The objects of a kind, for a kind without a Rust type; cluster-wide without a namespace.
    pub(crate) async fn objects(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let types = TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        let client = self.client();
        let (resource, _) = resource(&client, &types).await;
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// A kubeconfig of a person, who may do what RBAC says of the user and the group.
    pub(crate) fn kubeconfig_for(&self, user: &str, group: Option<&str>) -> PathBuf {
        self.authority
            .user(user, group)
            .and_then(|certified| {
                self.authority
                    .kubeconfig(user, &self.server, &certified.as_user())
            })
            .unwrap_or_else(|error| panic!("a kubeconfig for {user}: {error}"))
    }

    /// A kubeconfig of a service account, which is made if it is not there. To RBAC and to the audit
    /// log it is `system:serviceaccount:<namespace>:<name>`.
    pub(crate) async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        match accounts.create(&PostParams::default(), &account).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)))),
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(86_400),
                ..Default::default()
            }),
            ..Default::default()
        };
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .unwrap_or_else(|error| panic!("a token for {name}: {}", chain(&error)))
            .status
            .expect("a token request is answered with a token")
            .token;
        self.authority
            .kubeconfig(
                &format!("{namespace}:{name}"),
                &self.server,
                &json!({"token": token}),
            )
            .unwrap_or_else(|error| panic!("a kubeconfig for {name}: {error}"))
    }
}

/// The documents of a YAML text, a `List` taken apart.
fn documents(text: &str) -> Vec<DynamicObject> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| serde_json::Value::deserialize(document).expect("a YAML document"))
        .flat_map(|document| match document {
            serde_json::Value::Null => Vec::new(),
            list if list["kind"] == "List" => list["items"].as_array().cloned().unwrap_or_default(),
            object => vec![object],
        })
        .map(|object| serde_json::from_value(object).expect("a Kubernetes object"))
        .collect()
}

fn is_definition(object: &DynamicObject) -> bool {
    object
        .types
        .as_ref()
        .is_some_and(|types| types.kind == "CustomResourceDefinition")
}

async fn apply(client: &Client, object: &DynamicObject, namespace: &str) -> DynamicObject {
    let types = object
        .types
        .as_ref()
        .expect("a document has apiVersion and kind");
    let name = object
        .metadata
        .name
        .as_deref()
        .expect("a document has a name");
    let (resource, capabilities) = resource(client, types).await;
    let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
    let objects: Api<DynamicObject> = match capabilities.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
        Scope::Cluster => Api::all_with(client.clone(), &resource),
    };
    let mut parameters = PatchParams::apply("bed").force();
    parameters.field_validation = Some(ValidationDirective::Strict);
    objects
        .patch(name, &parameters, &Patch::Apply(object))
        .await
        .unwrap_or_else(|error| panic!("applying {} {name}: {}", types.kind, chain(&error)))
}

/// What the server calls a kind, which it may learn only a moment after its CRD was applied.
async fn resource(client: &Client, types: &TypeMeta) -> (ApiResource, ApiCapabilities) {
    let kind = GroupVersionKind::try_from(types).expect("an apiVersion is a group and a version");
    until("the kind is served", SETTLE_DEADLINE, async || {
        oneshot::pinned_kind(client, &kind)
            .await
            .map_err(|error| chain(&error))
    })
    .await
    .unwrap_or_else(|error| panic!("{}: {error}", types.kind))
}

async fn served(client: &Client, name: &str) -> Result<(), String> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = definitions.get(name).await.map_err(|error| chain(&error))?;
    let conditions = definition
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    if conditions
        .iter()
        .any(|it| it.type_ == "Established" && it.status == "True")
    {
        return Ok(());
    }
    Err(conditions
        .into_iter()
        .filter_map(|it| it.message)
        .collect::<Vec<_>>()
        .join(", "))
}
