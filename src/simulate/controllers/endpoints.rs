//! The `EndpointSlice` controller: which pods are behind a Service, and which of them are ready.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cluster::object::{list, text};
use super::super::cluster::{Cluster, Key};
use super::Behaviour;
use super::owned::{owner_reference, template_hash};
use super::replica_sets::selected;

const MANAGER: &str = "endpointslice-controller";

/// Writes the one slice of a Service that has a selector.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, behaviour: &Behaviour) {
    let Some(service) = cluster.get(key) else {
        return;
    };
    let Some(selector) = service["spec"]["selector"].as_object().filter(|all| !all.is_empty())
    else {
        return;
    };
    if service["spec"]["type"] == "ExternalName" {
        return;
    }
    let uid = &service["metadata"]["uid"];
    let name = format!("{}-{}", key.name, &template_hash(uid, 0)[..5]);
    let pods = selected(cluster, &key.namespace, selector, now, behaviour);
    let endpoints: Vec<_> = pods.iter().map(|pod| endpoint(&key.namespace, pod)).collect();
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

fn endpoint(namespace: &str, (set, index, ready): &(String, usize, bool)) -> Value {
    let name = format!("{set}-{index}");
    // Two bytes from the name of the pod: addresses are looked at by nobody, but two pods should not share one.
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
    let number = port["targetPort"].as_i64().or_else(|| port["port"].as_i64());
    json!({"name": text(port, "/name"), "port": number, "protocol": port["protocol"]})
}
