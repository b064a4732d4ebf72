//! What is wrong with a Canary before anything of it is touched: fields that name nothing known
//! or that this version does not act on, objects of somebody else, two Canaries on one thing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::canary::Canary;
use crate::metrics::{self, Check, Sources};
use crate::objects::metadata::{self, Ownership};
use crate::objects::{
    Key, Names, Objects, Policy, Problem, Role, SERVICE, View, names, names_grammar, tenancy,
};
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::{self, Terms, layout};
use crate::routers::{self, Router};
use crate::webhooks::{self, Hook};
use crate::workloads::{self, Autoscaler, Workload};

/// The plug-ins and terms that a Canary names, and what is wrong with it. Whatever that is, what
/// takes traffic off is known: the plug-ins of the layout, and the terms that were valid last.
pub(super) struct Resolved {
    pub(super) terms: Terms,
    pub(super) checks: Vec<Check>,
    pub(super) hooks: Vec<Hook>,
    pub(super) router: &'static dyn Router,
    pub(super) workload: &'static dyn Workload,
    pub(super) autoscaler: Option<&'static dyn Autoscaler>,
    pub(super) problems: Vec<Problem>,
    /// Metrics that ask nothing.
    pub(super) unasked: Vec<String>,
    /// What the API server did not show of what the checks need.
    pub(super) unread: Vec<String>,
    /// Whether the plug-ins are those that the Canary names, and do not only stand in for them.
    pub(super) is_known: bool,
}

/// Everything that the manifest names.
///
/// # On failure
/// A Canary of another controller, whose provider or target is of no known kind: nothing can be said
/// of its traffic, and so its status stays as it is.
pub(super) fn resolve(
    canary: &Canary,
    names: &Names,
    policy: &Policy,
    sources: &Sources<'_>,
) -> Result<Resolved, Vec<Problem>> {
    let mut problems = Vec::new();
    let wanted_router = routers::router(layout::provider(canary, policy))
        .map_err(|problem| problems.push(problem))
        .ok();
    let wanted_workload = workloads::workload(canary)
        .map_err(|problem| problems.push(problem))
        .ok();
    let layout = layout::current(canary);
    let router = layout
        .and_then(|layout| routers::router(&layout.provider).ok())
        .or(wanted_router);
    let workload = layout
        .and_then(|layout| workloads::of_kind(&layout.target_kind))
        .or(wanted_workload);
    // A Canary that was never acted upon is told what is wrong with it, whatever that is, and one
    // that is deleted goes: what is of no known kind cannot be given back.
    let status = canary.status.as_ref();
    let is_new = status.is_none_or(|status| status.phase.is_none());
    let may_do_without = is_new || canary.metadata.deletion_timestamp.is_some();
    let is_known = router.is_some() && workload.is_some();
    let router = router.or_else(|| may_do_without.then(routers::splitting_nothing));
    let workload = workload.or_else(|| may_do_without.then(workloads::first));
    let (Some(router), Some(workload)) = (router, workload) else {
        return Err(problems);
    };
    let autoscaler = workloads::autoscaler(canary)
        .map_err(|problem| problems.push(problem))
        .ok()
        .flatten();
    problems.extend(unsupported(canary));
    let hooks = hooks(canary, policy).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Vec::new()
    });
    problems.extend(
        wanted_router.iter().flat_map(|router| {
            routers::problems(*router, canary, layout::provider(canary, policy))
        }),
    );
    let view = View {
        canary,
        names,
        policy,
        objects: &Objects::new(),
    };
    let terms = Terms::of(canary, policy, router)
        .map_err(|problem| problems.push(problem))
        .ok();
    let metrics::Resolved {
        checks,
        problems: of_checks,
        unasked,
        mut unread,
    } = metrics::checks(&view, sources);
    problems.extend(of_checks);
    // What is wrong with a release does not matter to the end of its Canary.
    if canary.metadata.deletion_timestamp.is_some() {
        problems.clear();
        unread.clear();
    }
    let (terms, checks) = match terms {
        Some(terms) if problems.is_empty() => (terms, checks),
        terms => last_valid(&view, router, sources, terms),
    };
    Ok(Resolved {
        terms,
        checks,
        hooks,
        router,
        workload,
        autoscaler,
        problems,
        unasked,
        unread,
        is_known,
    })
}

