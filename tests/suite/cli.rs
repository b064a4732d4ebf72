//! The program as scripts and pods call it: its settings, its ways to run, what it prints and how it
//! ends. What needs no cluster runs without one.
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, sync::mpsc};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    bed::program::Program,
    podinfo::{Podinfo, fixture, stand_in, vector},
};

#[test]
fn all_problems_of_the_settings_are_told_at_once() {
    let wrong = [
        (
            "DAVY_METRICS_SERVER",
            "ftp://prometheus",
            "ftp://prometheus",
        ),
        ("DAVY_MESH_PROVIDER", "carrier-pigeon", "known are "),
        ("DAVY_NAMESPACE", "No!", "No!"),
        ("DAVY_CONFIG_TRACKING", "perhaps", "neither true nor false"),
        ("DAVY_PASS_DEADLINE", "soon", "soon"),
        ("DAVY_CONCURRENCY", "0", "1 to 1000"),
        ("DAVY_ALLOW_ADDRESSES", "10.0.0.0/99", "10.0.0.0/99"),
        ("DAVY_COMPAT", "argo", "known is flagger"),
        ("DAVY_LOG", "loud=very", "loud=very"),
    ];
    let program = wrong
        .iter()
        .fold(Program::new(&["run"]), |program, (name, value, _)| {
            program.set(name, value)
        });
    let ended = program.run().with_code(2);
    let errors: Vec<_> = ended.errors.lines().collect();
    assert_eq!(errors.len(), wrong.len(), "{ended}");
    for (name, _, why) in wrong {
        let begin = format!("error: {name}: ");
        let is_it = |line: &&&str| line.starts_with(&begin) && line.contains(why);
        assert_eq!(errors.iter().filter(is_it).count(), 1, "{name}: {ended}");
    }
    assert_eq!(ended.output, "", "{ended}");
}

/// Whether it comes from an argument or from a file's name.
#[test]
fn nothing_that_steers_a_terminal_is_printed() {
    let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}b";
    for arguments in [&["run", "--canary", hostile][..], &["rbac", "-f", hostile]] {
        let ended = Program::new(arguments).run().with_code(2);
        let said = &ended.errors;
        assert!(said.contains("\\u001b[2J\\u009b31m\\u202eb"), "{ended}");
        let steers = |c: char| c != '\n' && davy::api::text::is_unprintable(c);
        assert!(!said.contains(steers), "{said:?}");
    }
}

/// What others put into the environment is none of Davy's business.
#[test]
fn variables_that_are_not_text_are_borne() {
    let noise = OsStr::from_bytes(b"\xff\xfe");
    let ended = Program::new(&["run"])
        .set("TERMINAL_TITLE", noise)
        .set("DAVY_NAMESPACE", noise)
        .run()
        .with_code(2);
    assert!(
        ended.errors.starts_with("error: DAVY_NAMESPACE: "),
        "{ended}"
    );
}

