//! Disturbed on purpose: in every story, before every pass, one of all the things happens that
//! others do to a canary, alone, with a kill of the pass after it, and in pairs. Every write and
//! every pass is judged, until the story rests.
//!
//! The ordinary suite tries a share of them that is drawn from a seed. All of them:
//!
//! ```text
//! TEST_DAVY_DISTURBED=all cargo test --test suite proof::disturbed -- --test-threads 1
//! ```
//!
//! With `--config profile.dev.package.davy.opt-level=3`, and the same for `serde_json`, that takes
//! two thirds of the time.
//!
//! | variable | what is tried |
//! |---|---|
//! | `TEST_DAVY_DISTURBED=all` | everything, instead of the suite's share |
//! | `TEST_DAVY_STORY=scenarios/promoted` | only this story, all of it |
//! | `TEST_DAVY_PASS=7` | only what happens before this pass |
//! | `TEST_DAVY_DISTURBANCE=edited-route` | only disturbances whose names begin so |
//! | `TEST_DAVY_KILL=2` | with the next pass killed after its second write |
//! | `TEST_DAVY_SEED=9` | the pair of this seed |
//!
//! Where one history is left, everything that was written in it is told.
//!
//! Who notices what, if it were to go wrong again; each is seen in `scenarios/promoted`:
//!
//! | what goes wrong | by which disturbance | what is said |
//! |---|---|---|
//! | a problem is answered before the traffic is looked at | `canary-webhook`, `deleted-target` | n4 safe route, n1 |
//! | a deletion waits for a manifest to be right | `canary-deleted-invalid` | n6 |
//! | repair comes before what takes traffic off | `edited-target-replicas-zero` | n1 |
//! | a rollback writes something else before the route | `refused-primary` | n4 safe route |
//! | Services follow the target of now | `canary-target-moved`, `canary-service-renamed` | n1, n4 safe route |
//! | without a primary there is no way on | `deleted-primary` | n4 waits for ever |
//! | a time in the future stops every clock | `status-in-the-future` | n4 waits for ever |
//! | a promotion ends on pods that are gone | `pods-primary-side-flapping` | p4 |
//! | what others have put on an object is wiped | `edited-canary-service-label-added` | n5 |

mod canary;
mod disturbance;
mod history;
mod parts;
mod sameness;
mod status;
mod tally;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use crate::draw::Draw;
use crate::proof::invariants::{Committed, in_words};
use crate::proof::stage::stops::tell;
use crate::proof::stage::wire::revision;
use crate::proof::stage::{Story, stories};
use crate::tier::is_thorough;

use disturbance::{Class, Disturbance, all};
use history::{History, Seen};
use sameness::fingerprint;
use tally::Tally;

/// In the ordinary suite one in so many is tried.
const SHARE: u64 = 50;
/// Pairs that are tried, there and where all are asked for.
const PAIRS: u64 = 400;
const PAIRS_OF_ALL: u64 = 20_000;
/// After one in so many the next release is tried too.
const RELEASED: u64 = 40;
/// With one in so many the pass after it is killed, after each of its writes.
const KILLED: u64 = 2;
/// Passes that only wait are all alike.
const IDLE_MAX: u32 = 2;
const THREADS: usize = 2;

#[test]
fn others_may_edit_every_object() {
    try_all_of(Class::Edits, "others_may_edit_every_object");
}

#[test]
fn others_may_delete_every_object() {
    try_all_of(Class::Deletions, "others_may_delete_every_object");
}

#[test]
fn others_may_own_every_object() {
    try_all_of(Class::Owners, "others_may_own_every_object");
}

#[test]
fn writes_of_every_object_may_be_refused() {
    try_all_of(Class::Refusals, "writes_of_every_object_may_be_refused");
}

#[test]
fn the_canary_may_change_at_any_time() {
    try_all_of(Class::Canaries, "the_canary_may_change_at_any_time");
}

#[test]
fn the_status_may_be_anything() {
    try_all_of(Class::Statuses, "the_status_may_be_anything");
}

#[test]
fn pods_may_go_at_any_time() {
    try_all_of(Class::Pods, "pods_may_go_at_any_time");
}

#[test]
fn metrics_may_fail_at_any_time() {
    try_all_of(Class::Metrics, "metrics_may_fail_at_any_time");
}

#[test]
fn two_disturbances_in_one_story() {
    let began = Instant::now();
    let (moments, seen) = &*MOMENTS;
    if let Some(seed) = number("TEST_DAVY_SEED") {
        let mut tally = Tally::default();
        pair(moments, seed, &mut tally, None);
        return tally.end("a pair", began);
    }
    let pairs = if is_all() { PAIRS_OF_ALL } else { PAIRS };
    let next = AtomicU64::new(0);
    let tally = on_threads(|tally| {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed < pairs {
            pair(moments, seed, tally, Some(seen));
        }
        seed < pairs
    });
    tally.end("pairs", began);
}

