//! Davy: progressive delivery for Kubernetes in a single pass.
//!
//! A pass reads Flagger's Canary resources and their status, takes at most one gated step for
//! each, and exits. It keeps nothing in memory, needs no leader, and may be killed anywhere, run
//! twice, late, or never.
//!
//! # The pass
//!
//! ```text
//! observe ──► Snapshot ──► decide ──► Claimed ──► claim ──► converge ──► deliver
//! (reads)                  (pure)   (status, writes) (status) (cluster)   (Events, series)
//! ```
//!
//! *Status says what should be; `decide` changes what status says; `converge` makes it so;
//! `deliver` tells the world.* [`pass`] is that, on one screen; a file for each part is below it.
//!
//! - **A decision asks.** What it has to know of others, it names as questions, and is made again with
//!   the answers ([`pass::questions`]). Canaries go in waves: all of one decide, what they ask is asked
//!   together, so that one query serves many, and each goes on when its own answers are there.
//! - **Taking traffic off comes before everything.** It is decided from what could be read, whatever
//!   is wrong with the rest, and its claim names the route first. [`pass::decide`] has the whole
//!   order of precedence in a table, and its code is in that order.
//! - **Desired state has no gates.** [`pass::desired`] turns a snapshot and a status into every object
//!   as it should be; what must wait is a phase or a field of status.
//! - **A decision carries its writes.** They are rendered anew only after a conflict.
//! - A **claim** is one status write under the resourceVersion that was observed. It numbers the
//!   step and names every object that the step will write, with the resourceVersion that was seen.
//! - An object of the claim is **unfinished** while it still has that resourceVersion. The next
//!   pass finishes it.
//! - What differs from status for another reason has **drifted**, and is claimed anew: in the claim of
//!   the step that is due, or by itself. A repair puts no step off, and starts no clock.
//! - A claim that **overtakes** an unfinished one names its objects too, so that a late writer of
//!   the old step meets a conflict. That holds as well where the traffic stays with the canary
//!   because the primary is not ready: the route is then written as it is.
//! - A claim names no more than what differs from the new status and what it carries over. Objects
//!   that are as they should be are not touched.
//! - Every write is a JSON patch of what differs, or a creation; both name what was read.
//! - **Write, then believe the answer.** What an admission policy makes of a write is how the object
//!   should look from then on (`pass::converge::stored`); a write that came to nothing is done.
//! - **A write that is refused is told**: by condition Ready for as long as it is, and by one Event.
//! - Each **reason to wait** has its own clock in status: the rollout of the canary, evidence, the
//!   primary. Time for which the Canary was suspended counts for none.
//!
//! # The house
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`api`] | the resources as types | nothing of ours |
//! | [`objects`] | names, Services, config copies, hashes, patches | `api` |
//! | [`routers`] [`workloads`] [`metrics`] [`judges`] [`notifiers`] | plug-ins: pure translators behind a narrow trait, one file each and a line in a table | `api`, `objects`; `judges` the vocabulary of `metrics`, `metrics` the queries of `routers` |
//! | [`webhooks`] | Flagger's webhooks: what is sent, and what a reply means | `api`, `objects` |
//! | [`records`] | promotion records as files: place, bytes, digest, chain | `api` |
//! | [`report`] | what the records tell: decided again, DORA's metrics, a page of all rollouts | `api`, `records`, the rules of `pass`, `judges` |
//! | [`signature`] | keys, signing and verifying of commits | nothing of ours |
//! | [`io`] | every effect: the wire, the clock, the cluster, Git | `api`, `signature`, the vocabulary of `objects`, `metrics` and `webhooks`; `io::git` only `signature` |
//! | [`pass`] | observe, decide, claim, converge, deliver | all above |
//! | [`simulate`] | a cluster in memory below a real `kube::Client`, and scenarios played on it | `pass`, `io`, `api`, `metrics`, the vocabulary |
//! | [`settings`] [`command`] | environment, verbs | all |
//!
//! What is absent is as much the design:
//!
//! - **`pass::decide` and `pass::desired` have no effects**: no async, no clock, no logging,
//!   and the decision no `Result`. They see plug-ins by their traits, never by name.
//! - **There is no trait for the cluster.** The fake sits below `kube::Client`, so that the code
//!   that runs in a rehearsal is the code that runs in production. `Io { wire, clock }` is the one
//!   thing in which the two differ.
//! - **There is no retry** but the bounded one after a conflict, which reads first.
//! - **Objects are JSON.** Typed views only read, so that fields of a newer API server survive.
//! - **Nothing is told twice as two things.** News waits in the status' outbox until its channel has said
//!   that it has it, and bears the same key each time (`pass::deliver::alerts`).
//! - **No right is unused.** Verbs stand in one table beside the requests (`io::rights`), the shipped
//!   Roles are made from it, and a run under them holds it against the audit log.
//! - **A series is status as text** (`pass::deliver::series`): what is counted was claimed.
//! - **Nothing is pushed by force.** A branch that moved is read again and the commit made anew on top
//!   of it; files that are there are never overwritten (`io::git`).
//! - **No program is run**: neither git nor ssh. libgit2 speaks the protocol over transports
//!   of `io::git`'s, and reads no configuration but the repository's own.
//! - **Nothing is random.** Names and ids follow from the Canary and the revision.
//!
//! `tests/suite/architecture.rs` holds the imports against the table.

pub mod api;
pub mod command;
pub mod io;
pub mod judges;
pub mod metrics;
pub mod notifiers;
pub mod objects;
pub mod pass;
pub mod records;
pub mod report;
pub mod routers;
pub mod settings;
pub mod signature;
pub mod simulate;
pub mod webhooks;
pub mod workloads;
