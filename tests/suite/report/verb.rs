//! `davy report` as it is called, on a repository into which a release was played.

use serde_json::{Value, json};

use crate::bed::program::Program;
use crate::git::place::Place;

fn davy(place: &Place, arguments: &[&str]) -> Program {
    let settings = &place.settings;
    let file = |file: &Option<std::path::PathBuf>| file.clone().expect("a file");
    Program::new(arguments)
        .set("DAVY_GIT_URL", &settings.url)
        .set(
            "DAVY_GIT_ALLOWED_SIGNERS_FILE",
            file(&settings.allowed_signers_file),
        )
}

#[test]
fn the_records_of_a_repository_are_reported() {
    let Some(place) = super::played("rolled-back") else {
        return;
    };
    let text = davy(&place, &["report", "--dora"])
        .run()
        .with_code(0)
        .output;
    for line in [
        "Deployment frequency             no promotions in this time\n",
        "Change fail rate                 100.0 %\n",
        "Failed deployment recovery time  none recovered\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let data = davy(&place, &["report", "--dora", "-o", "json"])
        .run()
        .with_code(0)
        .output;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(
        data["changeFailRate"],
        json!({"failed": 1, "ended": 1, "rate": 1.0})
    );
    assert_eq!(
        data["records"],
        json!({"read": 3, "doubted": 0, "unreadable": 0})
    );
    assert_eq!(data["canaries"][0]["canary"], "podinfo");

    let page = davy(&place, &["report", "--html"])
        .run()
        .with_code(0)
        .output;
    assert!(page.contains("data-outcome=\"rolled back\"") && page.ends_with("</html>\n"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let ended = davy(&place, &["report", "--html", file.to_str().unwrap()])
        .run()
        .with_code(0);
    assert_eq!(ended.output, "");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("believed") && !written.contains("not believed"));

    // An hour in which nothing happened.
    let late = davy(&place, &["report", "--dora", "--since", "1h"])
        .run()
        .with_code(0)
        .output;
    assert!(
        late.contains("nothing came to an end in this time"),
        "{late}"
    );
    let nowhere = folder.path().join("no/page.html");
    let nowhere = nowhere.to_str().unwrap();
    let ended = davy(&place, &["report", "--html", nowhere])
        .run()
        .with_code(2);
    assert!(
        ended
            .errors
            .starts_with(&format!("error: writing {nowhere}: ")),
        "{ended}"
    );
}

#[test]
fn what_is_not_to_be_believed_is_said() {
    let Some(place) = super::played("promoted") else {
        return;
    };
    place.by_hand(
        "sed -i s/100.0/100.1/ $(ls records/default/test/podinfo/*promoted*); git commit -qam edit",
    );
    let text = davy(&place, &["report", "--dora"])
        .run()
        .with_code(0)
        .output;
    assert!(
        text.contains("1 of 3 records are not to be believed"),
        "{text}"
    );
    let page = davy(&place, &["report", "--html"])
        .run()
        .with_code(0)
        .output;
    assert!(page.contains("not believed") && page.contains("it was changed by commit"));
}

#[test]
fn wrong_calls_are_a_matter_of_usage() {
    for (arguments, why) in [
        (&["report"][..], "--dora"),
        (&["report", "--dora", "--html"], "cannot be used with"),
        (
            &["report", "--html", "page.html", "-o", "json"],
            "cannot be used with",
        ),
        (
            &["report", "--dora", "--since", "lately"],
            "expected a date",
        ),
        (
            &["report", "--dora", "--since", "9999-01-01"],
            "yet to come",
        ),
        (&["report", "--dora"], "DAVY_GIT_URL"),
    ] {
        let ended = Program::new(arguments).run().with_code(2);
        assert!(ended.errors.contains(why), "{arguments:?}: {ended}");
        assert_eq!(ended.output, "", "{arguments:?}");
    }
}