/// None of the table is without effect: each changes something before some pass of some story.
#[test]
fn every_disturbance_happens_somewhere() {
    if !is_thorough() {
        // A few stories have no autoscaler, no config, no hook.
        return tell("skipped: disturbances of all stories: TEST_DAVY_TIER is not set");
    }
    let (moments, _) = &*MOMENTS;
    let happens = |disturbance: &Disturbance| {
        let mut moments = moments.iter();
        moments.any(|moment| disturbance.happens(&mut moment.fork()))
    };
    let dead = all().into_iter().filter(|it| !happens(it));
    let dead: Vec<_> = dead.map(Disturbance::name).collect();
    assert_eq!(dead, Vec::<String>::new());
}

/// What the rules say of stories that nobody disturbs: nothing.
#[test]
fn an_undisturbed_story_breaks_none() {
    let began = Instant::now();
    let mut tally = Tally::default();
    for folder in stories() {
        let mut history = History::of(&Story::read(&folder));
        while history.story.come_to_pass() && !history.is_broken() {
            history.pass();
        }
        history.come_to_life();
        history.play_out(None);
        let name = history.story.name().to_owned();
        tally.add(history.story.passes, &history.story.broken, || name.clone());
    }
    tally.end("undisturbed", began);
}

/// Every moment of every story before a pass, and the states from which stories that nobody disturbs
/// go on: [`an_undisturbed_story_breaks_none`] has seen how they end.
static MOMENTS: LazyLock<(Vec<Story>, Seen)> = LazyLock::new(|| {
    let (mut moments, mut seen) = (Vec::new(), HashMap::new());
    for folder in stories() {
        let mut story = Story::read(&folder);
        let states: &mut HashSet<u64> = seen.entry(story.name().to_owned()).or_default();
        let mut idle = 0;
        while story.come_to_pass() {
            let (moment, written) = (story.fork(), revision(&story.world));
            let mut begun = story.fork();
            begun.begin_pass();
            states.extend(fingerprint(&begun, false));
            story.pass();
            let is_idle = revision(&story.world) == written;
            idle = if is_idle { idle + 1 } else { 0 };
            if idle <= IDLE_MAX {
                moments.push(moment);
            }
        }
    }
    (moments, Mutex::new(seen))
});

/// One disturbance before one pass.
struct Single<'a> {
    moment: &'a Story,
    disturbance: Disturbance,
    test: &'static str,
}

struct Drawn {
    /// Whether the ordinary suite tries it.
    is_shared: bool,
    /// Whether the next release is tried after it, and whether the pass after it is killed.
    is_released: bool,
    is_killed: bool,
}

fn try_all_of(class: Class, test: &'static str) {
    let began = Instant::now();
    let (moments, seen) = &*MOMENTS;
    let only = text("TEST_DAVY_DISTURBANCE").unwrap_or_default();
    let pass = number("TEST_DAVY_PASS");
    let kill = number("TEST_DAVY_KILL");
    let is_every = is_all() || std::env::var_os("TEST_DAVY_STORY").is_some();
    let is_name = all().into_iter().any(|it| it.name() == only);
    let is_asked = |name: &str| name == only || (!is_name && name.starts_with(&only));
    let mut singles = Vec::new();
    for moment in moments {
        for disturbance in all().into_iter().filter(|it| it.class() == class) {
            let single = Single {
                moment,
                disturbance,
                test,
            };
            let is_in_time = pass.is_none_or(|pass| u64::from(moment.passes) + 1 == pass);
            let is_chosen = is_every || single.drawn().is_shared;
            if is_chosen && is_in_time && is_asked(&disturbance.name()) {
                singles.push(single);
            }
        }
    }
    let is_one = singles.len() == 1;
    let next = AtomicUsize::new(0);
    let tally = on_threads(|tally| {
        let single = singles.get(next.fetch_add(1, Ordering::SeqCst));
        if let Some(single) = single {
            single.play(tally, (!is_one).then_some(seen), kill);
        }
        single.is_some()
    });
    tally.end(&format!("{class:?}"), began);
}

