//! Proposing to take back what was rolled back: the repository of manifests asks for it still, and
//! would release it again. The change goes onto a branch of its own, for people to merge.

mod patch;

use crate::api::record::{ImageChange, News, OutboxEntry, Revert};
use crate::io::git::{Proposal, Proposed, Remote, RemoteSettings};
use crate::pass::deliver::outbox::{Delivered, Entries};
use crate::records;

/// The name of the manifests' repository among the places that an entry waits for.
pub const REVERT: &str = "revert";

/// Letters of a Canary's UID that tell one from another of the same name.
const UID_LEN: usize = 8;

/// Where manifests come from.
#[derive(Clone, Debug)]
pub struct Reverts {
    /// The source and the branch that is rolled out from; read anew with each proposal.
    pub settings: RemoteSettings,
    /// The folder with the manifests of this cluster; an empty one is the whole repository.
    pub folder: String,
}

impl Reverts {
    /// The repository, with the files read that the settings name.
    ///
    /// On failure: everything that is wrong with them at once.
    pub fn remote(&self) -> Result<Remote, Vec<String>> {
        let mut problems = Vec::new();
        if self.settings.signing_key_file.is_none() {
            problems.push("DAVY_GIT_SIGNING_KEY_FILE: is needed to propose reverts".to_owned());
        }
        match Remote::new(self.settings.clone()) {
            Ok(remote) if problems.is_empty() => return Ok(remote),
            Ok(_) => {}
            Err(wrong) => problems.extend(wrong.iter().map(|problem| {
                let setting = if OWN.contains(&problem.setting) {
                    problem.setting.replace("_GIT_", "_REVERT_")
                } else {
                    problem.setting.to_owned()
                };
                format!("{setting}: {}", problem.why)
            })),
        }
        Err(problems)
    }
}

/// Settings of a remote that the source has of its own; the others are those of the records.
const OWN: [&str; 5] = [
    "DAVY_GIT_URL",
    "DAVY_GIT_BRANCH",
    "DAVY_GIT_USERNAME_FILE",
    "DAVY_GIT_PASSWORD_FILE",
    "DAVY_GIT_SSH_KEY_FILE",
];

/// Proposes what waits to be taken back.
///
/// # Guarantees
/// A revert counts as delivered when the source was seen to have its branch, or to ask for the
/// image no more.
pub async fn deliver(reverts: &Reverts, waiting: &Entries) -> (Delivered, Vec<String>) {
    let mut delivered = Delivered::default();
    let mut problems = Vec::new();
    let mut here = Vec::new();
    for (canary, entries) in waiting {
        for OutboxEntry { news, .. } in entries.iter().filter(|entry| entry.waits_for(REVERT)) {
            let News::Revert(revert) = news else { continue };
            let own = format!("{}/{}", revert.namespace, revert.canary);
            if own == *canary {
                here.push((canary, news, revert));
            } else {
                // Status may be written by others than Davy.
                problems.push(format!("{canary}: a revert of {own} is not proposed"));
            }
        }
    }
    if here.is_empty() {
        return (delivered, problems);
    }
    let remote = match reverts.remote() {
        Ok(remote) => remote,
        Err(wrong) => return (delivered, wrong),
    };
    for (canary, news, revert) in here {
        match remote.propose(proposal(reverts, revert)).await {
            Ok(Proposed::Made(_)) => delivered.add(canary, REVERT, news.clone()),
            Ok(Proposed::Nothing) => {
                delivered.add(canary, REVERT, news.clone());
                problems.push(format!("{canary}: {}", nothing(reverts, revert)));
            }
            Err(error) => problems.push(format!("{canary}: revert not proposed yet: {error}")),
        }
    }
    (delivered, problems)
}

/// Why there is no branch.
fn nothing(reverts: &Reverts, revert: &Revert) -> String {
    let images: Vec<_> = revert.images.iter().map(|image| &*image.from).collect();
    let folder = match &*reverts.folder {
        "" => "the source",
        folder => folder,
    };
    format!(
        "nothing to revert: no manifest of {} {} in {folder} asks for {} in a form that is known",
        revert.kind,
        revert.name,
        images.join(", ")
    )
}

fn proposal(reverts: &Reverts, revert: &Revert) -> Proposal {
    let Revert {
        cluster,
        namespace,
        canary,
        uid,
        step,
        ..
    } = revert;
    let uid: String = uid.chars().take(UID_LEN).collect();
    let name = format!("{canary}-{step}-{uid}");
    let place = [cluster, namespace, &name].map(|name| records::in_reference(name));
    let [edited, described] = [revert.clone(), revert.clone()];
    Proposal {
        branch: format!("davy/revert/{}", place.join("/")),
        folder: reverts.folder.clone(),
        is_wanted: patch::is_manifest,
        edit: Box::new(move |path, text| patch::reverted(path, text, &edited)),
        describe: Box::new(move |files| message(&described, files)),
        at: revert.time.0,
    }
}

fn message(revert: &Revert, files: &[&str]) -> String {
    let line = |ImageChange { from, to }: &ImageChange| format!("{from} was rolled back to {to}\n");
    let Revert {
        cluster,
        namespace,
        canary,
        step,
        reason,
        name,
        ..
    } = revert;
    let images: String = revert
        .images
        .iter()
        .map(line)
        .map(|line| one_line(&line))
        .collect();
    let files: String = files
        .iter()
        .map(|path| one_line(&format!("- {path}")))
        .collect();
    format!(
        "Take {name} back to what was promoted last\n\n{images}\n{}\n\nFiles:\n{files}\n\
         Davy-Revert: {cluster}/{namespace}/{canary} {step}\n",
        one_line(reason).trim_end()
    )
}

/// Texts of users must not begin another line.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().filter(|letter| !letter.is_control()).collect();
    line.push('\n');
    line
}
