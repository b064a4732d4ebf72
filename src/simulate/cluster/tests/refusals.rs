//! The words in which the API server refuses.

use serde_json::{Value, json};

use super::{
    CONFIGS, DEPLOYMENTS, JSON, MERGE, PODINFO, SERVICES, THING, THINGS, ask, cluster, deployment,
    get, thing,
};

/// Sends one request to a fresh cluster.
fn check(line: (&str, &str, &str), body: &Value, (code, reason): (u16, &str), message: &str) {
    let answer = ask(&mut cluster(), line, body);
    assert_eq!(answer.message(), message, "{line:?}");
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (code, &json!(reason)),
        "{line:?}"
    );
    assert_eq!(answer.body["code"], code, "{line:?}");
}

#[test]
fn a_request_that_cannot_be_carried_out_is_told_why() {
    for (line, body, code, reason, message) in [
        (
            ("GET", &*format!("{DEPLOYMENTS}/none"), JSON),
            json!(null),
            404,
            "NotFound",
            "deployments.apps \"none\" not found",
        ),
        (
            ("POST", DEPLOYMENTS, JSON),
            deployment(),
            409,
            "AlreadyExists",
            "deployments.apps \"podinfo\" already exists",
        ),
        (
            ("PUT", DEPLOYMENTS, JSON),
            deployment(),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        (
            ("PATCH", PODINFO, JSON),
            json!({}),
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        ),
        (
            ("GET", "/apis/apps/v1/namespaces/test/nothings", JSON),
            json!(null),
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
        (
            ("GET", &*format!("{THING}/nothing"), JSON),
            json!(null),
            404,
            "NotFound",
            "things.a.b \"one\" not found",
        ),
    ] {
        check(line, &body, (code, reason), message);
    }
    for media_type in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ] {
        let answer = ask(&mut cluster(), ("PATCH", THING, media_type), &json!({}));
        assert_eq!(answer.code, 415, "{media_type}");
    }
    let answer = get(&mut cluster(), "/apis/none.io/v1/namespaces/test/things");
    assert_eq!((answer.code, &*answer.text), (404, "404 page not found\n"));
}

#[test]
fn a_body_that_is_about_something_else_is_refused() {
    let other_version = json!({"apiVersion": "a.b/v2", "kind": "Thing", "metadata": {"name": "x"}});
    let other_kind = json!({"apiVersion": "a.b/v1", "kind": "Other", "metadata": {"name": "x"}});
    let mut elsewhere = deployment();
    elsewhere["metadata"]["namespace"] = json!("other");
    for (line, body, code, reason, message) in [
        (
            ("POST", "/apis/apps/v1/namespaces/none/deployments", JSON),
            json!({"metadata": {"name": "x"}}),
            404,
            "NotFound",
            "namespaces \"none\" not found",
        ),
        (
            ("POST", DEPLOYMENTS, JSON),
            elsewhere,
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            ("PUT", &*format!("{CONFIGS}/x"), JSON),
            json!({"metadata": {"name": "y"}}),
            400,
            "BadRequest",
            "the name of the object (y) does not match the name on the URL (x)",
        ),
        (
            ("POST", THINGS, JSON),
            other_version,
            400,
            "BadRequest",
            "the API version in the data (a.b/v2) does not match the expected API version (a.b/v1)",
        ),
        (
            ("POST", THINGS, JSON),
            other_kind,
            422,
            "Invalid",
            "Other.a.b \"x\" is invalid: kind: Invalid value: \"Other\": must be Thing",
        ),
    ] {
        check(line, &body, (code, reason), message);
    }
}

#[test]
fn an_object_that_breaks_a_rule_is_told_which() {
    let long = "y".repeat(64);
    let mut nameless = deployment();
    nameless["metadata"] = json!({});
    for (line, body, message) in [
        (
            ("POST", DEPLOYMENTS, JSON),
            nameless,
            "Deployment.apps \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            ("PATCH", THING, MERGE),
            json!({"metadata": {"labels": {"good": long}}}),
            &*format!(
                "Thing.a.b \"one\" is invalid: metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes"
            ),
        ),
        (
            ("POST", SERVICES, JSON),
            json!({"metadata": {"name": long}, "spec": {"ports": [{"port": 80}]}}),
            &*format!(
                "Service \"{long}\" is invalid: metadata.name: Invalid value: \"{long}\": must be no more than 63 characters"
            ),
        ),
        (
            ("PATCH", PODINFO, MERGE),
            json!({"spec": {"selector": {"matchLabels": {"app": "x"}}}}),
            "Deployment.apps \"podinfo\" is invalid: [spec.template.metadata.labels: Invalid value: {\"app\":\"podinfo\"}: \
             `selector` does not match template `labels`, spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: \
             field is immutable]",
        ),
    ] {
        check(line, &body, (422, "Invalid"), message);
    }
}

#[test]
fn what_is_too_large_is_refused() {
    for (size, code) in [(200_000, 201), (1_600_000, 500), (3_200_000, 413)] {
        let mut object = thing();
        object["metadata"]["name"] = json!("large");
        object["spec"]["free"] = json!({"text": "x".repeat(size)});
        let answer = ask(&mut cluster(), ("POST", THINGS, JSON), &object);
        assert_eq!(answer.code, code, "{size}");
    }
}
