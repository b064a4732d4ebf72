//! What the primary of a rebuilt cluster starts from: not what the target carries by now, which
//! nobody has analysed here, but what the promotion records say was promoted last.

use crate::api::record::Record;
use crate::api::status::Phase;
use crate::io::git::{Kept, Trail};
use crate::objects::hash::template_hash;
use crate::objects::{Names, Problem};
use crate::pass::deliver::records::Records;
use crate::pass::problems::Unobserved;
use crate::pass::snapshot::{Restored, Snapshot};
use crate::records;

/// The last promoted template, while the primary is still to be made and the target carries
/// another one.
///
/// # On failure
/// No primary is made: one from the target would be what the setting is there to prevent.
pub(super) async fn read(
    records: Option<&Records>,
    snapshot: &Snapshot,
) -> Result<Option<Restored>, Unobserved> {
    let is_first_sight = matches!(snapshot.phase(), None | Some(Phase::Initializing));
    let (Some(records), Some(target)) = (records, snapshot.target()) else {
        return Ok(None);
    };
    if !snapshot.policy.restores || !is_first_sight || snapshot.primary().is_some() {
        return Ok(None);
    }
    let failed = |why: String| {
        let primary = snapshot.primary_key();
        Unobserved::Failed(format!(
            "{primary} is not made before the promotion records were read: {why}"
        ))
    };
    let remote = records
        .remote()
        .map_err(|problems| failed(problems.join("; ")))?;
    let (cluster, names) = (&snapshot.policy.cluster_name, &snapshot.names);
    let folder = records::folder(cluster, &names.namespace, &names.canary);
    let trail = remote.read(&folder).await;
    let trail = trail.map_err(|error| failed(error.to_string()))?;
    let target_hash = template_hash(snapshot.workload.template(target));
    let restored = last(trail, cluster, names)
        .filter(|restored| template_hash(&restored.template) != target_hash);
    if let Some(restored) = &restored {
        let source = snapshot.workload.with_template(target, &restored.template);
        let problems = snapshot.workload.problems(&snapshot.view(), &source);
        let of_record = |problem: Problem| Problem(format!("{}: {problem}", restored.record));
        if !problems.is_empty() {
            let problems = problems.into_iter().map(of_record);
            return Err(Unobserved::Problems(problems.collect()));
        }
    }
    Ok(restored)
}

/// The newest record that holds a template, among those that are to be believed: signed by
/// somebody who may, and as they were added.
fn last(trail: Trail, cluster: &str, names: &Names) -> Option<Restored> {
    let is_believed = |kept: &Kept| kept.is_intact && kept.added.is_believed();
    let is_of_canary = |record: &Record| {
        (&*record.cluster, &record.namespace, &record.canary)
            == (cluster, &names.namespace, &names.canary)
    };
    let kept = trail.files.into_iter().filter(is_believed);
    let read = kept.filter_map(|kept| Some((records::parse(&kept.bytes).ok()?, kept.path)));
    let of_canary = read.filter(|(record, _)| is_of_canary(record) && record.template.is_some());
    let (newest, path) = of_canary.max_by_key(|(record, _)| record.time.0)?;
    Some(Restored {
        template: newest.template?,
        record: path,
    })
}
