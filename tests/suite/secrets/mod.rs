//! A marker in every credential that Davy is given, everything done to each that can go wrong, on
//! the real control plane by the real program at its most talkative: no marker in what it prints,
//! writes, posts or pushes.

mod echo;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bed::program::{Ended, Program};
use crate::git::https_server::{self, HttpsServer, base64};
use crate::git::keys::{Keys, public};
use crate::git::ssh_server;
use crate::podinfo::{Podinfo, fixture};
use echo::{ANSWERS, Answer, Echo, given_back};

/// Part of every credential below.
const MARKER: &str = "l3ak7f";

/// The credential for this purpose.
fn secret(what: &str) -> String {
    format!("{MARKER}{what}")
}

/// Files with credentials, and the settings that name them all.
struct Credentials {
    keys: Keys,
    settings: Vec<(&'static str, String)>,
    /// What must not be seen besides the marker: other forms of what holds it, and keys.
    forbidden: Vec<String>,
}

impl Credentials {
    fn new(echo: &Echo, git: &HttpsServer) -> Option<Self> {
        let keys = Keys::new()?;
        let signing = keys.ed25519("signing");
        let key = std::fs::read_to_string(&signing).expect("a key");
        let allowed = format!("davy@example.com namespaces=\"git\" {}", public(&signing));
        let allowed = keys.file("allowed", allowed);
        let authority = keys.file("ca.pem", &git.authority);
        let file = |name: &str, what: &str| shown(&keys.secret(name, secret(what)));
        let channel = |what: &str| format!("http://{}/{}", echo.address, secret(what));
        let webhook_key = format!(
            "whsec_{}",
            base64(format!("{MARKER}-webhook-key-of-24-bytes").as_bytes())
        );
        let settings = vec![
            (
                "DAVY_GIT_URL",
                format!("https://localhost:{}/audit.git", git.port),
            ),
            ("DAVY_GIT_CA_FILE", shown(&authority)),
            ("DAVY_GIT_USERNAME_FILE", file("git-user", "gituser")),
            (
                "DAVY_GIT_PASSWORD_FILE",
                file("git-password", "gitpassword"),
            ),
            ("DAVY_GIT_AUTHOR", "Davy <davy@example.com>".to_owned()),
            ("DAVY_GIT_SIGNING_KEY_FILE", shown(&signing)),
            ("DAVY_GIT_ALLOWED_SIGNERS_FILE", shown(&allowed)),
            (
                "DAVY_REVERT_URL",
                format!("https://localhost:{}/source.git", git.port),
            ),
            (
                "DAVY_REVERT_USERNAME_FILE",
                file("source-user", "sourceuser"),
            ),
            (
                "DAVY_REVERT_PASSWORD_FILE",
                file("source-password", "sourcepassword"),
            ),
            ("DAVY_SLACK_URL", channel("slack")),
            ("DAVY_SLACK_TOKEN_FILE", file("slack", "slacktoken")),
            ("DAVY_MSTEAMS_URL", channel("msteams")),
            ("DAVY_DISCORD_URL", channel("discord")),
            ("DAVY_ROCKET_URL", channel("rocket")),
            (
                "DAVY_GCHAT_URL",
                format!("{}?key={}", channel("gchat"), secret("gchatkey")),
            ),
            ("DAVY_WEBHOOK_URL", channel("webhook")),
            (
                "DAVY_WEBHOOK_SIGNING_KEY_FILE",
                shown(&keys.secret("webhook", &webhook_key)),
            ),
            ("DAVY_GRAFANA_URL", channel("grafana")),
            ("DAVY_GRAFANA_TOKEN_FILE", file("grafana", "grafanatoken")),
            ("DAVY_EVENT_WEBHOOK", channel("events")),
            (
                "DAVY_PUSHGATEWAY_URL",
                format!("http://davy:{}@{}", secret("pushgateway"), echo.address),
            ),
        ];
        let mut forbidden = lines_of_key(&key);
        forbidden.push(webhook_key);
        for (user, password) in [
            (secret("gituser"), secret("gitpassword")),
            (secret("sourceuser"), secret("sourcepassword")),
            ("davy".to_owned(), secret("pushgateway")),
            ("davy".to_owned(), secret("prometheus")),
        ] {
            forbidden.push(base64(format!("{user}:{password}").as_bytes()));
        }
        for what in [
            "gitpassword",
            "app",
            "provider",
            "providertoken",
            "kubetoken",
        ] {
            forbidden.push(base64(secret(what).as_bytes()));
        }
        Some(Self {
            keys,
            settings,
            forbidden,
        })
    }

    /// A call with every credential, at its most talkative.
    fn davy(&self, podinfo: &Podinfo, arguments: &[&str]) -> Program {
        let program = podinfo
            .davy(arguments)
            .set("DAVY_LOG", "trace")
            .set("RUST_BACKTRACE", "full")
            .set("DAVY_ALLOW_ADDRESSES", "127.0.0.1");
        self.settings
            .iter()
            .fold(program, |program, (name, value)| program.set(name, value))
    }

