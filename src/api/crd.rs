//! The CustomResourceDefinitions that the types describe, as JSON: what `davy crds` prints and what is
//! kept in `config/crd`.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::api::alert_provider::AlertProvider;
use crate::api::canary::Canary;
use crate::api::metric_template::MetricTemplate;
use crate::api::record::Record;
use crate::api::schema;

/// The definitions to install: of Canary, MetricTemplate and AlertProvider.
pub fn crds() -> Vec<Value> {
    let crds = [Canary::crd(), MetricTemplate::crd(), AlertProvider::crd()];
    #[expect(
        clippy::expect_used,
        reason = "a definition holds nothing that JSON cannot say"
    )]
    let mut crds = crds.map(|crd| serde_json::to_value(crd).expect("a definition is plain JSON"));
    crds.iter_mut().for_each(tidy);
    let [canary, metric_template, alert_provider] = &mut crds;
    serve_as_well(canary, &["v1alpha1", "v1alpha3"]);
    for version in list_mut(&mut canary["spec"]["versions"]) {
        let is_stored = version["storage"] == true;
        let analysis = if is_stored {
            "analysis"
        } else {
            "canaryAnalysis"
        };
        version["additionalPrinterColumns"] = columns(analysis);
    }
    // Flagger's templates and providers were v1alpha1 when its Canaries were v1alpha3.
    serve_as_well(metric_template, &["v1alpha1"]);
    serve_as_well(alert_provider, &["v1alpha1"]);
    crds.into()
}

/// Cuts a status to what the definition of Canary allows.
pub fn fit_status(status: &mut Value) {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let definition = serde_json::to_value(Canary::crd()).unwrap_or_default();
        let version = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        version["properties"]["status"].clone()
    });
    schema::fit(status, &SCHEMA);
}

/// A record as it comes back from a status: its digest is of that.
pub fn stored_record(record: &Record) -> Record {
    let mut status = json!({ "outbox": [{ "record": record }] });
    fit_status(&mut status);
    serde_json::from_value(status["outbox"][0]["record"].take()).unwrap_or_else(|_| record.clone())
}

/// Serves older versions by the schema of the stored one, which is the union of all, so that nothing
/// needs conversion.
fn serve_as_well(definition: &mut Value, older: &[&str]) {
    let stored = definition["spec"]["versions"][0].take();
    let served = older.iter().map(|name| {
        let mut version = stored.clone();
        version["name"] = json!(name);
        version["storage"] = json!(false);
        version
    });
    let versions: Vec<_> = served.chain([stored.clone()]).collect();
    definition["spec"]["versions"] = versions.into();
    definition["spec"]["conversion"] = json!({ "strategy": "None" });
}

fn list_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
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