/// The terms and checks of a Canary that is not valid now: as they were when it was, else those of
/// them that are.
fn last_valid(
    view: &View<'_>,
    router: &'static dyn Router,
    sources: &Sources<'_>,
    terms: Option<Terms>,
) -> (Terms, Vec<Check>) {
    let status = view.canary.status.as_ref();
    let settings = status.and_then(|status| status.settings.as_ref());
    let recorded = settings.map(|settings| terms::last_valid(view.canary, settings));
    let canary = recorded.as_ref().unwrap_or(view.canary);
    let view = View { canary, ..*view };
    let of_record = recorded
        .as_ref()
        .and_then(|canary| Terms::of(canary, view.policy, router).ok());
    let terms = of_record
        .or(terms)
        .unwrap_or_else(|| Terms::defaults(view.policy));
    (terms, metrics::checks(&view, sources).checks)
}

/// The webhooks of a Canary.
pub fn hooks(canary: &Canary, policy: &Policy) -> Result<Vec<Hook>, Vec<Problem>> {
    let spec = &canary.spec;
    let (path, analysis) = match (&spec.analysis, &spec.canary_analysis) {
        (Some(analysis), _) => ("spec.analysis", analysis),
        (None, Some(analysis)) => ("spec.canaryAnalysis", analysis),
        (None, None) => return Ok(Vec::new()),
    };
    let path = format!("{path}.webhooks");
    webhooks::hooks(&path, &analysis.webhooks, policy.insecure_webhooks)
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
    problems.extend(bounds_of_scaler(canary));
    problems
}

/// An API server would refuse the copy of an autoscaler with bounds that exclude each other.
fn bounds_of_scaler(canary: &Canary) -> Option<Problem> {
    let reference = canary.spec.autoscaler_ref.as_ref()?;
    let bounds = reference.primary_scaler_replicas.as_ref()?;
    let (least, most) = (bounds.min_replicas?, bounds.max_replicas?);
    (least > most).then(|| {
        let why = format!("minReplicas {least} is above maxReplicas {most}");
        Problem::field("spec.autoscalerRef.primaryScalerReplicas", why)
    })
}

/// What the objects must be like: a target that can be released, and nothing of somebody else
/// under the names of what Davy makes.
pub(super) fn of_objects(snapshot: &mut Snapshot) {
    if let Some(target) = snapshot.target() {
        let mut problems = snapshot.workload.problems(&snapshot.view(), target);
        if let Ownership::Anothers = metadata::ownership(target, &snapshot.names) {
            problems.push(metadata::controlled_by_another(
                &snapshot.target_key(),
                target,
            ));
            let key = snapshot.target_key();
            snapshot.foreign.insert(key);
        }
        snapshot.problems.extend(problems);
    } else if !snapshot.unread.contains(&snapshot.target_key()) {
        let names = &snapshot.names;
        let kind = snapshot.workload.kind().kind;
        let why = format!("{kind} {}/{} does not exist", names.namespace, names.target);
        snapshot
            .problems
            .push(Problem::field("spec.targetRef", why));
    }
    let named = names::problems(&snapshot.view(), snapshot.target());
    snapshot.problems.extend(named);
    // What is only read needs nobody's leave to be adopted.
    let objects = snapshot.objects.iter();
    let written: Objects = objects
        .filter(|(key, _)| snapshot.route_role(key) != Some(Role::UsersOwn))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    let shared = tenancy::problems(&snapshot.view(), &written);
    snapshot.problems.extend(shared);
    let obstacles = snapshot.router.obstacles(&snapshot.view());
    snapshot.problems.extend(obstacles);
    ownership(snapshot);
}

