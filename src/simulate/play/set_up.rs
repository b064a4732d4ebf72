//! From a scenario's files to a cluster in which passes can be made.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Play;
use crate::api::canary::Canary;
use crate::objects::duration;
use crate::pass::deliver::outbox::Places;
use crate::pass::{Options, terms};
use crate::settings::Settings;
use crate::simulate::BEGINNING;
use crate::simulate::cluster::Cluster;
use crate::simulate::scenario::yaml::Manifest;
use crate::simulate::scenario::{Scenario, Unusable};
use crate::simulate::world::World;

const INTERVAL_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
const INTERVAL_MIN: SignedDuration = SignedDuration::from_secs(10);

impl Play {
    /// Sets the scenario's cluster up.
    ///
    /// # Errors
    /// Which object or setting of the scenario's files cannot be used, and where it stands.
    pub fn new(scenario: Scenario) -> Result<Self, Unusable> {
        let begun = BEGINNING;
        let script = &scenario.script;
        let settings = Settings::from_variables(script.settings.clone().into_iter())
            .map_err(|error| unusable(scenario.script_file(), format!("settings: {error}")))?;
        let world = World::new(begun);
        {
            let mut state = world.lock();
            state.cluster = crate::simulate::installed()
                .map_err(|error| unusable(scenario.cluster_file(), error))?;
            fill(&mut state.cluster, &scenario, begun)?;
            state.metrics = script.metrics.clone();
            state.hooks = script.hooks.clone();
            if let Some(seconds) = script.pod_seconds {
                state.behaviour.ready_after = SignedDuration::from_secs(seconds);
            }
        }
        // After the API server has looked at it, which names the field that is wrong.
        let canary = canary(&scenario)?;
        let every = script
            .every_seconds
            .map_or_else(|| interval(&canary), SignedDuration::from_secs);
        let metadata = &canary.metadata;
        let play = Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            canary: metadata.name.clone().unwrap_or_default(),
            options: options(settings),
            world,
            every,
            begun,
            passes: 0,
            next_pass: begun,
            crash: None,
            lines: Vec::new(),
            scenario,
        };
        play.world.advance(begun);
        Ok(play)
    }
}

/// Puts the scenario's objects in, definitions first: the others may be of their kinds.
fn fill(cluster: &mut Cluster, scenario: &Scenario, now: Timestamp) -> Result<(), Unusable> {
    let is_definition =
        |manifest: &&Manifest| manifest.object["kind"] == "CustomResourceDefinition";
    let definitions = scenario.manifests.iter().filter(is_definition);
    let others = scenario
        .manifests
        .iter()
        .filter(|manifest| !is_definition(manifest));
    for manifest in definitions.chain(others) {
        placed(cluster, manifest.object.clone())
            .and_then(|object| {
                let applied = cluster.apply(object, "user", now);
                applied.map(drop).map_err(|error| error.to_string())
            })
            .map_err(|why| manifest.unusable(&scenario.cluster_file(), &why))?;
    }
    Ok(())
}

/// The object with its kind served; one of a namespaced kind that names no namespace lives in
/// `test`, as in the scenarios that ship.
pub(super) fn placed(cluster: &mut Cluster, mut object: Value) -> Result<Value, String> {
    for field in ["apiVersion", "kind"] {
        if !object[field].is_string() {
            return Err(format!("the object has no {field}"));
        }
    }
    if !object["metadata"]["name"].is_string() {
        return Err("the object has no metadata.name".to_owned());
    }
    let is_namespaced = cluster.serve(&object)?;
    if is_namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = "test".into();
    }
    Ok(object)
}

/// The Canary that the transcript is about.
fn canary(scenario: &Scenario) -> Result<Canary, Unusable> {
    let file = scenario.cluster_file();
    let Some(manifest) = scenario.canary() else {
        return Err(unusable(file, "holds no Canary".to_owned()));
    };
    let mut canary: Canary = serde_json::from_value(manifest.object.clone())
        .map_err(|error| manifest.unusable(&file, &format!("not a valid Canary: {error}")))?;
    let namespace = &mut canary.metadata.namespace;
    namespace.get_or_insert_with(|| "test".to_owned());
    Ok(canary)
}

fn unusable(path: PathBuf, why: String) -> Unusable {
    Unusable {
        path,
        at: None,
        why,
    }
}

fn options(settings: Settings) -> Options {
    Options {
        scope: settings.scope,
        canary: None,
        shard: None,
        policy: settings.policy,
        metrics_server: settings.metrics_server,
        pushgateway: None,
        places: Places::default(),
        concurrency: 1,
        deadline: Duration::from_mins(10),
        dry_run: false,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

fn interval(canary: &Canary) -> SignedDuration {
    terms::analysis(canary)
        .and_then(|analysis| analysis.interval.as_deref())
        .and_then(|text| duration::parse(text).ok())
        .and_then(|interval| SignedDuration::try_from(interval).ok())
        .map_or(INTERVAL_DEFAULT, |interval| interval.max(INTERVAL_MIN))
}
