//! What the API server saw, request by request, from its audit log.
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{control_plane::ControlPlane, wait::until};

/// Every request is written twice: before it is carried out and after its answer. What the server
/// and the simulated kubelets do on their own account is left out, to keep the log short.
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, users: ['system:apiserver', kwok]}
- {level: Metadata}
";

/// A place in the audit log: what comes later has not happened yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditMark(u64);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvent {
    pub(crate) id: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub(crate) verb: String,
    /// Path and query.
    pub(crate) uri: String,
    /// Lower-case plural; empty for requests like `/version`.
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Status of the answer; 0 when none was seen.
    pub(crate) code: u64,
    /// The event as it was written.
    pub(crate) raw: Value,
}

impl AuditEvent {
    /// When the request arrived.
    pub(crate) fn received(&self) -> Timestamp {
        let time = self.raw["requestReceivedTimestamp"].as_str();
        time.and_then(|time| time.parse().ok()).expect("a time")
    }
}

impl ControlPlane {
    /// The end of the audit log as it is now.
    pub(crate) fn audit_mark(&self) -> AuditMark {
        AuditMark(fs::metadata(log(self.keeper.folder())).map_or(0, |metadata| metadata.len()))
    }

    /// The requests that a user made since the mark, in the order in which they arrived. A request
    /// is in the log before it is carried out, so none that was answered is missing; its end may
    /// come a moment after the client has the answer, and is waited for.
    pub(crate) async fn audit(&self, since: AuditMark, user: &str) -> Vec<AuditEvent> {
        let path = log(self.keeper.folder());
        until(
            "the audit log is complete",
            Duration::from_secs(10),
            async || {
                let events = requests(&path, since, user)?;
                match events
                    .iter()
                    .find(|event| event.code == 0 && event.verb != "watch")
                {
                    Some(event) => Err(format!("{} {} has no end yet", event.verb, event.uri)),
                    None => Ok(events),
                }
            },
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Writes the policy and answers the API server's flags.
pub(super) fn arguments(folder: &Path) -> Result<Vec<String>, String> {
    let policy = folder.join("audit-policy.yaml");
    fs::write(&policy, POLICY).map_err(|error| format!("writing the audit policy: {error}"))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log(folder).display()),
        // In megabytes. A mark is a place in one file, so the file must not be rotated away.
        "--audit-log-maxsize=10000".to_owned(),
        // The order of the lines is then the order of the requests.
        "--audit-log-mode=blocking".to_owned(),
    ])
}

fn log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

fn requests(path: &Path, since: AuditMark, user: &str) -> Result<Vec<AuditEvent>, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(since.0))?;
            file.read_to_string(&mut text)
        })
        .map_err(|error| format!("reading {}: {error}", path.display()))?;
    let mut events = Vec::new();
    let mut places = HashMap::new();
    // The last line may be half written.
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        // Others write much, and parsing is slow.
        .filter(|line| line.contains(user))
    {
        let raw: Value = serde_json::from_str(line)
            .map_err(|error| format!("{}: {error}: {line}", path.display()))?;
        if raw["user"]["username"] != user {
            continue;
        }
        let event = event(raw);
        match places.get(&event.id) {
            Some(place) => events[*place] = event,
            // The end of a request that began before the mark.
            None if event.raw["stage"] != "RequestReceived" => {}
            None => {
                places.insert(event.id.clone(), events.len());
                events.push(event);
            }
        }
    }
    Ok(events)
}

fn event(raw: Value) -> AuditEvent {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &raw["objectRef"];
    AuditEvent {
        id: text(&raw["auditID"]),
        verb: text(&raw["verb"]),
        uri: text(&raw["requestURI"]),
        resource: text(&object["resource"]),
        subresource: text(&object["subresource"]),
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: raw["responseStatus"]["code"].as_u64().unwrap_or(0),
        raw,
    }
}
