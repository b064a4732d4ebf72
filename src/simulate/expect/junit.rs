//! Results of rehearsals as JUnit's XML, which CI systems show.

use std::fmt::Write;

use super::Expectation;

/// What came of one scenario.
#[derive(Clone, Debug)]
pub struct Suite {
    pub name: String,
    /// How the expectations were met, or why the scenario could not be played.
    pub outcome: Result<Vec<Expectation>, String>,
}

/// One suite for each scenario, one case for each expectation.
pub fn junit(suites: &[Suite]) -> String {
    let counts: Vec<_> = suites.iter().map(Counts::of).collect();
    let sum = |count: fn(&Counts) -> usize| counts.iter().map(count).sum::<usize>();
    let (tests, failures, errors) = (
        sum(|it| it.tests),
        sum(|it| it.failures),
        sum(|it| it.errors),
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
    );
    for (suite, counts) in suites.iter().zip(&counts) {
        let name = escaped(&suite.name);
        let Counts {
            tests,
            failures,
            errors,
        } = counts;
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" \
             errors=\"{errors}\">"
        );
        match &suite.outcome {
            Ok(expectations) => {
                for Expectation {
                    name: case,
                    failure,
                } in expectations
                {
                    write_case(
                        &mut xml,
                        &name,
                        case,
                        failure.as_deref().map(|it| ("failure", it)),
                    );
                }
            }
            Err(why) => write_case(&mut xml, &name, "can be played", Some(("error", why))),
        }
        let _ = writeln!(xml, "  </testsuite>");
    }
    xml.push_str("</testsuites>\n");
    xml
}

struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
}

impl Counts {
    fn of(suite: &Suite) -> Self {
        match &suite.outcome {
            Ok(expectations) => Self {
                tests: expectations.len(),
                failures: expectations
                    .iter()
                    .filter(|it| it.failure.is_some())
                    .count(),
                errors: 0,
            },
            Err(_) => Self {
                tests: 1,
                failures: 0,
                errors: 1,
            },
        }
    }
}

/// `class` is escaped already; `problem` is the element that says what is wrong, and its message.
fn write_case(xml: &mut String, class: &str, name: &str, problem: Option<(&str, &str)>) {
    let name = escaped(name);
    let case = format!("    <testcase classname=\"{class}\" name=\"{name}\"");
    let _ = match problem {
        None => writeln!(xml, "{case}/>"),
        Some((element, message)) => {
            let message = escaped(message);
            writeln!(xml, "{case}><{element} message=\"{message}\"/></testcase>")
        }
    };
}

/// What XML 1.0 allows in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}
