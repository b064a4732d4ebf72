//! Settings: environment variables in two steps. envy reads the texts, then every text is checked
//! into a type, and all problems are reported at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::io::address::Allowed;
use crate::io::cluster::Scope;
use crate::notifiers::{Channel, webhook};
use crate::objects::shard::Shard;
use crate::objects::{Policy, duration};
use crate::pass::deliver::alerts::{Alerts, EVENT_WEBHOOK};
use crate::pass::deliver::outbox::Places;
use crate::pass::deliver::records::{GIT, Records};
use crate::pass::deliver::reverts::REVERT;

mod git;
mod tenancy;
mod texts;
mod unknown;

use texts::{Problems, address, boolean, cluster, label, links, list, secret_address};

const SIGNING_KEY: &str = "DAVY_WEBHOOK_SIGNING_KEY_FILE";
const PREFIX: &str = "DAVY_";

/// Where a bot sends its messages.
const SLACK_API: &str = "https://slack.com/api/chat.postMessage";

/// The variables as they stand, without their prefix. `config/settings.env` explains each.
#[derive(Clone, Debug, Default, Deserialize)]
struct Texts {
    metrics_server: Option<String>,
    mesh_provider: Option<String>,
    namespace: Option<String>,
    selector_labels: Option<String>,
    include_label_prefix: Option<String>,
    config_tracking: Option<String>,
    pushgateway_url: Option<String>,
    git_url: Option<String>,
    git_branch: Option<String>,
    git_username_file: Option<PathBuf>,
    git_password_file: Option<PathBuf>,
    git_ssh_key_file: Option<PathBuf>,
    git_known_hosts_file: Option<PathBuf>,
    git_ca_file: Option<PathBuf>,
    git_author: Option<String>,
    git_signing_key_file: Option<PathBuf>,
    git_allowed_signers_file: Option<PathBuf>,
    git_skip_ci: Option<String>,
    git_restore: Option<String>,
    revert_url: Option<String>,
    revert_branch: Option<String>,
    revert_path: Option<String>,
    revert_username_file: Option<PathBuf>,
    revert_password_file: Option<PathBuf>,
    revert_ssh_key_file: Option<PathBuf>,
    slack_url: Option<String>,
    slack_token_file: Option<PathBuf>,
    slack_channel: Option<String>,
    slack_user: Option<String>,
    msteams_url: Option<String>,
    discord_url: Option<String>,
    rocket_url: Option<String>,
    gchat_url: Option<String>,
    webhook_url: Option<String>,
    webhook_signing_key_file: Option<PathBuf>,
    grafana_url: Option<String>,
    grafana_token_file: Option<PathBuf>,
    event_webhook: Option<String>,
    alert_links: Option<String>,
    cluster_name: Option<String>,
    pass_deadline: Option<String>,
    concurrency: Option<String>,
    shard: Option<String>,
    allow_addresses: Option<String>,
    allow_cross_namespace: Option<String>,
    allow_insecure_webhooks: Option<String>,
    allow_insecure_metrics: Option<String>,
    tenancy: Option<String>,
    allow_hosts: Option<String>,
    allow_gateways: Option<String>,
    compat: Option<String>,
    log: Option<String>,
}

/// The names of every setting, for the example file and its test.
pub const NAMES: &[&str] = &[
    "DAVY_METRICS_SERVER",
    "DAVY_MESH_PROVIDER",
    "DAVY_NAMESPACE",
    "DAVY_SELECTOR_LABELS",
    "DAVY_INCLUDE_LABEL_PREFIX",
    "DAVY_CONFIG_TRACKING",
    "DAVY_PUSHGATEWAY_URL",
    "DAVY_GIT_URL",
    "DAVY_GIT_BRANCH",
    "DAVY_GIT_USERNAME_FILE",
    "DAVY_GIT_PASSWORD_FILE",
    "DAVY_GIT_SSH_KEY_FILE",
    "DAVY_GIT_KNOWN_HOSTS_FILE",
    "DAVY_GIT_CA_FILE",
    "DAVY_GIT_AUTHOR",
    "DAVY_GIT_SIGNING_KEY_FILE",
    "DAVY_GIT_ALLOWED_SIGNERS_FILE",
    "DAVY_GIT_SKIP_CI",
    "DAVY_GIT_RESTORE",
    "DAVY_REVERT_URL",
    "DAVY_REVERT_BRANCH",
    "DAVY_REVERT_PATH",
    "DAVY_REVERT_USERNAME_FILE",
    "DAVY_REVERT_PASSWORD_FILE",
    "DAVY_REVERT_SSH_KEY_FILE",
    "DAVY_SLACK_URL",
    "DAVY_SLACK_TOKEN_FILE",
    "DAVY_SLACK_CHANNEL",
    "DAVY_SLACK_USER",
    "DAVY_MSTEAMS_URL",
    "DAVY_DISCORD_URL",
    "DAVY_ROCKET_URL",
    "DAVY_GCHAT_URL",
    "DAVY_WEBHOOK_URL",
    "DAVY_WEBHOOK_SIGNING_KEY_FILE",
    "DAVY_GRAFANA_URL",
    "DAVY_GRAFANA_TOKEN_FILE",
    "DAVY_EVENT_WEBHOOK",
    "DAVY_ALERT_LINKS",
    "DAVY_CLUSTER_NAME",
    "DAVY_PASS_DEADLINE",
    "DAVY_CONCURRENCY",
    "DAVY_SHARD",
    "DAVY_ALLOW_ADDRESSES",
    "DAVY_ALLOW_CROSS_NAMESPACE",
    "DAVY_ALLOW_INSECURE_WEBHOOKS",
    "DAVY_ALLOW_INSECURE_METRICS",
    "DAVY_TENANCY",
    "DAVY_ALLOW_HOSTS",
    "DAVY_ALLOW_GATEWAYS",
    "DAVY_COMPAT",
    "DAVY_LOG",
];