#[test]
fn wrong_arguments_are_a_matter_of_usage() {
    for (arguments, why) in [
        (&["run", "--for", "10s"][..], "--every"),
        (&["run", "--every", "often"], "often"),
        (&["run", "--every", "0s"], "longer than 0s"),
        (&["run", "--canary", "podinfo"], "NAMESPACE/NAME"),
        (&["run", "-o", "xml"], "json"),
        (&["release"], "release"),
        (&[], "Usage"),
    ] {
        let ended = Program::new(arguments).run().with_code(2);
        assert!(ended.errors.contains(why), "{arguments:?}: {ended}");
        assert_eq!(ended.output, "", "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        let ended = Program::new(&arguments).run().with_code(0);
        assert!(ended.output.contains("davy"), "{arguments:?}: {ended}");
    }
}

/// No canary is begun before the Canaries are read, so nothing has to be finished.
#[test]
fn signals_are_heard_while_the_canaries_are_read() {
    for signal in ["TERM", "INT"] {
        for (arguments, code, error) in [
            (
                &["run"][..],
                1,
                "error: stopped before the pass could begin",
            ),
            (&["run", "--every", "1h"], 0, ""),
            // The pass takes longer than its interval.
            (&["run", "--every", "1ms"], 0, ""),
        ] {
            let (asks, asked) = mpsc::channel();
            let (test, is_over) = mpsc::channel::<()>();
            let server = stand_in(move || {
                let _ = asks.send(());
                // Answers when nobody waits any more.
                let _ = is_over.recv();
                no_canaries()
            });
            let kubeconfig = kubeconfig(&server);
            let running = Program::new(arguments)
                .set("KUBECONFIG", kubeconfig.path())
                .start();
            asked.recv().expect("the Canaries are asked for");
            running.signal(signal);
            let ended = running.end().with_code(code);
            drop(test);
            assert_eq!(ended.output, "", "{arguments:?} {signal}: {ended}");
            let is_said = |line: &str| line == error;
            assert!(
                error.is_empty() || ended.errors.lines().any(is_said),
                "{arguments:?} {signal}: {ended}"
            );
        }
    }
}

#[test]
fn signals_are_heard_between_passes_that_are_far_apart_or_too_close() {
    for signal in ["TERM", "INT"] {
        // Of passes at every millisecond each takes longer than that.
        for (every, passes) in [("1h", 1), ("1ms", 3)] {
            let kubeconfig = kubeconfig(&stand_in(no_canaries));
            let running = Program::new(&["run", "--every", every])
                .set("KUBECONFIG", kubeconfig.path())
                .start();
            for _ in 0..passes {
                assert_eq!(running.line(), "0 canaries\n");
            }
            running.signal(signal);
            let ended = running.end().with_code(0);
            assert!(ended.output.lines().count() >= passes, "{every}: {ended}");
        }
    }
}

fn no_canaries() -> String {
    let list = json!({
        "kind": "CanaryList",
        "apiVersion": "flagger.app/v1beta1",
        "metadata": {"resourceVersion": "1"},
        "items": [],
    });
    list.to_string()
}

/// What leads to an API server at this address.
fn kubeconfig(server: &str) -> NamedTempFile {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    });
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("it can be written");
    file
}

#[tokio::test]
async fn dry_run_prints_the_step_and_changes_nothing() {
    let Some(podinfo) = Podinfo::begin("dry-run").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    podinfo.until_ready("podinfo").await;
    let name = format!("{}/podinfo", podinfo.namespace);
    let printed = dry_run(&podinfo).await;
    assert!(
        printed.contains(&format!("{name}: new Canary detected")),
        "{printed}"
    );
    for object in ["Deployment podinfo-primary", "Service podinfo-canary"] {
        assert!(
            printed.contains(&format!("\n  {object}\n")),
            "{object}: {printed}"
        );
    }

    podinfo.passes_until_rest_in("Initialized").await;
    podinfo.image("1.2.1").await;
    podinfo.passes_until_weight(10).await;
    let printed = dry_run(&podinfo).await;
    assert!(
        printed.contains(&format!("{name}: canary weight 20\n")),
        "{printed}"
    );
    let objects: Vec<_> = printed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .collect();
    assert_eq!(objects, ["  VirtualService podinfo"], "{printed}");
    assert!(
        printed.contains("value: 20") && printed.contains("value: 80"),
        "{printed}"
    );

    // What it said it would do is what is done.
    assert_eq!(podinfo.pass().weight, 20);
}

/// Its output. Neither the objects nor the audit log may show a trace of it.
async fn dry_run(podinfo: &Podinfo) -> String {
    let before = podinfo.settled_versions().await;
    let mark = podinfo.cluster.audit_mark();
    let ended = podinfo.davy(&["run", "--dry-run"]).run().with_code(0);
    let requests = podinfo.cluster.audit(mark, &podinfo.user).await;
    assert!(requests.len() > 3, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|request| ["get", "list"].contains(&&*request.verb)),
        "{requests:#?}"
    );
    assert_eq!(podinfo.versions().await, before);
    ended.output
}

