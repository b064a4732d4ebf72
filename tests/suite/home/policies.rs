//! The components that fence Davy in, as they stand: who writes status, what its pods reach, and who
//! sees the token of its account.
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::bed::control_plane;
use crate::bed::wait::until;

/// A policy acts a moment after it was made.
const DEADLINE: Duration = Duration::from_mins(1);

fn documents(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kustomize")
        .join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .collect()
}

#[test]
fn nobody_but_davys_account_writes_status() {
    let [policy, binding] = &documents("components/status-writers/policy.yaml")[..] else {
        panic!("two documents")
    };
    let spec = &policy["spec"];
    assert_eq!(spec["failurePolicy"], "Fail");
    let rule = &spec["matchConstraints"]["resourceRules"][0];
    assert_eq!(rule["apiGroups"], json!(["flagger.app"]));
    assert_eq!(rule["apiVersions"], json!(["*"]));
    assert_eq!(rule["resources"], json!(["canaries/status"]));
    // A patch is an update.
    assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]));
    // The namespace of the overlays, and the account of the base.
    let namespace = &documents("overlays/cronjob/kustomization.yaml")[0]["namespace"];
    let account = &documents("base/service-account.yaml")[0]["metadata"]["name"];
    let user = format!(
        "system:serviceaccount:{}:{}",
        namespace.as_str().expect("a namespace"),
        account.as_str().expect("a name")
    );
    let validations = spec["validations"].as_array().expect("a list");
    assert_eq!(validations.len(), 1, "one that lets others pass would do");
    let expression = format!("request.userInfo.username == \"{user}\"");
    assert_eq!(validations[0]["expression"], expression);
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
}

#[test]
fn pods_of_davy_reach_neither_credentials_of_clouds_nor_nodes() {
    let policy = &documents("components/network-policy/network-policy.yaml")[0]["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let selected = &policy["podSelector"]["matchLabels"];
    let cron_job = &documents("base/cron-job.yaml")[0]["spec"]["jobTemplate"]["spec"];
    let deployment = &documents("overlays/sidecar/deployment.yaml")[0]["spec"];
    for template in [&cron_job["template"], &deployment["template"]] {
        let labels = &template["metadata"]["labels"];
        for (name, value) in selected.as_object().expect("labels") {
            assert_eq!(&labels[name], value, "{name}");
        }
    }
    let mut left_out = Vec::new();
    let mut ports: Vec<RangeInclusive<u64>> = Vec::new();
    for rule in policy["egress"].as_array().expect("rules") {
        let number = |port: &Value| port.as_u64().expect("a port");
        if rule["to"].is_null() {
            let names = rule["ports"].as_array().expect("ports");
            assert!(names.iter().all(|port| port["port"] == 53), "{rule}");
            continue;
        }
        for to in rule["to"].as_array().expect("a list") {
            let except = to["ipBlock"]["except"].as_array().expect("exceptions");
            left_out.extend(
                except
                    .iter()
                    .map(|it| it.as_str().expect("a range").to_owned()),
            );
        }
        let ranges = rule["ports"].as_array().expect("ports");
        ports.extend(
            ranges
                .iter()
                .map(|it| number(&it["port"])..=number(&it["endPort"])),
        );
    }
    for range in [
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "fe80::/10",
        "fd00:ec2::/64",
        "fd20:ce::/64",
    ] {
        assert!(left_out.iter().any(|known| known == range), "{range}");
    }
    let reached = |port: u64| ports.iter().any(|range| range.contains(&port));
    for port in [2379, 2380, 10248, 10249, 10250, 10255, 10256, 10257, 10259] {
        assert!(!reached(port), "{port}");
    }
    for port in [22, 80, 443, 6443, 9090, 9091] {
        assert!(reached(port), "{port}");
    }
    assert_eq!(policy["ingress"].as_array().map(Vec::len), Some(1));
}

#[test]
fn beside_an_application_the_token_is_in_davys_container_alone() {
    let component = &documents("components/beside-an-application/kustomization.yaml")[0];
    let patch = component["patches"][1]["patch"].as_str().expect("a patch");
    let patch: Value = serde_yaml::from_str(patch).expect("YAML");
    let pod = &patch["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(pod["containers"].is_null(), "nothing is mounted there");
    let volume = &pod["volumes"][0];
    let sources = volume["projected"]["sources"].as_array().expect("sources");
    let token = &sources[0]["serviceAccountToken"];
    assert_eq!(token["path"], "token");
    assert!(token["expirationSeconds"].as_i64() <= Some(3600));
    let davy = &pod["initContainers"][0];
    let mounts = davy["volumeMounts"].as_array().expect("mounts");
    assert_eq!(mounts.len(), 1);
    assert_eq!(mounts[0]["name"], volume["name"]);
    assert_eq!(mounts[0]["readOnly"], true);
    assert_eq!(
        mounts[0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
}

/// The policy as it is shipped, bound to the namespace of this test alone, as others share the
/// control plane.
#[tokio::test]
async fn an_api_server_with_the_policy_lets_nobody_else_write_status() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "writers").await;
    let namespace = &*stage.namespace;
    let accounts = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writers}
rules:
- {apiGroups: [flagger.app], resources: [canaries, canaries/status], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writers}
subjects:
- {kind: ServiceAccount, name: davy}
- {kind: ServiceAccount, name: somebody}
";
    cluster.apply_yaml(accounts, namespace).await;
    stage
        .application(
            "podinfo",
            &json!({"provider": "kubernetes", "skipAnalysis": true}),
        )
        .await;
    let written_by = async |account: &str| {
        let kubeconfig = cluster
            .kubeconfig_for_service_account(namespace, account)
            .await;
        let output = Command::new(cluster.kubectl())
            .env("KUBECONFIG", kubeconfig)
            .args(["--namespace", namespace, "patch", "canary", "podinfo"])
            .args(["--subresource", "status", "--type", "merge"])
            .args(["--patch", r#"{"status": {"canaryWeight": 0}}"#])
            .output()
            .expect("kubectl starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    };
    assert_eq!(written_by("somebody").await, Ok(()), "without the policy");

    let name = format!("davy-status-writers-{namespace}");
    let [mut policy, mut binding] =
        <[Value; 2]>::try_from(documents("components/status-writers/policy.yaml"))
            .expect("two documents");
    policy["metadata"]["name"] = name.clone().into();
    let expression = &mut policy["spec"]["validations"][0]["expression"];
    let shipped = expression.as_str().expect("an expression");
    *expression = shipped
        .replace(":davy-system:", &format!(":{namespace}:"))
        .into();
    binding["metadata"]["name"] = name.clone().into();
    binding["spec"]["policyName"] = name.into();
    let here = json!({"kubernetes.io/metadata.name": namespace});
    binding["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": here}});
    for object in [&policy, &binding] {
        cluster.apply_yaml(&object.to_string(), namespace).await;
    }
    until("others are refused", DEADLINE, async || {
        match written_by("somebody").await {
            Err(said) if said.contains("only Davy's account may write") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(written_by("davy").await, Ok(()));
    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        let name = policy["metadata"]["name"].as_str().expect("a name");
        stage.kubectl(&["delete", kind, name]);
    }
}
