//! stub
use super::cluster::Cluster;
use jiff::Timestamp;
#[derive(Clone, Debug, Default)]
pub struct Behaviour { pub pod_ready_seconds: i64, stuck: Vec<String> }
impl Behaviour {
    pub fn stick(&mut self, tag: &str) { self.stuck.push(tag.into()); }
    pub fn unstick(&mut self, tag: &str) { self.stuck.retain(|t| t != tag); }
    pub fn want_replicas(&mut self, _: &std::collections::BTreeMap<String, i64>) {}
}
pub fn settle(cluster: &mut Cluster, now: Timestamp, _: &Behaviour) {
    let all: Vec<_> = cluster.objects_of("apps", "Deployment").map(|(k, o)| (k.clone(), o.clone())).collect();
    for (key, object) in all {
        let n = object["spec"]["replicas"].as_i64().unwrap_or(1);
        let g = object["metadata"]["generation"].clone();
        let image = object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or("").to_owned();
        let bad = image.contains("primary-stuck") && key.name.ends_with("-primary") || image.contains(":stuck");
        let a = if bad { 0 } else { n };
        let status = serde_json::json!({"observedGeneration": g, "replicas": n, "updatedReplicas": n, "availableReplicas": a, "readyReplicas": a});
        if object["status"] != status { let _ = cluster.edit(&key, "kcm", now, |o| o["status"] = status); }
    }
}
pub fn next_change(_: &Cluster, _: Timestamp, _: &Behaviour) -> Option<Timestamp> { None }
