//! Queries from templates: a name is escaped by the place where it stands, so that no name can
//! change what a query asks. Text in, text out.

use crate::objects::Problem;

/// A template with its `{{ variables }}` filled in and each run of white space made one space.
///
/// Within quotes a value is escaped as a string, after `=~` and `!~` as a regular expression
/// too. Outside of quotes it goes in as it is: only a checked duration may stand there.
pub(super) fn render(
    template: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, Problem> {
    render_several(template, |name| Some(vec![value(name)?]))
}

/// The same where a variable may be several values: after `=~` and `!~` any of them matches, and
/// nowhere else may there be more than one.
pub(super) fn render_several(
    template: &str,
    values: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<String, Problem> {
    let mut query = String::with_capacity(template.len());
    let mut place = Place::Bare;
    let mut rest = template.trim();
    while let Some((text, after)) = rest.split_once("{{") {
        place = push(&mut query, place, text);
        let (name, after) = after
            .split_once("}}")
            .ok_or_else(|| Problem(format!("query template: \"{{{{\" is not closed: {after}")))?;
        let name = name.trim();
        let values = values(name)
            .ok_or_else(|| Problem(format!("query template: unknown variable \"{name}\"")))?;
        match (place, &*values) {
            (Place::Bare, [value]) => query.push_str(value),
            (Place::Text, [value]) => query.push_str(&escaped(value)),
            (Place::Pattern, values) => {
                let patterns: Vec<_> = values.iter().map(|value| pattern(value)).collect();
                query.push_str(&escaped(&patterns.join("|")));
            }
            (Place::Bare | Place::Text, _) => {
                let why = format!("query template: one value is expected for \"{name}\"");
                return Err(Problem(why));
            }
        }
        rest = after;
    }
    push(&mut query, place, rest);
    Ok(query)
}

/// Where in a query the next character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Bare,
    Text,
    Pattern,
}

/// Appends the template's own text, and tells the place after it.
fn push(query: &mut String, mut place: Place, text: &str) -> Place {
    let mut backslash = false;
    for character in text.chars() {
        if character.is_whitespace() && place == Place::Bare {
            if !query.ends_with(' ') {
                query.push(' ');
            }
            continue;
        }
        if character == '"' && !backslash {
            place = match place {
                Place::Text | Place::Pattern => Place::Bare,
                Place::Bare if query.trim_end().ends_with('~') => Place::Pattern,
                Place::Bare => Place::Text,
            };
        }
        backslash = character == '\\' && !backslash && place != Place::Bare;
        query.push(character);
    }
    place
}

/// A value as it stands in a double-quoted string.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            control if control.is_control() => {
                text.extend(format!("\\u{:04x}", u32::from(control)).chars());
            }
            other => text.push(other),
        }
    }
    text
}

/// A regular expression that matches just this value. The dot matters: it may be in a
/// Deployment's name, and would match any character there.
fn pattern(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::render;

    fn with(template: &str, value: &str) -> String {
        let x = |name: &str| (name == "x").then(|| value.to_owned());
        render(template, x).unwrap_or_else(|problem| problem.to_string())
    }

    #[test]
    fn a_value_is_escaped_by_the_place_where_it_stands() {
        let hostile = "a.b\"} or vector(1)\\\n\u{7} #";
        for (template, query) in [
            (
                "m{a=\"{{ x }}\"}",
                r#"m{a="a.b\"} or vector(1)\\\n\u0007 #"}"#,
            ),
            (
                "m{a!=\"{{x}}\"}",
                r#"m{a!="a.b\"} or vector(1)\\\n\u0007 #"}"#,
            ),
            (
                "m{a=~\"{{ x }}-.+\"}",
                r#"m{a=~"a\\.b\"\\} or vector\\(1\\)\\\\\n\u0007 #-.+"}"#,
            ),
            (
                "m{a=\"}\\\"~\", b!~\"^{{ x }}\"}",
                r#"m{a="}\"~", b!~"^a\\.b\"\\} or vector\\(1\\)\\\\\n\u0007 #"}"#,
            ),
        ] {
            assert_eq!(with(template, hostile), query);
        }
    }

    #[test]
    fn white_space_collapses_outside_of_strings_only() {
        assert_eq!(
            with("\n sum(\n\t\trate(m{a=\"b  c\"}[{{ x }}])  )\n", "1m"),
            { "sum( rate(m{a=\"b  c\"}[1m]) )" }
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_never_sent() {
        for template in ["m[{{ y }}]", "m[{{ x ]", "{{ }}"] {
            assert!(render(template, |name| (name == "x").then(String::new)).is_err());
        }
    }
}