#[tokio::test]
async fn one_canary_can_be_chosen() {
    let Some(podinfo) = Podinfo::begin("chosen").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    podinfo
        .apply(&fixture("story/quick.yaml").replace("podinfo", "other"))
        .await;
    let before = podinfo.canary().await;
    let name = format!("{}/other", podinfo.namespace);
    // The namespace is told by the name: another one in the settings is not looked at.
    let ended = podinfo
        .davy(&["run", "-o", "json", "--canary", &name])
        .set("DAVY_NAMESPACE", "elsewhere")
        .run()
        .with_code(0);
    assert_eq!(ended.canary(&name)["outcome"], "stepped", "{ended}");
    assert_eq!(
        ended.report()["canaries"].as_array().map(Vec::len),
        Some(1),
        "{ended}"
    );
    assert_eq!(podinfo.canary().await, before);

    let missing = format!("{}/nobody", podinfo.namespace);
    let ended = podinfo
        .davy(&["run", "--canary", &missing])
        .run()
        .with_code(2);
    let message = format!("error: Canary {missing} does not exist");
    assert!(ended.errors.lines().any(|line| line == message), "{ended}");
}

#[tokio::test]
async fn passes_in_a_loop_go_on_for_a_while_and_end_by_themselves() {
    let Some(podinfo) = Podinfo::begin("loop").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let ended = podinfo
        .davy(&["run", "--every", "2s", "--for", "10s", "-o", "json"])
        .run()
        .with_code(0);
    // At 0, 2, … 10 s; on a busy machine some are missed, and not made up for.
    let reports: Vec<Value> = ended
        .output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!((2..=6).contains(&reports.len()), "{ended}");
    let started: Vec<_> = reports
        .iter()
        .map(|report| report["started"].as_str())
        .collect();
    assert!(started.is_sorted_by(|a, b| a < b), "{started:?}");
    let steps: Vec<_> = reports
        .iter()
        .map(|report| report["canaries"][0]["step"].as_i64())
        .collect();
    assert!(steps.is_sorted() && steps[0] == Some(1), "{steps:?}");
}

/// SIGTERM comes while the pass waits for Prometheus: the pass is carried to its end, and no other
/// is begun.
#[tokio::test]
async fn sigterm_lets_the_pass_finish_and_ends_the_loop() {
    let Some(podinfo) = Podinfo::begin("sigterm").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let (asks, asked) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let prometheus = stand_in(move || {
        // An error means that the test is over.
        let _ = asks.send(());
        let _ = goes.recv();
        vector("1")
    });
    let running = podinfo
        .davy(&["run", "--every", "1h", "-o", "json"])
        .set("DAVY_METRICS_SERVER", prometheus)
        .start();
    asked.recv().expect("the pass asks Prometheus");
    running.terminate();
    go.send(()).expect("Prometheus waits for it");
    let ended = running.end().with_code(0);

    assert_eq!(ended.output.lines().count(), 1, "{ended}");
    let said = podinfo.seen(&ended);
    assert_eq!(
        (&*said.outcome, &*said.phase),
        ("stepped", "Initializing"),
        "{ended}"
    );
    let step = podinfo.canary().await["status"]["step"].take();
    assert_eq!(step["number"], json!(1));
    // Every object of the step was written, not only the claim.
    for object in step["objects"].as_array().expect("objects") {
        let text = |field: &str| object[field].as_str().expect("a text").to_owned();
        let written = podinfo
            .object(&text("apiVersion"), &text("kind"), &text("name"))
            .await;
        let version = written["metadata"]["resourceVersion"].as_str();
        assert!(
            version.is_some_and(|version| version != text("resourceVersion")),
            "{object}"
        );
    }
}
