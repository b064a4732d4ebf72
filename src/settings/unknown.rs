//! Variables that begin like settings and are none: a misspelt setting that is passed over would leave
//! a pass without a limit or an address that its operator believes to be there.

use super::{NAMES, PREFIX};

/// How alike two names have to be for one to be offered for the other, from 0 to 1.
const LIKENESS: f64 = 0.8;

/// What is wrong with these names, one text each.
pub(super) fn problems<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let unknown = names
        .filter(|name| name.starts_with(PREFIX) && !NAMES.contains(name) && !is_service_link(name));
    unknown.map(problem).collect()
}

fn problem(name: &str) -> String {
    let likeness = |known: &str| strsim::jaro_winkler(tail(name), tail(known));
    let nearest = NAMES
        .iter()
        .map(|known| (likeness(known), known))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((likeness, known)) if likeness >= LIKENESS => {
            format!("{name}: is not a setting; did you mean {known}?")
        }
        _ => format!("{name}: is not a setting; config/settings.env explains each"),
    }
}

/// All names begin alike, which says nothing.
fn tail(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Whether the kubelet gives a variable to every pod of a namespace in which a Service is called
/// `davy` or `davy-something`: `DAVY_SERVICE_HOST`, `DAVY_PORT_80_TCP_ADDR` and so on, see
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
fn is_service_link(name: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_port = |parts: &[&str]| match parts {
        ["PORT"] => true,
        ["PORT", port, "TCP" | "UDP" | "SCTP", rest @ ..] => {
            is_number(port) && matches!(rest, [] | ["PORT" | "PROTO" | "ADDR"])
        }
        _ => false,
    };
    (1..parts.len()).any(|from| match &parts[from..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        rest => is_port(rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_setting_is_offered() {
        let cases = [
            ("DAVY_PUSHGATEWAY", "DAVY_PUSHGATEWAY_URL"),
            ("DAVY_METRIC_SERVER", "DAVY_METRICS_SERVER"),
            ("DAVY_GIT_BRANCHES", "DAVY_GIT_BRANCH"),
            ("DAVY_DEADLINE_PASS", "config/settings.env"),
            ("DAVY_QUX", "config/settings.env"),
        ];
        for (name, offered) in cases {
            let problems = problems([name].into_iter());
            assert_eq!(problems.len(), 1, "{name}");
            assert!(
                problems[0].starts_with(&format!("{name}: ")),
                "{problems:?}"
            );
            assert!(problems[0].contains(offered), "{problems:?}");
        }
    }

    #[test]
    fn what_a_kubelet_sets_for_a_service_is_no_setting() {
        let links = [
            "DAVY_SERVICE_HOST",
            "DAVY_SERVICE_PORT",
            "DAVY_SERVICE_PORT_HTTP",
            "DAVY_PORT",
            "DAVY_PORT_9091_TCP",
            "DAVY_PORT_9091_TCP_PROTO",
            "DAVY_PUSHGATEWAY_SERVICE_HOST",
            "DAVY_PUSHGATEWAY_PORT_53_UDP_ADDR",
        ];
        assert_eq!(problems(links.into_iter()), Vec::<String>::new());
        let similar = ["DAVY_PORT_HTTP", "DAVY_SERVICE", "DAVY_PORT_80_TCP_NAME"];
        assert_eq!(problems(similar.into_iter()).len(), similar.len());
    }

    #[test]
    fn what_does_not_begin_like_a_setting_is_nobody_s_business() {
        let names = ["TEST_DAVY_STORY", "DAVYS", "PATH", "davy_log"];
        assert_eq!(problems(names.into_iter()), Vec::<String>::new());
        assert_eq!(problems(NAMES.iter().copied()), Vec::<String>::new());
    }
}
