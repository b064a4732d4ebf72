//! One query for many checks: built-in ones that differ in namespace and workload alone. Templates in,
//! the same question about several workloads out.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::{Check, promql};

/// Workloads that one query asks about. Their names stand in its URL, and in every selector.
const WORKLOADS_MAX: usize = 250;

/// What the names may add to a URL, in bytes: Prometheus reads much longer ones, and so do most
/// proxies. One that does not says so, and then each check is asked by itself.
const NAMES_MAX: usize = 16_000;

/// A check as one of many.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub shape: Shape,
    pub namespace: String,
    /// The value of the second label: a workload, or an Ingress.
    pub workload: String,
}

/// What checks have in common that one query can serve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Templates with the variables `namespaces`, `workloads` and `interval`.
    query: String,
    only_failures: Option<String>,
    /// As it stands in a query.
    interval: String,
    /// The labels of namespace and workload, by which the answer is told apart.
    pub labels: [String; 2],
}

/// Which question of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Number,
    OnlyFailures,
}

/// A query for several checks.
#[derive(Debug)]
pub(super) struct Batched<'a> {
    /// Any of the checks: all are asked at the same place in the same way.
    pub(super) first: &'a Check,
    pub(super) query: String,
    pub(super) labels: &'a [String; 2],
    pub(super) members: Alike<'a>,
}

/// Checks by namespace and workload.
type Alike<'a> = BTreeMap<(&'a str, &'a str), Vec<usize>>;

/// The shape of a built-in check, and the variable that its second label is: only where every
/// selector matches one namespace and one workload by their whole names.
pub(super) fn shape(
    query: &str,
    only_failures: Option<&str>,
    interval: &str,
) -> Option<(Shape, &'static str)> {
    let workload = ["target", "ingress"].into_iter().find(|variable| {
        let value = format!("\"{{{{ {variable} }}}}\"");
        query.contains(&value)
    })?;
    let labels = [label(query, "namespace")?, label(query, workload)?];
    let only_failures = match only_failures {
        Some(template) => Some(several(template, &labels, workload)?),
        None => None,
    };
    let shape = Shape {
        query: several(query, &labels, workload)?,
        only_failures,
        interval: interval.to_owned(),
        labels,
    };
    Some((shape, workload))
}

/// The label that is matched with just this variable.
fn label(template: &str, variable: &str) -> Option<String> {
    let (before, _) = template.split_once(&format!("\"{{{{ {variable} }}}}\""))?;
    let before = before.strip_suffix('~').unwrap_or(before);
    let before = before.strip_suffix('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = before.rsplit(|c: char| !is_name(c)).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The same template about several workloads.
fn several(template: &str, labels: &[String; 2], workload: &str) -> Option<String> {
    let selectors = selectors(template);
    let mut query = template.to_owned();
    for (label, (one, many)) in labels
        .iter()
        .zip([("namespace", "namespaces"), (workload, "workloads")])
    {
        let wanted = format!("{label}=~\"{{{{ {many} }}}}\"");
        for operator in ["=", "=~"] {
            query = query.replace(&format!("{label}{operator}\"{{{{ {one} }}}}\""), &wanted);
        }
        if query.matches(&wanted).count() != selectors {
            return None;
        }
    }
    let [namespace, workload] = labels;
    let sums = query.matches("sum(").count();
    let by_bucket = query.matches("by (le)").count();
    query = if by_bucket == 0 {
        query.replace("sum(", &format!("sum by ({namespace}, {workload}) ("))
    } else {
        query.replace("by (le)", &format!("by (le, {namespace}, {workload})"))
    };
    let is_known = |name: &str| ["namespaces", "workloads", "interval"].contains(&name.trim());
    let mut variables = query.split("{{").skip(1);
    let are_known = variables.all(|rest| {
        let name = rest.split_once("}}");
        name.is_some_and(|(name, _)| is_known(name))
    });
    (are_known && sums > 0 && (by_bucket == 0 || by_bucket == sums)).then_some(query)
}

/// How many selectors a template has: each opens one brace that is no variable's.
fn selectors(template: &str) -> usize {
    template.matches('{').count() - 2 * template.matches("{{").count()
}

/// The queries that each serve two or more workloads of these checks; the others are asked by
/// themselves.
pub(super) fn batches<'a>(checks: &'a [Check], of: &[usize], which: Which) -> Vec<Batched<'a>> {
    let mut alike: BTreeMap<_, (&Check, Alike<'_>)> = BTreeMap::new();
    for index in of {
        let Some(check) = checks.get(*index) else {
            continue;
        };
        if let Some(Batch {
            shape,
            namespace,
            workload,
        }) = &check.batch
        {
            let key = (&*check.address, check.origin, &check.access, shape);
            let (_, members) = alike.entry(key).or_insert((check, BTreeMap::new()));
            let member = members.entry((namespace.as_str(), workload.as_str()));
            let member = member.or_default();
            member.push(*index);
        }
    }
    let mut batches = Vec::new();
    for ((.., shape), (first, members)) in alike {
        let template = match which {
            Which::Number => Some(&shape.query),
            Which::OnlyFailures => shape.only_failures.as_ref(),
        };
        let Some(template) = template else { continue };
        for members in parts(members, selectors(template)) {
            if members.len() > 1
                && let Some(query) = query(template, &shape.interval, &members)
            {
                batches.push(Batched {
                    first,
                    query,
                    labels: &shape.labels,
                    members,
                });
            }
        }
    }
    batches
}

/// The members in parts that fit into a URL each.
fn parts<'a, T>(
    members: BTreeMap<(&'a str, &'a str), T>,
    selectors: usize,
) -> Vec<BTreeMap<(&'a str, &'a str), T>> {
    let mut parts = vec![BTreeMap::new()];
    let (mut bytes, mut last) = (0, None);
    for ((namespace, workload), member) in members {
        let mut names = encoded(workload);
        if last != Some(namespace) {
            names += encoded(namespace);
        }
        let added = names * selectors;
        let is_full = parts.last().is_some_and(|part: &BTreeMap<_, _>| {
            !part.is_empty() && (part.len() >= WORKLOADS_MAX || bytes + added > NAMES_MAX)
        });
        if is_full {
            parts.push(BTreeMap::new());
            bytes = 0;
        }
        bytes += added;
        last = Some(namespace);
        if let Some(part) = parts.last_mut() {
            part.insert((namespace, workload), member);
        }
    }
    parts
}

/// A name in a pattern in a URL, with the bar before it: a dot is escaped twice over.
fn encoded(name: &str) -> usize {
    name.len() + 3 + 6 * name.matches('.').count()
}

fn query<T>(template: &str, interval: &str, members: &BTreeMap<(&str, &str), T>) -> Option<String> {
    let namespaces: BTreeSet<_> = members.keys().map(|(namespace, _)| *namespace).collect();
    let workloads: BTreeSet<_> = members.keys().map(|(_, workload)| *workload).collect();
    let owned = |names: &BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect();
    let values = |name: &str| match name {
        "namespaces" => Some(owned(&namespaces)),
        "workloads" => Some(owned(&workloads)),
        "interval" => Some(vec![interval.to_owned()]),
        _ => None,
    };
    promql::render_several(template, values).ok()
}