    /// That a text tells no credential.
    fn are_not_in(&self, what: &str, text: &str) {
        let found = std::iter::once(MARKER)
            .chain(self.forbidden.iter().map(String::as_str))
            .find(|secret| text.contains(secret));
        if let Some(secret) = found {
            let lines: Vec<_> = text.lines().filter(|line| line.contains(secret)).collect();
            let line = lines[0];
            let at = line.find(secret).unwrap_or(0);
            let from = at.saturating_sub(300);
            let near: String = line.chars().skip(from).take(600).collect();
            panic!("{what}, {} lines tell {secret}: {near}", lines.len());
        }
        assert!(!text.contains("panicked"), "{what}: {text}");
    }

    fn told(&self, what: &str, ended: &Ended) {
        self.are_not_in(what, &ended.to_string());
    }
}

/// The lines of a private key, without those that say what it is.
fn lines_of_key(key: &str) -> Vec<String> {
    let lines = key.lines().filter(|line| !line.starts_with("-----"));
    lines.map(str::to_owned).collect()
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// An https server in place of Git that gives back what it is sent.
fn git() -> HttpsServer {
    let count = std::sync::atomic::AtomicUsize::new(0);
    https_server::serve(move |request, stream| {
        let turn = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = ANSWERS[turn % ANSWERS.len()];
        let head = format!(
            "{} {}?{} HTTP/1.1\r\nAuthorization: {}\r\n",
            request.method,
            request.path,
            request.query,
            request.header("authorization")
        );
        // Whoever has gone needs no answer.
        let _ = std::io::Write::write_all(stream, &given_back(answer, &head, ""));
    })
}

/// The application with a Secret of its own, and an AlertProvider with one.
fn application(echo: &Echo) -> String {
    let app = secret("app");
    let provider = format!("http://{}/{}", echo.address, secret("provider"));
    let token = secret("providertoken");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: app}}
stringData: {{password: '{app}'}}
---
apiVersion: v1
kind: Secret
metadata: {{name: provider}}
stringData: {{address: '{provider}', token: '{token}'}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {{name: provider}}
spec: {{type: slack, secretRef: {{name: provider}}}}
"
    )
}

