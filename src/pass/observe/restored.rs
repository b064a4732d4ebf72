//! What the primary of a rebuilt cluster starts from: not what the target carries by now, which
//! nobody has analysed here, but what the promotion records say was promoted last.

use std::collections::BTreeMap;

use tokio::sync::OnceCell;

use super::SnapshotError;
use crate::api::record::Outcome;
use crate::api::status::Phase;
use crate::io::git::Trail;
use crate::objects::Names;
use crate::objects::hash::template_hash;
use crate::pass::deliver::records::{Records, filed};
use crate::pass::snapshot::{Restored, Snapshot};
use crate::records::{self, chain};

/// As many findings as fit into a reason; `davy verify` has them all.
const FINDINGS_SHOWN: usize = 4;

/// The promotion records of the cluster: read for the first canary that needs them, and once for
/// all of a pass.
pub(super) struct Promotions {
    records: Records,
    trail: OnceCell<Result<Trail, String>>,
}

impl Promotions {
    pub(super) fn new(records: &Records) -> Self {
        Self {
            records: records.clone(),
            trail: OnceCell::new(),
        }
    }

    async fn trail(&self, cluster: &str) -> Result<&Trail, &String> {
        let read = async || {
            let remote = self.records.remote();
            let remote = remote.map_err(|problems| problems.join("; "))?;
            let trail = remote.read(&records::folder_of(cluster)).await;
            trail.map_err(|error| error.to_string())
        };
        self.trail.get_or_init(read).await.as_ref()
    }
}

/// The last promoted template, while the primary is still to be made and the target carries
/// another one.
///
/// # On failure
/// No primary is made, be it that the records cannot be read or that something is wrong with this
/// canary's: one from the target would be what the setting is there to prevent.
pub(super) async fn read(
    promotions: Option<&Promotions>,
    snapshot: &Snapshot,
) -> Result<Option<Restored>, SnapshotError> {
    let is_first_sight = matches!(snapshot.phase(), None | Some(Phase::Initializing));
    let (Some(promotions), Some(target)) = (promotions, snapshot.target()) else {
        return Ok(None);
    };
    if !is_first_sight || snapshot.primary().is_some() {
        return Ok(None);
    }
    let (cluster, names) = (&snapshot.policy.cluster_name, &snapshot.names);
    let trail = promotions.trail(cluster).await.map_err(|why| {
        let primary = snapshot.primary_key();
        SnapshotError::Unreachable(format!(
            "{primary} is not made before the promotion records were read: {why}"
        ))
    })?;
    let target_hash = template_hash(&snapshot.workload.template(target));
    let restored = last(trail, cluster, names).map_err(|why| {
        let primary = snapshot.primary_key();
        SnapshotError::Unreachable(format!(
            "{primary} is not made while its promotion records are in doubt: {why}"
        ))
    })?;
    let restored = restored.filter(|restored| template_hash(&restored.template) != target_hash);
    if let Some(restored) = &restored {
        let source = snapshot.workload.with_template(target, &restored.template);
        let problems = snapshot.workload.problems(&snapshot.view(), &source);
        if !problems.is_empty() {
            let problems = problems.iter().map(|problem| restored.problem(problem));
            return Err(SnapshotError::Invalid(problems.collect()));
        }
    }
    Ok(restored)
}

/// The template that the canary's newest record of an initialization or a promotion holds.
///
/// On failure: something is wrong with the canary's records. None is left out for that, or an
/// older one would stand for the last.
fn last(trail: &Trail, cluster: &str, names: &Names) -> Result<Option<Restored>, String> {
    let folder = format!(
        "{}/",
        records::folder(cluster, &names.namespace, &names.canary)
    );
    let of_canary = trail.files.iter();
    let of_canary = of_canary.filter(|kept| kept.path.starts_with(&folder));
    let files: Vec<_> = of_canary.map(filed).collect();
    let findings = chain::verify(&files, &BTreeMap::new());
    let breaches = findings.iter().filter(|finding| finding.is_breach);
    let breaches = breaches.map(|finding| format!("{}: {}", finding.path, finding.what));
    let shown: Vec<_> = breaches.take(FINDINGS_SHOWN).collect();
    if !shown.is_empty() {
        return Err(shown.join("; "));
    }
    let taken_over = chain::readable(&files)
        .filter(|(_, record)| matches!(record.outcome, Outcome::Initialized | Outcome::Promoted));
    let mut taken_over: Vec<_> = taken_over.collect();
    taken_over.sort_by_key(|(_, record)| (record.time.0, record.step));
    let holds_templates = taken_over
        .iter()
        .any(|(_, record)| record.template.is_some());
    let Some((file, newest)) = taken_over.pop().filter(|_| holds_templates) else {
        return Ok(None);
    };
    let template = newest.template.ok_or_else(|| {
        let path = &file.path;
        format!("{path}: it holds no pod template, and is newer than those that do")
    })?;
    let record = file.path.clone();
    let template = crate::records::template(&template);
    Ok(Some(Restored { template, record }))
}
