//! What is wrong with a Canary before anything of it is touched: fields that name nothing known
//! or that this version does not act on, objects of somebody else, two Canaries on one thing.

use std::collections::BTreeMap;

use crate::api::analysis::Analysis;
use crate::api::canary::Canary;
use crate::objects::{Key, Names, Policy, Problem, SERVICE, controller_uid, names_grammar};
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::Terms;
use crate::routers::{self, Router};
use crate::workloads::{self, Autoscaler, Workload};

/// Why there is no snapshot of a canary.
#[derive(Clone, Debug, PartialEq)]
pub enum Unobserved {
    /// The Canary, or what it refers to, is not as it must be.
    Problems(Vec<Problem>),
    /// The API server did not answer.
    Failed(String),
    /// An earlier incarnation has not gone yet.
    Wait(String),
}

/// The plug-ins and terms that a Canary names.
pub struct Resolved {
    pub terms: Terms,
    pub router: &'static dyn Router,
    pub workload: &'static dyn Workload,
    pub autoscaler: Option<&'static dyn Autoscaler>,
}

/// The routing provider of a canary.
pub fn provider<'a>(canary: &'a Canary, policy: &'a Policy) -> &'a str {
    canary
        .spec
        .provider
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or(&policy.mesh_provider)
}

/// Everything that the manifest names, or every problem that it has.
pub fn resolve(canary: &Canary, policy: &Policy) -> Result<Resolved, Vec<Problem>> {
    let deleting = canary.metadata.deletion_timestamp.is_some();
    // What a release may not ask for does not matter to its end.
    let mut problems = if deleting {
        Vec::new()
    } else {
        unsupported(canary)
    };
    let mut keep = |problem| problems.push(problem);
    let router = routers::router(provider(canary, policy))
        .map_err(&mut keep)
        .ok();
    let workload = workloads::workload(canary).map_err(&mut keep).ok();
    let autoscaler = workloads::autoscaler(canary).map_err(&mut keep).ok();
    let terms = router.and_then(|router| Terms::of(canary, policy, router).map_err(keep).ok());
    let of_router = router
        .filter(|_| !deleting)
        .map(|router| router.problems(canary));
    problems.extend(of_router.into_iter().flatten());
    match (terms, router, workload, autoscaler) {
        (Some(terms), Some(router), Some(workload), Some(autoscaler)) if problems.is_empty() => {
            Ok(Resolved {
                terms,
                router,
                workload,
                autoscaler,
            })
        }
        _ => Err(problems),
    }
}

/// Fields that ask for something which this version does not do: never ignored.
fn unsupported(canary: &Canary) -> Vec<Problem> {
    let spec = &canary.spec;
    let mut problems = names_grammar::problems(canary);
    match &spec.service {
        None => problems.push(Problem::field("spec.service", "is required")),
        // Flagger's definition takes any number.
        Some(service) if !(1..=65_535).contains(&service.port) => {
            let why = format!("{} is not within 1 to 65535", service.port);
            problems.push(Problem::field("spec.service.port", why));
        }
        Some(_) => {}
    }
    let analyses: [(&str, &Option<Analysis>); 2] = [
        ("spec.analysis", &spec.analysis),
        ("spec.canaryAnalysis", &spec.canary_analysis),
    ];
    for (path, analysis) in analyses {
        let Some(analysis) = analysis else { continue };
        for (index, webhook) in analysis.webhooks.iter().enumerate() {
            let field = format!("{path}.webhooks[{index}]");
            let why = format!(
                "webhook \"{}\" is not supported by this version",
                webhook.name
            );
            problems.push(Problem::field(&field, why));
        }
    }
    problems
}

/// What the target itself must be like.
pub fn target(snapshot: &Snapshot) -> Result<(), Unobserved> {
    let Some(target) = snapshot.target() else {
        return Ok(());
    };
    let problems = snapshot.workload.problems(&snapshot.view(), target);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Unobserved::Problems(problems))
    }
}

/// No object of somebody else is written: an apex Service or route without a controller is
/// adopted, one with another controller is an error, and a primary must be ours.
pub fn ownership(snapshot: &Snapshot) -> Result<(), Unobserved> {
    let names = &snapshot.names;
    let mut problems = Vec::new();
    for (key, object) in &snapshot.objects {
        let owner = controller_uid(object);
        let is_primary = key.name.ends_with("-primary") && key.name != names.apex;
        if *key == snapshot.target_key() || owner == Some(&*names.uid) {
            continue;
        }
        let users_autoscaler =
            snapshot
                .canary
                .spec
                .autoscaler_ref
                .as_ref()
                .is_some_and(|reference| {
                    key.is(&reference.api_version, &reference.kind, &reference.name)
                });
        if users_autoscaler || (owner.is_none() && !is_primary) {
            continue;
        }
        let kind = key.kind.kind;
        let which = format!("{kind} {}/{}", names.namespace, key.name);
        let former = object["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|owners| {
                owners
                    .iter()
                    .any(|owner| owner["kind"] == "Canary" && owner["name"] == *names.canary)
            });
        if object["metadata"]["deletionTimestamp"].is_string() || former {
            let why = format!("{which} belongs to an earlier Canary and has not gone yet");
            return Err(Unobserved::Wait(why));
        }
        let by = object["metadata"]["ownerReferences"]
            .as_array()
            .and_then(|owners| owners.iter().find(|owner| owner["controller"] == true))
            .map_or_else(
                || "has no controller".to_owned(),
                |owner| {
                    let (kind, name) = (owner["kind"].as_str(), owner["name"].as_str());
                    format!(
                        "is controlled by {} {}",
                        kind.unwrap_or("an object"),
                        name.unwrap_or_default()
                    )
                },
            );
        problems.push(Problem(format!(
            "{which} {by}, not by this Canary: it is not touched"
        )));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Unobserved::Problems(problems))
    }
}

/// Two Canaries on one target, Service or route: neither advances. Judged over all Canaries,
/// before any selection.
pub fn contested(canaries: &[Canary], policy: &Policy) -> BTreeMap<String, Vec<Problem>> {
    let mut claims: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for canary in canaries {
        let names = Names::of(canary);
        let name = format!("{}/{}", names.namespace, names.canary);
        let mut claim = |field: &str, what: String| {
            let who = claims
                .entry((names.namespace.clone(), what, field.to_owned()))
                .or_default();
            if !who.contains(&name) {
                who.push(name.clone());
            }
        };
        let target = &canary.spec.target_ref;
        claim("spec.targetRef", format!("{} {}", target.kind, target.name));
        let apex = Key::new(&SERVICE, &*names.apex);
        let routes = routers::router(provider(canary, policy)).map(|router| router.keys(&names));
        for key in routes.unwrap_or_default().into_iter().chain([apex]) {
            claim("spec.service.name", key.to_string());
        }
    }
    let mut contested: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
    for ((_, what, field), who) in claims.iter().filter(|(_, who)| who.len() > 1) {
        for name in who {
            let others: Vec<_> = who.iter().filter(|other| *other != name).cloned().collect();
            let why = format!("{what} is also that of Canary {}", others.join(", "));
            contested
                .entry(name.clone())
                .or_default()
                .push(Problem::field(field, why));
        }
    }
    contested
}
