//! Settings: environment variables in two steps. envy reads the texts, then every text is checked
//! into a type, and all problems are reported at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::io::address::Allowed;
use crate::io::cluster::Scope;
use crate::io::git::{Limits, RemoteSettings};
use crate::objects::shard::Shard;
use crate::objects::{Policy, duration};
use crate::pass::deliver::outbox::GIT;

const PREFIX: &str = "DAVY_";

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
    cluster_name: Option<String>,
    pass_deadline: Option<String>,
    concurrency: Option<String>,
    shard: Option<String>,
    allow_addresses: Option<String>,
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
    "DAVY_CLUSTER_NAME",
    "DAVY_PASS_DEADLINE",
    "DAVY_CONCURRENCY",
    "DAVY_SHARD",
    "DAVY_ALLOW_ADDRESSES",
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
    /// Where promotion records are committed; the files that it names are read when it is used.
    pub git: Option<RemoteSettings>,
    /// What a commit of records bears so that build servers leave it alone.
    pub git_skip_ci: Option<String>,
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
        let texts: Texts = envy::prefixed(PREFIX)
            .from_iter(given)
            .map_err(|error| Invalid(vec![error.to_string()]))?;
        texts.check()
    }
}

impl Texts {
    /// The repository of promotion records, to be checked where it is used.
    fn git(&self) -> Option<RemoteSettings> {
        let texts = self.clone();
        Some(RemoteSettings {
            url: texts.git_url?,
            branch: texts.git_branch.unwrap_or_else(|| "main".to_owned()),
            username_file: texts.git_username_file,
            password_file: texts.git_password_file,
            ca_file: texts.git_ca_file,
            ssh_key_file: texts.git_ssh_key_file,
            known_hosts_file: texts.git_known_hosts_file,
            author: texts.git_author,
            signing_key_file: texts.git_signing_key_file,
            allowed_signers_file: texts.git_allowed_signers_file,
            limits: Limits::default(),
        })
    }

    fn check(self) -> Result<Settings, Invalid> {
        let git = self.git();
        let Self {
            metrics_server,
            mesh_provider,
            namespace,
            selector_labels,
            include_label_prefix,
            config_tracking,
            pushgateway_url,
            git_skip_ci,
            cluster_name,
            pass_deadline,
            concurrency,
            shard,
            allow_addresses,
            compat,
            log,
            ..
        } = self;
        let mut problems = Problems::default();
        let defaults = Policy::default();
        let policy = Policy {
            mesh_provider: problems
                .checked("DAVY_MESH_PROVIDER", mesh_provider, |name| {
                    crate::routers::router(name)
                        .map(|_| name.to_owned())
                        .map_err(|why| why.0.trim_start_matches("spec.provider: ").to_owned())
                })
                .unwrap_or(defaults.mesh_provider),
            selector_labels: selector_labels.map_or(defaults.selector_labels, |text| list(&text)),
            include_label_prefix: include_label_prefix
                .map(|text| list(&text))
                .unwrap_or_default(),
            config_tracking: problems
                .checked("DAVY_CONFIG_TRACKING", config_tracking, boolean)
                .unwrap_or(defaults.config_tracking),
            flagger_counting: problems
                .checked("DAVY_COMPAT", compat, |text| match text {
                    "flagger" => Ok(true),
                    _ => Err(format!("\"{text}\" is not known; known is flagger")),
                })
                .unwrap_or(false),
            cluster_name: problems
                .checked("DAVY_CLUSTER_NAME", cluster_name, cluster)
                .unwrap_or(defaults.cluster_name),
            outbox: git.iter().map(|_| GIT.to_owned()).collect(),
        };
        let settings = Settings {
            metrics_server: problems
                .checked("DAVY_METRICS_SERVER", metrics_server, address)
                .unwrap_or_else(|| "http://prometheus:9090".to_owned()),
            scope: problems
                .checked("DAVY_NAMESPACE", namespace, label)
                .map_or(Scope::Cluster, Scope::Namespace),
            policy: Arc::new(policy),
            pushgateway_url: problems.checked("DAVY_PUSHGATEWAY_URL", pushgateway_url, address),
            git,
            git_skip_ci,
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

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    /// The setting as its type, if it is given; what is wrong with it is kept for later.
    fn checked<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match check(&text?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push(format!("{name}: {why}"));
                None
            }
        }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

fn address(text: &str) -> Result<String, String> {
    let uri: http::Uri = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!(
            "\"{text}\" is not a URL that starts with http:// or https://"
        )),
    }
}

/// A name that can stand in a path, a label and a file's name.
fn cluster(text: &str) -> Result<String, String> {
    let fits = text.len() <= 253
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" is not a name of letters, digits, hyphens, underscores and dots"
        ))
    }
}

/// A DNS label, which is what a namespace's name is.
fn label(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not a namespace's name"))
    }
}