/// Settings that were checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Prometheus of canaries that name none.
    pub metrics_server: String,
    pub scope: Scope,
    pub policy: Arc<Policy>,
    /// Where the series of a pass are pushed.
    pub pushgateway_url: Option<String>,
    /// Where promotion records, reverts and news of releases go. The files that repositories name
    /// are read when they are used.
    pub places: Places,
    pub pass_deadline: Duration,
    pub concurrency: usize,
    /// The part of the canaries that this Davy handles.
    pub shard: Option<Shard>,
    /// Addresses that a resource may name although they are refused otherwise.
    pub allowed: Allowed,
    /// A filter in the syntax of `RUST_LOG`.
    pub log: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Invalid(pub Vec<String>);

impl Settings {
    /// Checks the variables of a process, or of a test.
    pub fn from_variables(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Invalid> {
        // An empty value is how a manifest leaves a setting out.
        let given: BTreeMap<String, String> = variables
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.trim().is_empty())
            .map(|(name, value)| (name, value.trim().to_owned()))
            .collect();
        let unknown = unknown::problems(given.keys().map(String::as_str));
        let texts: Texts = envy::prefixed(PREFIX)
            .from_iter(given)
            .map_err(|error| Invalid(vec![error.to_string()]))?;
        texts.check(unknown)
    }
}

impl Texts {
    /// Where news of releases goes. The files are read here: they are part of the settings.
    fn alerts(&self, problems: &mut Problems) -> Alerts {
        let texts = self.clone();
        let token = problems.file("DAVY_SLACK_TOKEN_FILE", texts.slack_token_file);
        let slack_url = texts
            .slack_url
            .or(token.as_ref().map(|_| SLACK_API.to_owned()));
        let slack = Channel {
            token,
            room: texts.slack_channel,
            username: texts.slack_user,
            ..Channel::default()
        };
        let webhook = Channel {
            signing_key: problems
                .file(SIGNING_KEY, texts.webhook_signing_key_file)
                .and_then(|text| {
                    let key = |text: &str| webhook::signing_key(text).map_err(|problem| problem.0);
                    problems.checked(SIGNING_KEY, Some(text), key)
                }),
            ..Channel::default()
        };
        let grafana = Channel {
            token: problems.file("DAVY_GRAFANA_TOKEN_FILE", texts.grafana_token_file),
            ..Channel::default()
        };
        let none = Channel::default;
        let channels = [
            ("slack", "DAVY_SLACK_URL", slack_url, slack),
            ("msteams", "DAVY_MSTEAMS_URL", texts.msteams_url, none()),
            ("discord", "DAVY_DISCORD_URL", texts.discord_url, none()),
            ("rocket", "DAVY_ROCKET_URL", texts.rocket_url, none()),
            ("gchat", "DAVY_GCHAT_URL", texts.gchat_url, none()),
            ("webhook", "DAVY_WEBHOOK_URL", texts.webhook_url, webhook),
            ("grafana", "DAVY_GRAFANA_URL", texts.grafana_url, grafana),
        ];
        let mut given = BTreeMap::new();
        for (kind, setting, url, channel) in channels {
            if url.is_none() && (channel.token.is_some() || channel.signing_key.is_some()) {
                let why = "is needed, since a file for it is given";
                problems.0.push(format!("{setting}: {why}"));
            }
            if let Some(address) = problems.checked(setting, url, secret_address) {
                given.insert(kind.to_owned(), Channel { address, ..channel });
            }
        }
        Alerts {
            channels: given,
            event_webhook: problems.checked(
                "DAVY_EVENT_WEBHOOK",
                texts.event_webhook,
                secret_address,
            ),
            links: problems
                .checked("DAVY_ALERT_LINKS", texts.alert_links, links)
                .unwrap_or_default(),
            cross_namespace: problems
                .checked(
                    "DAVY_ALLOW_CROSS_NAMESPACE",
                    texts.allow_cross_namespace,
                    boolean,
                )
                .unwrap_or(false),
            strict: false,
        }
    }

