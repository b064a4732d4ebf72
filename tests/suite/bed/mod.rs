//! The real test bed: a Kubernetes control plane, Prometheus and Pushgateway on loopback, started by
//! the first test that asks and shared by all. Where they cannot be had, a test is told so once, in
//! one visible line, and passes; in the tier `required` that is a failure ([`crate::tier`]).
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

pub(crate) mod audit;
pub(crate) mod control_plane;
pub(crate) mod exporter;
mod identity;
pub(crate) mod keeper;
mod objects;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod pushgateway;
mod smoke;
pub(crate) mod wait;

use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokio::sync::OnceCell;

use crate::tier::{Tier, tier};

use self::{control_plane::ControlPlane, prometheus::Prometheus, pushgateway::Pushgateway};

/// What the first asker got, for all that ask later.
type Shared<T> = OnceCell<Result<Option<T>, String>>;

/// The control plane, started by the first call; `None` when the cluster tier is skipped.
///
/// # Panics
/// When it cannot be started, or is skipped though the tier is `required`.
pub(crate) async fn control_plane() -> Option<&'static ControlPlane> {
    static SHARED: Shared<ControlPlane> = OnceCell::const_new();
    let started = SHARED.get_or_init(async || {
        let Some(binaries) = binaries()? else {
            return Ok(None);
        };
        ControlPlane::start(&binaries).await.map(Some)
    });
    settle(started.await)
}

/// Prometheus with the exporter that it reads; `None` when it is not installed.
///
/// # Panics
/// As [`control_plane`].
pub(crate) async fn prometheus() -> Option<&'static Prometheus> {
    static SHARED: Shared<Prometheus> = OnceCell::const_new();
    let started = SHARED.get_or_init(async || {
        let Some(program) = program("prometheus")? else {
            return Ok(None);
        };
        Prometheus::start(&program, None, None).await.map(Some)
    });
    settle(started.await)
}

/// A Prometheus of the caller's own that reads this Pushgateway; `None` when it is not installed.
///
/// # Panics
/// As [`control_plane`].
pub(crate) async fn prometheus_of(pushgateway: &Pushgateway) -> Option<Prometheus> {
    own_prometheus(Some(pushgateway.address()), None).await
}

/// A Prometheus of the caller's own that has read this file, in the format of `OpenMetrics`;
/// `None` when it is not installed.
///
/// # Panics
/// As [`control_plane`].
pub(crate) async fn prometheus_with(history: &Path) -> Option<Prometheus> {
    own_prometheus(None, Some(history)).await
}

async fn own_prometheus(
    pushgateway: Option<SocketAddr>,
    history: Option<&Path>,
) -> Option<Prometheus> {
    static FOUND: Shared<PathBuf> = OnceCell::const_new();
    let found = FOUND.get_or_init(async || program("prometheus"));
    let program = settle(found.await)?;
    Some(
        Prometheus::start(program, pushgateway, history)
            .await
            .unwrap_or_else(|error| panic!("{error}")),
    )
}

/// An empty Pushgateway of the caller's own; `None` when it is not installed.
///
/// # Panics
/// As [`control_plane`].
pub(crate) async fn pushgateway() -> Option<Pushgateway> {
    static FOUND: Shared<PathBuf> = OnceCell::const_new();
    let found = FOUND.get_or_init(async || program("prometheus-pushgateway"));
    let program = settle(found.await)?;
    Some(
        Pushgateway::start(program)
            .await
            .unwrap_or_else(|error| panic!("{error}")),
    )
}

/// A control plane of the caller's own, for what would be in the way of others: definitions that are
/// missing or wrong. `None` when the cluster tier is skipped.
///
/// # Panics
/// As [`control_plane`].
pub(crate) async fn control_plane_of_ones_own() -> Option<ControlPlane> {
    let binaries = binaries().unwrap_or_else(|error| panic!("{error}"))?;
    let started = ControlPlane::start(&binaries).await;
    Some(started.unwrap_or_else(|error| panic!("{error}")))
}

/// Data that the project shares with others, beside the repository.
pub(crate) fn shared() -> PathBuf {
    env::var_os("TEST_DAVY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

fn settle<T>(outcome: &Result<Option<T>, String>) -> Option<&T> {
    outcome
        .as_ref()
        .unwrap_or_else(|error| panic!("{error}"))
        .as_ref()
}

/// The folder with the control plane's programs, built if need be.
fn binaries() -> Result<Option<PathBuf>, String> {
    if program("go")?.is_none() {
        return Ok(None);
    }
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/build");
    // What it has to say while it builds is for the one who waits.
    let output = Command::new(build)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("running {build}: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.lines().last() {
        Some(folder) if output.status.success() => Ok(Some(PathBuf::from(folder))),
        _ => Err(format!("{build} has failed: {}", output.status)),
    }
}

/// A program that a part of the test bed cannot do without. Without it that part is skipped, or
/// the reason is the error where nothing may be skipped.
pub(crate) fn program(name: &str) -> Result<Option<PathBuf>, String> {
    let (what, package) = match name {
        "go" => ("the control plane", "no Go toolchain"),
        other => (other, "no such program"),
    };
    match (tier(), on_path(name)) {
        (Tier::Everyday, _) => skip(&format!("{what}: TEST_DAVY_TIER is not set")),
        (_, Some(path)) => Ok(Some(path)),
        (Tier::Required, None) => Err(format!(
            "{what}: {package} on the PATH, and TEST_DAVY_TIER=required"
        )),
        (Tier::Thorough, None) => skip(&format!("{what}: {package} on the PATH")),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Says what is not tested. Written past the capture of the test runner, which would show it for
/// failing tests only.
fn skip<T>(what: &str) -> Result<Option<T>, String> {
    writeln!(io::stderr(), "skipped: {what}").map_err(|error| error.to_string())?;
    Ok(None)
}