impl Single<'_> {
    /// What is drawn for it: the same whatever else is tried.
    fn drawn(&self) -> Drawn {
        let name = format!("{} {}", self.moment.name(), self.disturbance.name());
        let mut seed = u64::from(self.moment.passes);
        for byte in name.bytes() {
            seed = seed.wrapping_mul(31).wrapping_add(byte.into());
        }
        let mut draw = Draw(seed);
        let mut is_one_of = |number| draw.number().is_multiple_of(number);
        Drawn {
            is_shared: is_one_of(SHARE),
            is_released: is_one_of(RELEASED),
            is_killed: is_one_of(KILLED),
        }
    }

    fn play(&self, tally: &mut Tally, seen: Option<&Seen>, kill: Option<u64>) {
        let mut history = History::of(self.moment);
        if !history.disturb(self.disturbance) {
            return;
        }
        let is_killed = kill.is_some() || self.drawn().is_killed;
        let killed = if is_killed {
            history.killed()
        } else {
            Vec::new()
        };
        if kill.is_none() {
            self.play_one(history, tally, seen, None);
        }
        for (after, killed) in (1..).zip(killed) {
            if kill.is_none_or(|kill| kill == after) {
                self.play_one(killed, tally, seen, Some(after));
            }
        }
    }

    fn play_one(
        &self,
        mut history: History,
        tally: &mut Tally,
        seen: Option<&Seen>,
        kill: Option<u64>,
    ) {
        let begun = revision(&self.moment.world);
        let passes = history.story.passes;
        let is_released = self.drawn().is_released;
        let played = catch_unwind(AssertUnwindSafe(|| {
            // What the next release meets with is on no other way.
            history.play_out(seen.filter(|_| !is_released));
            if is_released {
                history.a_new_release_is_promoted();
            }
        }));
        if played.is_err() {
            history
                .story
                .broken
                .push("i4_no_panic: see above".to_owned());
        }
        if seen.is_none() {
            tell_all(&history, begun);
        }
        let kill = kill.map_or_else(String::new, |kill| format!("TEST_DAVY_KILL={kill} "));
        tally.add(history.story.passes - passes, &history.story.broken, || {
            format!(
                "TEST_DAVY_STORY={} TEST_DAVY_PASS={} TEST_DAVY_DISTURBANCE={} {kill}cargo test --test suite proof::disturbed::{}",
                self.moment.name(),
                self.moment.passes + 1,
                self.disturbance.name(),
                self.test,
            )
        });
    }
}

/// Two disturbances, some passes apart, and perhaps a kill after the second, as a seed has it.
fn pair(moments: &[Story], seed: u64, tally: &mut Tally, seen: Option<&Seen>) {
    let mut draw = Draw(seed);
    let all = all();
    let moment = draw.one_of(moments);
    let mut history = History::of(moment);
    let mut names = vec![
        moment.name().to_owned(),
        format!("pass {}", moment.passes + 1),
    ];
    let begun = revision(&moment.world);
    let played = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..2 {
            // What changes nothing in this story is drawn again.
            let drawn = (0..20).map(|_| *draw.one_of(&all));
            let drawn = drawn.collect::<Vec<_>>();
            let happened = drawn.into_iter().find(|it| history.disturb(*it));
            names.extend(happened.map(Disturbance::name));
            for _ in 0..draw.below(6) {
                if !history.is_broken() {
                    history.pass();
                }
            }
        }
        if draw.happens(25) {
            let mut killed = history.killed();
            if !killed.is_empty() {
                history = killed.swap_remove(draw.below(killed.len()));
                names.push("killed".to_owned());
            }
        }
        history.play_out(seen);
    }));
    if played.is_err() {
        history
            .story
            .broken
            .push("i4_no_panic: see above".to_owned());
    }
    if seen.is_none() {
        tell_all(&history, begun);
    }
    let passes = history.story.passes - moment.passes;
    tally.add(passes, &history.story.broken, || {
        format!(
            "TEST_DAVY_SEED={seed} cargo test --test suite proof::disturbed::two ({})",
            names.join(", ")
        )
    });
}

/// Everything that was written, for the one who looks for what went wrong.
fn tell_all(history: &History, begun: u64) {
    let state = history.story.world.lock();
    for write in state.cluster.history_since(begun) {
        if !matches!(&*write.key.kind, "EndpointSlice" | "ReplicaSet") {
            tell(&in_words(&write.committed()));
        }
    }
}

/// Does something again and again on every thread, until it says that there is no more.
fn on_threads(again: impl Fn(&mut Tally) -> bool + Sync) -> Tally {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    while again(&mut tally) {}
                    tally
                })
            })
            .collect();
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(thread.join().expect("histories that panic are caught"));
        }
        tally
    })
}

fn is_all() -> bool {
    let is_said = text("TEST_DAVY_DISTURBED").is_some_and(|which| which == "all");
    is_said || text("TEST_DAVY_STORY").is_some()
}

fn number(name: &str) -> Option<u64> {
    text(name)?.parse().ok()
}

fn text(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}
