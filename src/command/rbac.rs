//! `davy rbac`: the least Role for the canaries and the settings given, from files or a cluster.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{DONE, INCOMPLETE, UNUSABLE, output};
use crate::api::canary::Canary;
use crate::io::cluster::{Cluster, Listed, Scope};
use crate::io::rights::{self, Need};
use crate::io::{self, Io};
use crate::metrics::{self, Provider};
use crate::objects::{CANARY, Key, METRIC_TEMPLATE, Names, Policy, Problem, references};
use crate::pass::terms::{self, layout};
use crate::routers;
use crate::settings::Settings;
use crate::simulate::scenario;
use crate::workloads::{self, Autoscaler};

/// Print the least Role for the canaries given: a ClusterRole, or with DAVY_NAMESPACE a Role.
///
/// Settings are those of `davy run`. Where a target is at hand too, rights on ConfigMaps and
/// Secrets are left out if it refers to none.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "--help shows backticks as they are")]
pub(super) struct Arguments {
    /// Files with Canaries, and their targets; without any, those of the cluster.
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the Role.
    #[arg(long, default_value = "davy")]
    name: String,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let settings = match super::settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let objects = if arguments.files.is_empty() {
        of_cluster(&settings)
    } else {
        of_files(&arguments.files)
    };
    let objects = match objects {
        Ok(objects) => objects,
        Err(why) => {
            output::error(&why);
            return UNUSABLE;
        }
    };
    let mut code = DONE;
    let mut needs = BTreeSet::from([Need::Always]);
    for object in objects.iter().filter(|object| is_canary(object)) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let more = serde_json::from_value(object.clone())
            .map_err(|error| Problem(format!("not a valid Canary: {error}")))
            .and_then(|canary| needs_of(&canary, &settings.policy, &objects));
        match more {
            Ok(more) => needs.extend(more),
            // A pass refuses it, so it needs nothing.
            Err(problem) => {
                output::error(&format!("Canary {name}: {problem}"));
                code = INCOMPLETE;
            }
        }
    }
    match serde_yaml::to_string(&role(&arguments.name, &settings.scope, &needs)) {
        Ok(yaml) => output::line(yaml.trim_end()),
        Err(error) => {
            output::error(&format!("writing the Role: {error}"));
            return UNUSABLE;
        }
    }
    code
}

/// What one canary adds to the needs of every canary.
fn needs_of(canary: &Canary, policy: &Policy, objects: &[Value]) -> Result<Vec<Need>, Problem> {
    let names = Names::of(canary);
    let router = routers::router(layout::provider(canary, policy))?;
    let workload = workloads::workload(canary)?;
    let mut kinds = router.kinds().to_vec();
    kinds.push(workload.kind());
    kinds.extend(workloads::autoscaler(canary)?.map(Autoscaler::kind));
    let mut needs: Vec<_> = kinds.into_iter().map(Need::Kind).collect();
    needs.push(Need::History(workload.history_kind()));
    let key = Key::new(workload.kind(), &*names.target);
    // A target that nobody has shown may refer to anything.
    let refers = objects
        .iter()
        .find(|object| is_named(object, &key, &names.namespace))
        .is_none_or(|target| !references::of(&workload.template(target)).is_empty());
    if policy.config_tracking && refers {
        needs.push(Need::ConfigTracking);
    }
    if terms::analysis(canary).is_some_and(|analysis| !analysis.alerts.is_empty()) {
        needs.push(Need::Alerts);
    }
    let metrics = terms::analysis(canary).into_iter();
    let references = metrics
        .flat_map(|analysis| &analysis.metrics)
        .filter_map(|metric| metric.template_ref.as_ref());
    for reference in references {
        needs.push(Need::Templates);
        let (namespace, name) = metrics::template_key(reference, &names.namespace);
        let key = Key::new(&METRIC_TEMPLATE, name);
        let mut shown = objects.iter();
        let template = shown.find(|object| is_named(object, &key, &namespace));
        let provider = template.map(|template| &template["spec"]["provider"]);
        // One that nobody has shown may name a Secret.
        if provider.is_none_or(|provider| provider["secretRef"].is_object()) {
            needs.push(Need::TemplateSecrets);
        }
        let kind = provider.and_then(|provider| provider["type"].as_str());
        let system = kind.and_then(|kind| metrics::provider_of(kind).ok());
        let right = system.and_then(Provider::right);
        needs.extend(right.map(|(kind, verb)| Need::Metrics(kind, verb)));
    }
    Ok(needs)
}

fn is_canary(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap_or_default();
    object["kind"] == CANARY.kind && group.starts_with(CANARY.group)
}

fn is_named(object: &Value, key: &Key, namespace: &str) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    key.is(
        &text(&object["apiVersion"]),
        &text(&object["kind"]),
        &text(&metadata["name"]),
    ) && text(&metadata["namespace"]) == namespace
}

fn role(name: &str, scope: &Scope, needs: &BTreeSet<Need>) -> Value {
    let rules: Vec<_> = rights::rules(needs)
        .into_iter()
        .map(|rule| {
            json!({ "apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs })
        })
        .collect();
    let (kind, metadata) = match scope {
        Scope::Cluster => ("ClusterRole", json!({ "name": name })),
        Scope::Namespace(namespace) => ("Role", json!({ "name": name, "namespace": namespace })),
    };
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "rules": rules,
    })
}

fn of_files(files: &[PathBuf]) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for file in files {
        objects.extend(scenario::objects(file).map_err(|error| error.to_string())?);
    }
    if objects.iter().any(is_canary) {
        Ok(objects)
    } else {
        Err("no Canary in the files".to_owned())
    }
}

/// The Canaries of the cluster and their targets, as far as they can be read.
fn of_cluster(settings: &Settings) -> Result<Vec<Value>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?;
    runtime.block_on(async {
        let io: Io = io::real(&settings.allowed)
            .await
            .map_err(|error| io::cluster::chain(&error))?;
        let cluster = Cluster::new(io.kube_client());
        let listed = cluster
            .list(&CANARY, &settings.scope, None)
            .await
            .map_err(|error| crate::pass::could_not_start(&error))?;
        let listed = listed.into_iter().map(Listed::whole);
        let mut objects = listed.collect::<Result<Vec<_>, _>>()?;
        let mut targets = Vec::new();
        for canary in &mut objects {
            // Items of a list come without these.
            canary["apiVersion"] = CANARY.api_version().into();
            canary["kind"] = CANARY.kind.into();
            targets.extend(target(&cluster, canary).await);
        }
        objects.extend(targets);
        Ok(objects)
    })
}

async fn target(cluster: &Cluster, canary: &Value) -> Option<Value> {
    let canary: Canary = serde_json::from_value(canary.clone()).ok()?;
    let kind = workloads::workload(&canary).ok()?.kind();
    let names = Names::of(&canary);
    cluster
        .get(kind, &names.namespace, &names.target)
        .await
        .ok()
}
