//! What is to be seen of podinfo from outside: its objects, its Events, and what Prometheus answers.
use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{Discovery, Scope, verbs},
};
use serde_json::{Value, json};

use crate::bed::wait::until;

use super::Podinfo;

/// A window of the recorded canary is a minute, and what is older must have left it.
const METRICS_DEADLINE: Duration = Duration::from_mins(6);

impl Podinfo {
    /// An object as JSON; null when there is none.
    pub(crate) async fn object(&self, api_version: &str, kind: &str, name: &str) -> Value {
        let namespace = Some(self.namespace.as_str());
        let objects = self.cluster.objects(api_version, kind, namespace).await;
        let object = objects.get_opt(name).await;
        json!(object.unwrap_or_else(|error| panic!("reading {kind} {name}: {error}")))
    }

    pub(crate) async fn canary(&self) -> Value {
        self.object("flagger.app/v1beta1", "Canary", "podinfo")
            .await
    }

    pub(crate) async fn deployment(&self, name: &str) -> Value {
        self.object("apps/v1", "Deployment", name).await
    }

    pub(crate) async fn route(&self) -> Value {
        self.object("networking.istio.io/v1", "VirtualService", "podinfo")
            .await
    }

    /// The tag of a Deployment's image, and how many replicas it asks for.
    pub(crate) async fn tag_and_replicas(&self, name: &str) -> (String, i64) {
        let spec = self.deployment(name).await["spec"].take();
        let image = spec["template"]["spec"]["containers"][0]["image"].as_str();
        let tag = image.and_then(|image| image.rsplit(':').next());
        (
            tag.unwrap_or_default().to_owned(),
            spec["replicas"].as_i64().unwrap_or(-1),
        )
    }

    /// The route's weights of primary and canary.
    pub(crate) async fn route_weights(&self) -> (u64, u64) {
        let route = self.route().await;
        let weight = |host: &str| weight_of(&route, host).unwrap_or(0);
        (weight("podinfo-primary"), weight("podinfo-canary"))
    }

    /// The texts of the Canary's Events in their order, with their types; those that tell of waiting
    /// depend on the machine and are left out.
    pub(crate) async fn events(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.cluster.client(), &self.namespace);
        let listed = events.list(&ListParams::default()).await;
        let mut events = listed.expect("Events can be listed").items;
        events.retain(|event| {
            let about = &event.involved_object;
            about.kind.as_deref() == Some("Canary") && about.name.as_deref() == Some("podinfo")
        });
        // Their names end with the number of the step and the place in it.
        events.sort_by_key(ResourceExt::name_any);
        let texts = events.into_iter().map(|event| {
            let text = |text: Option<String>| text.unwrap_or_default();
            let (kind, reason) = (text(event.type_), text(event.reason));
            format!("{kind} {reason} {}", text(event.message))
        });
        texts.filter(|text| !is_waiting(text)).collect()
    }

    /// The resourceVersion of every object in the namespace, whatever its kind.
    pub(crate) async fn versions(&self) -> BTreeMap<String, String> {
        let client = self.cluster.client();
        let discovery = Discovery::new(client.clone()).run().await;
        let discovery = discovery.expect("the API can be discovered");
        let mut versions = BTreeMap::new();
        for (resource, capabilities) in discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
        {
            if capabilities.scope != Scope::Namespaced
                || !capabilities.supports_operation(verbs::LIST)
            {
                continue;
            }
            let objects: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), &self.namespace, &resource);
            let listed = match objects.list(&ListParams::default()).await {
                // Another test's definition, that has come or gone meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                listed => listed.unwrap_or_else(|error| panic!("{}: {error}", resource.kind)),
            };
            for object in listed {
                let key = format!("{} {}", resource.kind, object.name_any());
                versions.insert(key, object.resource_version().unwrap_or_default());
            }
        }
        versions
    }

    /// The same once controllers have come to rest.
    pub(crate) async fn settled_versions(&self) -> BTreeMap<String, String> {
        let mut last = BTreeMap::new();
        until("nothing changes any more", METRICS_DEADLINE, async || {
            let before = std::mem::replace(&mut last, self.versions().await);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if before == last {
                Ok(())
            } else {
                Err(format!("{before:?} became {last:?}"))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        last
    }

    /// Waits until Prometheus itself answers the canary's two checks with these numbers. The queries
    /// are Flagger's, as they were recorded.
    pub(crate) async fn until_answers(&self, success: (f64, &str), milliseconds: (f64, &str)) {
        let labels = format!(
            "reporter=\"destination\", destination_workload_namespace=\"{}\", \
             destination_workload=~\"podinfo\"",
            self.namespace
        );
        let window = success.1;
        let rate = format!(
            "sum( rate( istio_requests_total{{ {labels}, response_code!~\"5.*\" }}[{window}] ) ) / \
             sum( rate( istio_requests_total{{ {labels} }}[{window}] ) ) * 100"
        );
        let window = milliseconds.1;
        let duration = format!(
            "histogram_quantile( 0.99, sum( rate( istio_request_duration_milliseconds_bucket{{ \
             {labels} }}[{window}] ) ) by (le) )"
        );
        for (query, wanted) in [(rate, success.0), (duration, milliseconds.0)] {
            let is_close = |value: f64| (value - wanted).abs() < 1e-6;
            let prometheus = self.prometheus;
            prometheus.until(&query, is_close, METRICS_DEADLINE).await;
        }
    }
}

/// The weight that a VirtualService gives to a host, in its first rule.
pub(super) fn weight_of(route: &Value, host: &str) -> Option<u64> {
    let destinations = route["spec"]["http"][0]["route"].as_array()?;
    let destination = destinations
        .iter()
        .find(|destination| destination["destination"]["host"] == host)?;
    destination["weight"].as_u64()
}

/// Each text once, where it first was.
pub(crate) fn once_each(texts: Vec<String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

/// Whether an Event tells of waiting, which depends on when passes are made.
pub(crate) fn is_waiting(text: &str) -> bool {
    text.contains(" not ready: ") && !text.contains("failed, primary not ready")
}
