//! The CustomResourceDefinitions that the types describe, as JSON: what `davy crds` prints and what is
//! kept in `config/crd`.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::api::alert_provider::AlertProvider;
use crate::api::canary::Canary;
use crate::api::metric_template::MetricTemplate;

/// The definitions to install: of Canary, MetricTemplate and AlertProvider.
pub fn crds() -> Vec<Value> {
    let crds = [Canary::crd(), MetricTemplate::crd(), AlertProvider::crd()];
    #[expect(
        clippy::expect_used,
        reason = "a definition holds nothing that JSON cannot say"
    )]
    let mut crds = crds.map(|crd| serde_json::to_value(crd).expect("a definition is plain JSON"));
    crds.iter_mut().for_each(tidy);
    serve_both_versions(&mut crds[0]);
    crds.into()
}

/// Both versions have one schema, the union of the two, so that nothing needs conversion.
fn serve_both_versions(canary: &mut Value) {
    let mut v1beta1 = canary["spec"]["versions"][0].take();
    v1beta1["additionalPrinterColumns"] = columns("analysis");
    let mut v1alpha1 = v1beta1.clone();
    v1alpha1["name"] = json!("v1alpha1");
    v1alpha1["storage"] = json!(false);
    v1alpha1["additionalPrinterColumns"] = columns("canaryAnalysis");
    canary["spec"]["versions"] = json!([v1alpha1, v1beta1]);
    canary["spec"]["conversion"] = json!({ "strategy": "None" });
}

/// What `kubectl get canaries` shows, and with `-o wide`: Flagger's columns, which scripts read.
fn columns(analysis: &str) -> Value {
    let column = |name, r#type, path: &str, priority| json!({ "name": name, "type": r#type, "jsonPath": path, "priority": priority });
    let analysis =
        |name, r#type, field| column(name, r#type, &format!(".spec.{analysis}.{field}"), 1);
    json!([
        column("Status", "string", ".status.phase", 0),
        column("Weight", "string", ".status.canaryWeight", 0),
        column("Suspended", "boolean", ".spec.suspend", 1),
        column("FailedChecks", "string", ".status.failedChecks", 1),
        analysis("Interval", "string", "interval"),
        analysis("Mirror", "boolean", "mirror"),
        analysis("StepWeight", "string", "stepWeight"),
        analysis("StepWeights", "string", "stepWeights"),
        analysis("MaxWeight", "string", "maxWeight"),
        column(
            "LastTransitionTime",
            "string",
            ".status.lastTransitionTime",
            0
        ),
    ])
}

/// Makes of a schema from Rust's types what a person would write.
///
/// `nullable` goes, and null as a choice: without it the API server drops a field that is left empty
/// in a manifest, with it the null would be stored and returned. Whole numbers lose their fraction,
/// and sentences the line breaks of the source.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| name != "nullable" || !field.is_boolean());
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(tidy);
        }
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0);
            if let Some(whole) = whole {
                #[expect(clippy::cast_possible_truncation, reason = "bounds are far below 2^53")]
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
