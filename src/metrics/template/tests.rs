//! The template language against Go's own engine: `fixtures/metrics/template-language/go.json` holds
//! what the `main.go` beside it has made of each template.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Functions, Piece, render};

struct Podinfo(BTreeMap<String, String>);

impl Functions for Podinfo {
    fn value(&self, name: &str) -> Option<String> {
        let values = [
            ("name", "podinfo"),
            ("namespace", "test"),
            ("target", "podinfo-v1.2"),
            ("service", "podinfo-svc"),
            ("ingress", "podinfo-ing"),
            ("route", "podinfo-route"),
            ("interval", "1m"),
        ];
        let value = values.into_iter().find(|(known, _)| *known == name);
        value.map(|(_, value)| value.to_owned())
    }

    fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

fn podinfo() -> Podinfo {
    let variables = [
        ("kind", "http"),
        ("a", "1"),
        ("quote", "x\"y"),
        ("uni", "grüße"),
        ("empty", ""),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Podinfo(variables.into_iter().map(owned).collect())
}

fn text(template: &str) -> Result<String, String> {
    let pieces = render(template, &podinfo())?;
    Ok(pieces.iter().map(Piece::text).collect())
}

#[derive(Deserialize)]
struct Row {
    template: String,
    output: Option<String>,
}

/// What Go refuses is refused; what it renders comes out the same, or is refused as not supported.
#[test]
fn every_template_comes_out_as_of_gos_engine() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metrics/template-language/go.json");
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(rows.len() > 700, "{}", rows.len());
    let mut wrong = Vec::new();
    let mut unsupported = 0;
    for Row { template, output } in &rows {
        let ours = text(template);
        let is_unsupported = ours
            .as_ref()
            .is_err_and(|why| why.contains("not supported"));
        unsupported += usize::from(output.is_some() && is_unsupported);
        if ours.as_ref().ok() != output.as_ref() && !is_unsupported {
            wrong.push(format!("{template:?}: Go has {output:?}, Davy {ours:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    assert_eq!(
        unsupported, UNSUPPORTED,
        "templates that Go renders and Davy refuses"
    );
}

/// Rows of exotic formats, `js`, `define` and the like.
const UNSUPPORTED: usize = 53;

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (template, why) in [
        (
            "a\n{{ args.name }}",
            "line 2: there is no function args; known are name, ",
        ),
        (
            "{{ target }}\n\n{{ variables.reporter }}",
            "line 3: templateVariables has no \"reporter\"",
        ),
        (
            "{{ .target }}",
            "line 1: there is no data to take .target from; functions are called without a dot",
        ),
        (
            "{{ if true }}x",
            "line 1: an action is not ended by {{end}}",
        ),
        (
            "{{ define \"x\" }}{{ end }}",
            "line 1: define is not supported",
        ),
        ("{{ range 100000000 }}x{{ end }}", "more than 20000 steps"),
    ] {
        let found = text(template).unwrap_err();
        assert!(found.starts_with(why), "{template}: {found}");
    }
}

/// No template takes more than a moment, or a stack.
#[test]
fn a_template_has_bounds() {
    let deep = format!(
        "{}x{}",
        "{{ if true }}".repeat(5_000),
        "{{ end }}".repeat(5_000)
    );
    assert!(text(&deep).unwrap_err().contains("nests deeper"));
    let nested = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(text(&nested).unwrap_err().contains("nests deeper"));
    let chain =
        "{{ if false }}{{ else if false }}".to_owned() + &"{{ else if false }}".repeat(5_000);
    assert!(text(&chain).unwrap_err().contains("nests deeper"));
    let large = format!("{{{{ range 19000 }}}}{}{{{{ end }}}}", "x".repeat(60_000));
    assert!(text(&large).unwrap_err().contains("bytes"));
}
