//! The `EndpointSlice` controller: which pods are behind a Service, and which of them are ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::cluster::object::{list, text};
use super::super::cluster::{Cluster, Key};
use super::owned::{owner_reference, template_hash};
use super::replica_sets::readiness;
use super::{Behaviour, keys};

const MANAGER: &str = "endpointslice-controller";

/// The sets that run pods, by namespace and label: a look at all of them for each Service would
/// take too long.
type ByLabel = BTreeMap<(Arc<str>, String), Vec<Arc<Value>>>;

/// Writes the one slice of each Service that has a selector.
pub(super) fn sync(cluster: &mut Cluster, now: Timestamp, behaviour: &Behaviour) {
    let services = keys(cluster, "", "Service");
    let sets = if services.is_empty() {
        ByLabel::new()
    } else {
        by_label(cluster)
    };
    for key in services {
        write(cluster, &key, &sets, now, behaviour);
    }
}

fn by_label(cluster: &Cluster) -> ByLabel {
    let mut found = ByLabel::new();
    let replica_sets = cluster.objects_of("apps", "ReplicaSet");
    let daemon_sets = cluster.objects_of("apps", "DaemonSet");
    let running = replica_sets
        .chain(daemon_sets)
        .filter(|(_, set)| !cluster.pods(set).is_empty());
    for (key, set) in running {
        let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
        for (label, value) in labels.into_iter().flatten() {
            let label = (key.namespace.clone(), format!("{label}={value}"));
            found.entry(label).or_default().push(set.clone());
        }
    }
    found
}

fn write(cluster: &mut Cluster, key: &Key, sets: &ByLabel, now: Timestamp, behaviour: &Behaviour) {
    let Some(service) = cluster.get(key) else {
        return;
    };
    let Some(selector) = service["spec"]["selector"]
        .as_object()
        .filter(|all| !all.is_empty())
    else {
        return;
    };
    if service["spec"]["type"] == "ExternalName" {
        return;
    }
    let uid = &service["metadata"]["uid"];
    let name = format!("{}-{}", key.name, &template_hash(uid, 0)[..5]);
    let pods = selected(cluster, &key.namespace, selector, sets, now, behaviour);
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| endpoint(&key.namespace, pod))
        .collect();
    let ports: Vec<_> = list(&service, "/spec/ports").iter().map(port).collect();
    let slice = cluster.get(&key.beside("discovery.k8s.io", "EndpointSlice", &name));
    match slice {
        None => {
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "namespace": &*key.namespace,
                    "labels": {
                        "kubernetes.io/service-name": &*key.name,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                    "ownerReferences": [owner_reference(&service)],
                },
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": ports,
            });
            drop(cluster.create(slice, MANAGER, now));
        }
        Some(slice) => {
            let (endpoints, ports) = (json!(endpoints), json!(ports));
            if slice["endpoints"] != endpoints || slice["ports"] != ports {
                let mut slice = slice.as_ref().clone();
                slice["endpoints"] = endpoints;
                slice["ports"] = ports;
                drop(cluster.replace(slice, MANAGER, now));
            }
        }
    }
}

/// The pods that a Service with this selector sends to: the set and the number of each, and whether
/// it is ready.
fn selected(
    cluster: &Cluster,
    namespace: &Arc<str>,
    selector: &Map<String, Value>,
    sets: &ByLabel,
    now: Timestamp,
    behaviour: &Behaviour,
) -> Vec<(String, usize, bool)> {
    let mut found = Vec::new();
    let first = selector.iter().next();
    let sets =
        first.and_then(|(label, value)| sets.get(&(namespace.clone(), format!("{label}={value}"))));
    for set in sets.into_iter().flatten() {
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        if selector
            .iter()
            .any(|(label, value)| labels[label] != *value)
        {
            continue;
        }
        for (index, pod) in cluster.pods(set).iter().enumerate() {
            let (ready, _) = readiness(set, std::slice::from_ref(pod), now, behaviour);
            found.push((text(set, "/metadata/name").to_owned(), index, ready > 0));
        }
    }
    found
}

fn endpoint(namespace: &str, (set, index, ready): &(String, usize, bool)) -> Value {
    let name = format!("{set}-{index}");
    // Two bytes from the name of the pod: addresses are looked at by nobody, but two pods should
    // not share one.
    let hash = template_hash(&json!(name), 0);
    let bytes = hash.as_bytes();
    let part = |one: u8, other: u8| (u16::from(one) * 31 + u16::from(other)) % 254 + 1;
    json!({
        "addresses": [format!("10.244.{}.{}", part(bytes[0], bytes[1]), part(bytes[2], bytes[3]))],
        "conditions": {"ready": ready, "serving": ready, "terminating": false},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name},
    })
}

fn port(port: &Value) -> Value {
    let number = port["targetPort"]
        .as_i64()
        .or_else(|| port["port"].as_i64());
    json!({"name": text(port, "/name"), "port": number, "protocol": port["protocol"]})
}
