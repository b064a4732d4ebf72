//! Opening a channel: of a place in an outbox to where it is and what it takes to write to it.

use k8s_openapi::api::core::v1::Secret;

use super::{Alerts, EVENT_WEBHOOK};
use crate::api::alert_provider::{AlertProvider, AlertProviderSpec};
use crate::io::cluster::{self, Cluster};
use crate::notifiers::{self, Channel, Notifier, webhook};
use crate::objects::{ALERT_PROVIDER, SECRET};
use crate::pass::secrets;

/// A channel, and how to speak to it.
pub(super) enum Opened {
    Channel {
        notifier: &'static dyn Notifier,
        channel: Channel,
        /// Whether its address stands in a resource.
        untrusted: bool,
    },
    Events(String),
}

/// The channel of a place, with the Secret read that it names.
pub(super) async fn open(
    cluster: &Cluster,
    alerts: &Alerts,
    place: &str,
) -> Result<Opened, String> {
    let gone = "it is not in the settings any more";
    if place == EVENT_WEBHOOK {
        return Ok(Opened::Events(alerts.event_webhook.clone().ok_or(gone)?));
    }
    let Some((namespace, name)) = notifiers::provider_at(place) else {
        let channel = alerts.channels.get(place);
        return Ok(Opened::Channel {
            notifier: notifiers::notifier(place).map_err(|problem| problem.0)?,
            channel: channel.ok_or(gone)?.clone(),
            untrusted: false,
        });
    };
    let provider = cluster.get(&ALERT_PROVIDER, namespace, name).await;
    let provider = provider.map_err(|error| unread("AlertProvider", &error))?;
    let provider: AlertProvider = serde_json::from_value(provider)
        .map_err(|error| format!("not an AlertProvider: {error}"))?;
    let AlertProviderSpec {
        r#type,
        address,
        channel,
        username,
        proxy,
        secret_ref,
    } = provider.spec;
    let notifier =
        notifiers::notifier(&r#type).map_err(|problem| format!("spec.type: {problem}"))?;
    if proxy.is_some() {
        return Err("spec.proxy: proxies are not supported".to_owned());
    }
    let mut opened = Channel {
        address: address.unwrap_or_default(),
        room: channel,
        username,
        ..Channel::default()
    };
    if let Some(secret) = secret_ref {
        let read = cluster.get(&SECRET, namespace, &secret.name).await;
        let which = format!("Secret {}", secret.name);
        let read = read.map_err(|error| unread(&which, &error))?;
        let read: Secret =
            serde_json::from_value(read).map_err(|_| format!("{which}: its data is not base64"))?;
        let wrong = |why: String| format!("{which}: {why}");
        fill(&mut opened, &read).map_err(wrong)?;
        if alerts.strict {
            secrets::may_be_sent(&read, &opened.address).map_err(wrong)?;
        } else if secrets::is_in_the_clear(&opened.address) {
            tracing::warn!(place, "{which} is sent over plain http");
        }
    }
    if opened.address.is_empty() {
        return Err("spec.address: is empty".to_owned());
    }
    Ok(Opened::Channel {
        notifier,
        channel: opened,
        untrusted: true,
    })
}

/// Puts what a Secret holds into a channel: its documented keys, and nothing else of it.
fn fill(channel: &mut Channel, secret: &Secret) -> Result<(), String> {
    let text = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        Some(String::from_utf8_lossy(&bytes.0).trim().to_owned())
    };
    channel.address = text("address").ok_or("it has no key address")?;
    channel.token = text("token");
    if let Some(key) = text("signingKey") {
        let key = webhook::signing_key(&key);
        channel.signing_key = Some(key.map_err(|problem| problem.to_string())?);
    }
    Ok(())
}

fn unread(what: &str, error: &cluster::Error) -> String {
    match error {
        cluster::Error::NotFound => format!("{what} does not exist"),
        error => format!("reading {what}: {}", cluster::chain(error)),
    }
}