    /// What is said about generated objects and about judging.
    fn policy(&self, alerts: &Alerts, problems: &mut Problems) -> Policy {
        let texts = self.clone();
        let defaults = Policy::default();
        Policy {
            mesh_provider: problems
                .checked("DAVY_MESH_PROVIDER", texts.mesh_provider, |name| {
                    crate::routers::router(name)
                        .map(|_| name.to_owned())
                        .map_err(|why| why.0.trim_start_matches("spec.provider: ").to_owned())
                })
                .unwrap_or(defaults.mesh_provider),
            selector_labels: texts
                .selector_labels
                .map_or(defaults.selector_labels, |text| list(&text)),
            include_label_prefix: texts
                .include_label_prefix
                .map(|text| list(&text))
                .unwrap_or_default(),
            config_tracking: problems
                .checked("DAVY_CONFIG_TRACKING", texts.config_tracking, boolean)
                .unwrap_or(defaults.config_tracking),
            flagger_counting: problems
                .checked("DAVY_COMPAT", texts.compat, |text| match text {
                    "flagger" => Ok(true),
                    _ => Err(format!("\"{text}\" is not known; known is flagger")),
                })
                .unwrap_or(false),
            cluster_name: problems
                .checked("DAVY_CLUSTER_NAME", texts.cluster_name, cluster)
                .unwrap_or(defaults.cluster_name),
            records: texts.git_url.map(|_| GIT.to_owned()),
            restores: problems
                .checked("DAVY_GIT_RESTORE", texts.git_restore, |text| {
                    let restores = boolean(text)?;
                    if restores && self.git_url.is_none() {
                        return Err("needs DAVY_GIT_URL, where the records are".to_owned());
                    }
                    Ok(restores)
                })
                .unwrap_or(false),
            reverts: texts.revert_url.map(|_| REVERT.to_owned()),
            alerts: alerts.channels.keys().cloned().collect(),
            event_webhook: alerts
                .event_webhook
                .as_ref()
                .map(|_| EVENT_WEBHOOK.to_owned()),
            insecure_webhooks: problems.is_true(
                "DAVY_ALLOW_INSECURE_WEBHOOKS",
                texts.allow_insecure_webhooks,
            ),
            insecure_metrics: problems
                .is_true("DAVY_ALLOW_INSECURE_METRICS", texts.allow_insecure_metrics),
            tenancy: self.tenancy(problems),
            templates_cross_namespaces: self.templates_cross_namespaces(),
        }
    }

    /// The settings, unless something is wrong with them or was before.
    fn check(self, problems: Vec<String>) -> Result<Settings, Invalid> {
        let (git, reverts) = (self.git(), self.reverts());
        let mut problems = Problems(problems);
        let alerts = self.alerts(&mut problems);
        let policy = self.policy(&alerts, &mut problems);
        let alerts = Alerts {
            strict: policy.tenancy.strict,
            ..alerts
        };
        let Self {
            metrics_server,
            namespace,
            pushgateway_url,
            git_skip_ci,
            pass_deadline,
            concurrency,
            shard,
            allow_addresses,
            log,
            ..
        } = self;
        let settings = Settings {
            metrics_server: problems
                .checked("DAVY_METRICS_SERVER", metrics_server, address)
                .unwrap_or_else(|| "http://prometheus:9090".to_owned()),
            scope: problems
                .checked("DAVY_NAMESPACE", namespace, label)
                .map_or(Scope::Cluster, Scope::Namespace),
            policy: Arc::new(policy),
            pushgateway_url: problems.checked("DAVY_PUSHGATEWAY_URL", pushgateway_url, address),
            places: Places {
                records: git.map(|settings| Records {
                    settings,
                    skip_ci: git_skip_ci,
                }),
                reverts,
                alerts: Some(alerts),
            },
            pass_deadline: problems
                .checked("DAVY_PASS_DEADLINE", pass_deadline, |text| {
                    duration::parse(text).and_then(|time| {
                        if time.is_zero() {
                            Err("must be above 0".to_owned())
                        } else {
                            Ok(time)
                        }
                    })
                })
                .unwrap_or(Duration::from_secs(50)),
            concurrency: problems
                .checked("DAVY_CONCURRENCY", concurrency, |text| match text.parse() {
                    Ok(count @ 1..=1_000) => Ok(count),
                    _ => Err(format!("\"{text}\" is not a number within 1 to 1000")),
                })
                .unwrap_or(16),
            shard: problems.checked("DAVY_SHARD", shard, Shard::parse),
            allowed: problems
                .checked("DAVY_ALLOW_ADDRESSES", allow_addresses, |text| {
                    Allowed::parse(text.split(','))
                })
                .unwrap_or_default(),
            log: problems
                .checked("DAVY_LOG", log, |text| {
                    tracing_subscriber::EnvFilter::try_new(text)
                        .map(|_| text.to_owned())
                        .map_err(|error| format!("\"{text}\": {error}"))
                })
                .unwrap_or_else(|| "info".to_owned()),
        };
        if problems.0.is_empty() {
            Ok(settings)
        } else {
            Err(Invalid(problems.0))
        }
    }
}