/// Everything in the namespace that others may read who may not read Secrets.
async fn readable(podinfo: &Podinfo) -> String {
    let mut text = String::new();
    for (version, kind) in [
        ("flagger.app/v1beta1", "Canary"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
        ("v1", "Event"),
        ("networking.istio.io/v1", "VirtualService"),
        ("networking.istio.io/v1", "DestinationRule"),
    ] {
        let objects = podinfo
            .cluster
            .objects(version, kind, Some(&podinfo.namespace));
        let list = objects.await.list(&kube::api::ListParams::default()).await;
        for object in list.unwrap_or_else(|error| panic!("{kind}: {error}")) {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{}", serde_json::to_string(&object).expect("JSON"));
        }
    }
    text
}

/// A release that is rolled back, whose every message finds somebody who gives it back.
#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_ever_shown() {
    let Some(podinfo) = Podinfo::begin("secrets").await else {
        return;
    };
    let (echo, git) = (Echo::open(), git());
    let (Some(mut credentials), Some(ssh)) =
        (Credentials::new(&echo, &git), ssh_server::shared().await)
    else {
        return;
    };
    let key = std::fs::read_to_string(&ssh.key).expect("a key");
    credentials.forbidden.extend(lines_of_key(&key));
    let credentials = credentials;
    podinfo.apply(&application(&echo)).await;
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let variable = json!([{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app", "key": "password"}}},
    ]}]);
    podinfo
        .edit("apps/v1", "Deployment", "podinfo", &variable)
        .await;

    let pass = |what: &str, arguments: &[&str]| {
        let ended = credentials.davy(&podinfo, arguments).run();
        credentials.told(&format!("{what}, {arguments:?}"), &ended);
        ended
    };
    pass("before anything", &["run", "--dry-run"]);
    let rests = async |phase: &str| {
        for _ in 0..200 {
            let seen = podinfo.seen(&pass(phase, &["run", "-o", "json"]));
            if seen.phase == phase {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        panic!("it does not become {phase}");
    };
    rests("Initialized").await;
    podinfo.serve(50.0, 50.0);
    podinfo.until_answers((50.0, "10s"), (50.0, "10s")).await;
    podinfo.image("1.2.1").await;
    rests("Progressing").await;
    pass("a release", &["run", "--dry-run"]);

    // The metrics system gives back what it is asked with, and so do all others.
    let prometheus = format!("http://davy:{}@{}", secret("prometheus"), echo.address);
    for answer in ANSWERS {
        echo.set(answer);
        let program = credentials.davy(&podinfo, &["run", "-o", "json"]);
        let ended = program.set("DAVY_METRICS_SERVER", &prometheus).run();
        credentials.told(&format!("metrics, {answer:?}"), &ended);
    }

    // The release fails; from then on every channel has news to refuse.
    echo.set(Answer::Status(500));
    rests("Failed").await;
    let alerts = json!([{"op": "add", "path": "/spec/canaryAnalysis/alerts", "value": [
        {"name": "all", "severity": "info", "providerRef": {"name": "provider"}},
    ]}]);
    podinfo
        .edit("flagger.app/v1beta1", "Canary", "podinfo", &alerts)
        .await;
    podinfo.image("1.2.2").await;
    rests("Progressing").await;
    rests("Failed").await;
    for answer in ANSWERS.into_iter().rev() {
        echo.set(answer);
        pass(&format!("channels, {answer:?}"), &["run"]);
    }
    for verb in [&["history"][..], &["verify"], &["history", "-o", "json"]] {
        for _ in 0..4 {
            pass("the trail", verb);
        }
    }
    let nowhere = ssh.url(std::path::Path::new("/nowhere/audit.git"));
    let program = credentials.davy(&podinfo, &["run"]);
    let program = program
        .set("DAVY_GIT_URL", nowhere)
        .set("DAVY_GIT_SSH_KEY_FILE", &ssh.key)
        .set("DAVY_GIT_KNOWN_HOSTS_FILE", &ssh.known_hosts);
    let ended = program.run();
    credentials.told("a repository that is not there, over ssh", &ended);
    assert!(
        ended.to_string().contains("records not in Git yet"),
        "{ended}"
    );
    let objects = readable(&podinfo).await;
    assert!(
        objects.contains("rolled-back"),
        "the outbox still holds what nobody took"
    );
    credentials.are_not_in("objects", &objects);
    // The event webhook and the channels are told no secret either, nor is the Pushgateway.
    credentials.are_not_in("messages", &echo.bodies());
    assert!(echo.bodies().contains("davy_"), "series were pushed");
    wrong_settings(&podinfo, &credentials);
    wrong_clusters(&podinfo, &credentials);
}

/// Settings that are refused, or files that do not hold what they should.
fn wrong_settings(podinfo: &Podinfo, credentials: &Credentials) {
    let keys = &credentials.keys;
    let marked = shown(&keys.secret("marked", format!("{}\n{0}", secret("file"))));
    let open = keys.file("open", secret("open"));
    for (name, _) in &credentials.settings {
        let values = match name.strip_suffix("_FILE") {
            Some(_) => vec![marked.clone(), shown(&open), format!("/nowhere/{name}")],
            None => vec![
                format!("ftp://davy:{}@localhost/", secret("wrong")),
                format!("https://davy:{}@localhost:x/", secret("wrong")),
                format!("https://davy:{}@localhost:1/audit.git", secret("wrong")),
            ],
        };
        // A path is no secret, and an author's name is not either.
        if [
            "DAVY_GIT_AUTHOR",
            "DAVY_GIT_CA_FILE",
            "DAVY_GIT_ALLOWED_SIGNERS_FILE",
        ]
        .contains(name)
        {
            continue;
        }
        for value in values {
            let program = credentials.davy(podinfo, &["run"]).set(name, &value);
            let ended = program.run();
            credentials.told(&format!("{name}={value}"), &ended);
        }
    }
    let ssh = credentials
        .davy(podinfo, &["run"])
        .set("DAVY_GIT_URL", "ssh://git@localhost/audit.git")
        .set("DAVY_GIT_SSH_KEY_FILE", &marked)
        .set("DAVY_GIT_KNOWN_HOSTS_FILE", &marked);
    credentials.told("an ssh key that is none", &ssh.run());
}

/// API servers that do not believe the token, and files that tell them wrong.
fn wrong_clusters(podinfo: &Podinfo, credentials: &Credentials) {
    let token = json!({"token": secret("kubetoken")});
    let password = json!({"username": "davy", "password": secret("kubepassword")});
    let kubeconfig = |name: &str, text: String| -> PathBuf { credentials.keys.secret(name, text) };
    let of = |server: &str, user: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bed",
            "clusters": [{"name": "bed", "cluster": {
                "server": server, "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "davy", "user": user}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "davy"}}],
        })
        .to_string()
    };
    let server = &*podinfo.cluster.server;
    let nowhere = "https://127.0.0.1:1";
    let files = [
        ("token", of(server, &token)),
        ("password", of(server, &password)),
        ("nowhere", of(nowhere, &token)),
        (
            "broken",
            of(server, &token).replace("\"token\":", "\"token\" "),
        ),
        ("odd", of(server, &json!({"token": [secret("kubetoken")]}))),
        (
            "data",
            of(
                server,
                &json!({
                    "client-certificate-data": secret("kubecertificate"),
                    "client-key-data": secret("kubekey"),
                }),
            ),
        ),
        (
            "exec",
            of(
                server,
                &json!({"exec": {
                    "apiVersion": "client.authentication.k8s.io/v1", "command": "/nowhere/login",
                    "interactiveMode": "Never", "env": [{"name": "PASSWORD", "value": secret("kubeexec")}],
                }}),
            ),
        ),
    ];
    for (name, text) in files {
        let config = kubeconfig(name, text);
        let program = credentials
            .davy(podinfo, &["run"])
            .set("KUBECONFIG", &config);
        credentials.told(&format!("kubeconfig {name}"), &program.run());
    }
}
