//! The Upstreams of primary and canary: the Services, with the settings of the user's Upstream.

use serde_json::{Map, Value, json};

use super::{SIDES, Side, UPSTREAM};
use crate::api::canary::Canary;
use crate::objects::{Key, Rank, View, Wanted};
use crate::routers::apex;

/// What the Upstreams of primary and canary have of the user's.
const SETTINGS: [&str; 8] = [
    "circuitBreakers",
    "connectionConfig",
    "httpProxyHostname",
    "initialConnectionWindowSize",
    "initialStreamWindowSize",
    "loadBalancerConfig",
    "sslConfig",
    "useHttp2",
];

/// The Upstream that the Canary names.
pub(super) fn users(canary: &Canary) -> Option<&str> {
    let reference = canary.spec.upstream_ref.as_ref()?;
    Some(&*reference.name).filter(|name| !name.is_empty())
}

/// It, where it is not there.
pub(super) fn missing<'a>(view: &View<'a>) -> Option<&'a str> {
    users(view.canary).filter(|name| view.object(&UPSTREAM, name).is_none())
}

pub(super) fn rendered(view: &View<'_>) -> Vec<Wanted> {
    let sides = SIDES.into_iter();
    sides.filter_map(|side| upstream(view, side)).collect()
}

/// The settings that the Upstreams have of the user's now, and those that they had and still show.
pub(super) fn fields(view: &View<'_>) -> Vec<String> {
    let mut fields: Vec<_> = settings(view).keys().cloned().collect();
    let is_shown = |field: &&str| {
        let mut upstreams = SIDES.into_iter().filter_map(|side| live(view, side));
        upstreams.any(|upstream| !upstream["spec"][*field].is_null())
    };
    fields.extend(before(view).filter(is_shown).map(str::to_owned));
    fields.sort();
    fields.dedup();
    fields
}

fn live<'a>(view: &View<'a>, side: Side) -> Option<&'a Value> {
    let name = side.upstream(view.names, apex::service(view).port);
    view.object(&UPSTREAM, &name)
}

/// What the user's Upstream has of the settings that follow it.
fn settings(view: &View<'_>) -> Map<String, Value> {
    let upstream = users(view.canary).and_then(|name| view.object(&UPSTREAM, name));
    let spec = upstream.and_then(|upstream| upstream["spec"].as_object());
    let mut settings = spec.cloned().unwrap_or_default();
    settings.retain(|field, _| SETTINGS.contains(&&**field));
    settings
}

/// The settings that `status.named.route` has.
fn before<'a>(view: &View<'a>) -> impl Iterator<Item = &'a str> {
    let status = view.canary.status.as_ref();
    let named = status.and_then(|status| status.named.as_ref());
    let named = named.into_iter().flat_map(|it| &it.route);
    let named = named.map(String::as_str);
    named.filter(|field| SETTINGS.contains(field))
}

/// The Upstream of a side. A new one is not made without the settings that it is to have: they may
/// be how to reach the pods at all.
fn upstream(view: &View<'_>, side: Side) -> Option<Wanted> {
    let names = view.names;
    let port = apex::service(view).port;
    let name = side.upstream(names, port);
    let is_missing = missing(view).is_some();
    let live = live(view, side);
    let mut object = match live {
        None if is_missing => return None,
        None => apex::new_object(view, &UPSTREAM, &name, &json!({})),
        Some(live) => live.clone(),
    };
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    let settings = settings(view);
    if !is_missing {
        for field in before(view).filter(|field| !settings.contains_key(*field)) {
            spec.remove(field);
        }
    }
    spec.extend(settings);
    // Without a selector the Service's own counts, and may change.
    let kube = json!({
        "serviceName": side.service(names),
        "serviceNamespace": names.namespace,
        "servicePort": port,
    });
    spec.insert("kube".to_owned(), kube);
    object["spec"] = json!(spec);
    Some(Wanted {
        key: Key::new(&UPSTREAM, name),
        rank: Rank::Apex,
        object,
    })
}
