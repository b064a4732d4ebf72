//! The test suite: one binary, one module per subject. `cargo test` is what a developer waits for;
//! `TEST_DAVY_TIER=thorough cargo test` adds what is marked with a star ([`tier`]).
//!
//! | I changed … | run `cargo test --test suite …` | which holds |
//! |---|---|---|
//! | a router | `routers`, then `scenarios` | `fixtures/routers/ROUTER/CASE`: a route and what is made of it |
//! | a metrics provider, a built-in check | `metrics` | `fixtures/metrics`: queries, requests, replies, verdicts |
//! | a workload, Services, configs, names | `plug_ins` | `fixtures/workloads`, `fixtures/objects` |
//! | a notifier | `notifiers`, `alerts` | `fixtures/notifiers`: messages; and that none is lost by a kill |
//! | what manifests may hold | `real` | `fixtures/real`: shapes that people write, each released |
//! | the decision | `scenarios`, `parity`, then `proof` | transcripts; Flagger's recordings; every call killed, frozen, refused, doubled (all stories\*) |
//! | claims, convergence | `proof`, then `cost`\*, `policies`\* | as above; writes of a real API server counted; admission policies |
//! | the client, the wire | `wire`, `secrets`\* | servers that lie and stall; no credential is shown |
//! | the cluster in memory | `conformance`, `controllers` | against recordings of a real one (or the real one\*) |
//! | records, Git, signatures | `records`, `git` | from the claim to the repository; servers of other makes\* |
//! | reports | `report` | numbers, and pages in Chromium\* |
//! | definitions, Roles, dashboards, settings | `generated`, `crds`, `home`\*, `dashboards`\* | what is shipped, held against what makes it and against the real thing |
//! | what the program prints, its exit codes | `cli`, `bad_input`\* | calls, and mistakes of users |
//! | imports, sizes of files | `architecture` | the table in `src/lib.rs` |
//!
//! Goldens are written anew with `TEST_DAVY_UPDATE=1`; `git diff` is for the review. One story of the
//! proofs: `TEST_DAVY_STORY=scenarios/promoted`. Every module says at its top what else it listens to.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails, with the place where it could not"
)]

mod alerts;
mod architecture;
mod bad_input;
mod batches;
mod bed;
mod cli;
mod conformance;
mod controllers;
mod cost;
mod crds;
mod dashboards;
mod draw;
mod generated;
mod git;
mod golden;
mod health;
mod home;
mod metrics;
mod notifiers;
mod parity;
mod plug_ins;
mod podinfo;
mod policies;
mod proof;
mod providers;
mod real;
mod records;
mod report;
mod routers;
mod scenarios;
mod secrets;
mod security;
mod story;
mod supply;
mod tenancy;
mod tier;
mod waves;
mod webhooks;
mod wire;