/// No object of somebody else is written: an apex Service or route without a controller is
/// adopted, one with another controller is an error, and a primary must be ours.
fn ownership(snapshot: &mut Snapshot) {
    let names = snapshot.names.clone();
    let may_be_adopted = |snapshot: &Snapshot, key: &Key| {
        *key == snapshot.apex_key() || snapshot.route_role(key) == Some(Role::Adopted)
    };
    let mut foreign = BTreeSet::new();
    let mut problems = Vec::new();
    let mut pending = Vec::new();
    for (key, object) in &snapshot.objects {
        if !is_made(snapshot, key) {
            continue;
        }
        match metadata::ownership(object, &names) {
            Ownership::Ours => continue,
            Ownership::Nobodys if may_be_adopted(snapshot, key) => continue,
            Ownership::Nobodys | Ownership::Anothers => {}
        }
        foreign.insert(key.clone());
        let which = format!("{} {}/{}", key.kind.kind, names.namespace, key.name);
        if object["metadata"]["deletionTimestamp"].is_string() || is_of_former(object, &names) {
            pending.push(format!(
                "{which} belongs to an earlier Canary and has not gone yet"
            ));
            continue;
        }
        let by = match metadata::ownership(object, &names) {
            Ownership::Anothers => metadata::controlled_by_another(key, object).to_string(),
            Ownership::Nobodys | Ownership::Ours => format!("{key} has no controller"),
        };
        problems.push(Problem(format!(
            "{by}, and not this Canary: {which} is not touched"
        )));
    }
    snapshot.foreign.extend(foreign);
    snapshot.problems.extend(problems);
    snapshot.pending.extend(pending);
}

/// Whether an earlier Canary of the same name made the object.
fn is_of_former(object: &Value, names: &Names) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| {
        owners
            .iter()
            .any(|owner| owner["kind"] == "Canary" && owner["name"] == *names.canary)
    })
}

/// Whether this is an object that Davy makes or changes, and none that it only reads.
fn is_made(snapshot: &Snapshot, key: &Key) -> bool {
    let names = &snapshot.names;
    let services = [&names.apex, &names.apex_primary, &names.apex_canary];
    (*key.kind == SERVICE && services.contains(&&key.name))
        || snapshot.is_route(key)
        || *key == snapshot.primary_key()
        || snapshot.is_scaler_copy(key)
        || snapshot.is_config_copy(key)
}

/// Two Canaries that would write the same thing: neither advances. Judged over all Canaries that
/// could write, before any selection.
pub(super) fn contested(canaries: &[Canary], policy: &Policy) -> BTreeMap<String, Vec<Problem>> {
    let mut claims: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for canary in canaries.iter().filter(|canary| may_write(canary)) {
        let names = layout::names(canary);
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
        let services = [&names.apex, &names.apex_primary, &names.apex_canary]
            .map(|service| Key::new(&SERVICE, &**service));
        for key in services {
            claim("spec.service.name", key.to_string());
        }
        if let Ok(router) = routers::router(layout::provider(canary, policy)) {
            let reads = router.reads(canary, &names).into_iter();
            for (key, _) in reads.filter(|(_, role)| *role != Role::UsersOwn) {
                claim(router.named_by(), key.to_string());
            }
        }
        if let (Ok(Some(autoscaler)), Some(reference)) =
            (workloads::autoscaler(canary), &canary.spec.autoscaler_ref)
        {
            let copies = autoscaler.keys(&names, &reference.name).into_iter().skip(1);
            for key in copies {
                claim("spec.autoscalerRef", key.to_string());
            }
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

/// A Canary that goes or is suspended writes nothing that another one could contest.
fn may_write(canary: &Canary) -> bool {
    canary.metadata.deletion_timestamp.is_none() && canary.spec.suspend != Some(true)
}
