//! One page of all rollouts, complete in itself: it asks nobody for anything, and a policy forbids
//! it to. Texts are escaped by maud, which lets none into a page otherwise; only the style and the
//! script beside this file are put in as they are.

mod queries;
mod rollout;
mod summary;
mod timeline;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use ssh_key::encoding::base64::{Base64, Encoding};

use super::dora::Dora;
use super::{Trail, text};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, of what the metrics were measured over.
pub fn page(trail: &Trail<'_>, dora: &Dora) -> String {
    let rollouts = trail.rollouts(dora.period);
    let queries = queries::Queries::of(&rollouts);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Rollouts" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Rollouts" }
                    p { (text::heading(dora)) }
                }
                main {
                    (summary::metrics(trail, dora))
                    section aria-labelledby="rollouts" {
                        h2 id="rollouts" { "Every rollout, newest first" }
                        @if rollouts.is_empty() {
                            p { "No rollouts in this time." }
                        } @else {
                            (timeline::marks())
                            (summary::filter(&rollouts))
                            div id="list" {
                                @for rollout in &rollouts {
                                    (rollout::details(rollout, &queries, rollouts.len() == 1))
                                }
                            }
                        }
                    }
                    (queries.list())
                }
                footer { p { "By davy " (env!("CARGO_PKG_VERSION")) " from promotion records in Git. All times are UTC." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Nothing is loaded, sent or framed, and nothing runs but our own script: what a record smuggles
/// in would have another digest.
fn policy() -> String {
    let digest = |text: &str| Base64::encode_string(&Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// A table that scrolls by itself where the screen is narrow, by keyboard too.
fn scrolls(name: &str, table: &Markup) -> Markup {
    html! { div.scrolls role="region" tabindex="0" aria-label=(name) { (table) } }
}
