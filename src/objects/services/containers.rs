//! The ports that the containers of an application declare.

use serde_json::Value;

/// Proxies that service meshes put into pods: their ports are not the application's. Istio and what
/// is built on it; Linkerd; Kuma and Kong Mesh; Consul, of today and before, which adds the Service's
/// name where a pod has several; App Mesh, Open Service Mesh and Gloo; NGINX Service Mesh; MOSN.
const PROXIES: [&str; 8] = [
    "istio-proxy",
    "linkerd-proxy",
    "kuma-sidecar",
    "consul-dataplane",
    "envoy-sidecar",
    "envoy",
    "nginx-mesh-sidecar",
    "mosn",
];

/// The proxies of which a pod may have several, each with the name of a Service behind its own.
const NUMEROUS: [&str; 2] = ["consul-dataplane-", "envoy-sidecar-"];

/// A port that a container declares.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContainerPort<'a> {
    pub(super) container: &'a str,
    /// Its place among the ports of the container.
    pub(super) index: usize,
    pub(super) name: Option<&'a str>,
    pub(super) number: &'a Value,
    /// TCP where the container says nothing, as Kubernetes has it.
    pub(super) protocol: &'a str,
}

impl ContainerPort<'_> {
    /// Whether a Service's `targetPort`, a number or a name, means this port.
    pub(super) fn is(&self, target_port: &Value) -> bool {
        target_port == self.number || self.name.is_some_and(|name| target_port == name)
    }
}

/// The ports of the application's containers in the workload's pod template, and then of its
/// sidecars: init containers that run on beside it.
pub(super) fn ports(workload: &Value) -> impl Iterator<Item = ContainerPort<'_>> {
    let pod = &workload["spec"]["template"]["spec"];
    let sidecars = list(&pod["initContainers"]).filter(|it| it["restartPolicy"] == "Always");
    list(&pod["containers"])
        .chain(sidecars)
        .filter(|container| !is_proxy(name(container).unwrap_or_default()))
        .flat_map(ports_of)
}

/// Whether the workload's pods declare a port that this `targetPort` means.
pub(super) fn declare(workload: &Value, target_port: &Value) -> bool {
    ports(workload).any(|port| port.is(target_port))
}

fn ports_of(container: &Value) -> impl Iterator<Item = ContainerPort<'_>> {
    let ports = list(&container["ports"]).enumerate();
    ports.map(|(index, port)| ContainerPort {
        container: name(container).unwrap_or_default(),
        index,
        name: name(port),
        number: &port["containerPort"],
        protocol: port["protocol"].as_str().unwrap_or("TCP"),
    })
}

fn is_proxy(container: &str) -> bool {
    PROXIES.contains(&container) || NUMEROUS.iter().any(|prefix| container.starts_with(prefix))
}

fn name(named: &Value) -> Option<&str> {
    named["name"].as_str().filter(|name| !name.is_empty())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
