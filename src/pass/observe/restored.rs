//! What the primary of a rebuilt cluster starts from: not what the target carries by now, which
//! nobody has analysed here, but what the promotion records say was promoted last.

use tokio::sync::OnceCell;

use super::SnapshotError;
use crate::api::status::Phase;
use crate::io::git::{Kept, Trail};
use crate::objects::Names;
use crate::objects::hash::template_hash;
use crate::pass::deliver::records::Records;
use crate::pass::snapshot::{Restored, Snapshot};
use crate::records;

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
/// No primary is made: one from the target would be what the setting is there to prevent.
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
    let target_hash = template_hash(snapshot.workload.template(target));
    let restored = last(trail, cluster, names)
        .filter(|restored| template_hash(&restored.template) != target_hash);
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

/// The newest record that holds a template, among those that are to be believed: signed by
/// somebody who may, and as they were added.
fn last(trail: &Trail, cluster: &str, names: &Names) -> Option<Restored> {
    let folder = records::folder(cluster, &names.namespace, &names.canary);
    let is_of_canary = |kept: &&Kept| {
        let path = kept.path.strip_prefix(&folder);
        path.is_some_and(|path| path.starts_with('/'))
    };
    let is_believed = |kept: &&Kept| kept.is_intact && kept.added.is_believed();
    let kept = trail.files.iter().filter(is_of_canary).filter(is_believed);
    let read = kept.filter_map(|kept| Some((records::parse(&kept.bytes).ok()?, &kept.path)));
    // A file may have been put where another canary's belong.
    let in_place = read.filter(|(record, _)| {
        (&*record.cluster, &record.namespace, &record.canary)
            == (cluster, &names.namespace, &names.canary)
    });
    let with_template =
        in_place.filter_map(|(record, path)| Some((record.time.0, record.template?, path)));
    let (_, template, path) = with_template.max_by_key(|(time, _, _)| *time)?;
    Some(Restored {
        template,
        record: path.clone(),
    })
}
