//! Routes of the canary's that stand beside the user's own, which they are made from and follow:
//! whose the objects are, what they have of the user's, and what is wrong with that.
//!
//! The user's route leads to the apex and is only read.

use serde_json::{Map, Value, json};

use crate::api::canary::{Canary, ObjectReference};
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted, metadata};
use crate::routers::{Traffic, apex};

/// How a router finds the two routes.
pub(super) struct Beside {
    pub(super) provider: &'static str,
    pub(super) kind: &'static Kind,
    /// The field of the Canary's spec that names the user's route.
    pub(super) field: &'static str,
    pub(super) reference: fn(&Canary) -> Option<&ObjectReference>,
    /// The name of the canary's route beside the user's of this name.
    pub(super) name: fn(&Names, &str) -> String,
    /// Annotations that say where requests go: no copy of the user's.
    pub(super) own: &'static [&'static str],
}

const ANNOTATIONS: &str = "/annotations=";
const LABELS: &str = "/labels=";

impl Beside {
    pub(super) fn key(&self, name: impl Into<String>) -> Key {
        Key::new(self.kind, name)
    }

    /// The route that leads to the apex: that which the Canary names, or did before it named none.
    pub(super) fn users<'a>(&self, canary: &'a Canary) -> Option<&'a str> {
        self.named_now(canary)
            .or_else(|| self.named_before(canary).into_iter().next())
    }

    /// The canary's route beside the user's of now.
    pub(super) fn current(&self, canary: &Canary, names: &Names) -> Option<String> {
        self.users(canary).map(|users| (self.name)(names, users))
    }

    /// The canary's routes: that of now, and those beside routes that the Canary named before, which
    /// would go on as they are.
    pub(super) fn canarys(&self, canary: &Canary, names: &Names) -> Vec<String> {
        let now = self.users(canary);
        let earlier = self.named_before(canary).into_iter();
        let earlier = earlier.filter(|name| now != Some(*name));
        let users = now.into_iter().chain(earlier);
        users.map(|name| (self.name)(names, name)).collect()
    }

    pub(super) fn reads(&self, canary: &Canary, names: &Names) -> Vec<(Key, Role)> {
        let users = self.users(canary).into_iter();
        let users = users.map(|name| (self.key(name), Role::UsersOwn));
        let ours = self.weight_keys(canary, names).into_iter();
        users.chain(ours.map(|key| (key, Role::Owned))).collect()
    }

    pub(super) fn weight_keys(&self, canary: &Canary, names: &Names) -> Vec<Key> {
        let ours = self.canarys(canary, names).into_iter();
        ours.map(|name| self.key(name)).collect()
    }

    pub(super) fn problems(&self, canary: &Canary) -> Vec<Problem> {
        if self.named_now(canary).is_some() {
            return Vec::new();
        }
        let why = format!(
            "provider \"{}\" needs the {} that leads to Service {}",
            self.provider,
            self.kind.kind,
            Names::of(canary).apex
        );
        vec![Problem::field(&format!("spec.{}", self.field), why)]
    }

    /// What keeps a route from being made from the user's; `leads` says why it does not lead to the
    /// apex, if it does not.
    pub(super) fn obstacles(
        &self,
        view: &View<'_>,
        leads: impl Fn(&Value) -> Result<(), String>,
    ) -> Vec<Problem> {
        let Some(name) = self.users(view.canary) else {
            return Vec::new();
        };
        let live = view.object(self.kind, name);
        let is_made = live.map_or_else(|| Err("does not exist".to_owned()), leads);
        let why = is_made.err().map(|why| {
            let kind = self.kind.kind;
            let why = format!("{kind} {}/{name} {why}", view.names.namespace);
            Problem::field(&format!("spec.{}", self.field), why)
        });
        why.into_iter().collect()
    }

    /// What the canary's routes show: the most where one of before is there too, as its requests reach
    /// the canary as well. `share` reads one of them, or says what is wrong with it.
    pub(super) fn observe(
        &self,
        view: &View<'_>,
        share: impl Fn(&Value) -> Result<u8, String>,
    ) -> Result<Option<Traffic>, Problem> {
        let shares = self.live(view).into_iter().map(|live| {
            share(live).map_err(|why| {
                let name = live["metadata"]["name"].as_str().unwrap_or_default();
                let namespace = &view.names.namespace;
                Problem(format!("{} {name}.{namespace} {why}", self.kind.kind))
            })
        });
        let shares = shares.collect::<Result<Vec<_>, _>>()?;
        Ok(shares.into_iter().max().map(Traffic::share))
    }

    /// The canary's routes that are there.
    pub(super) fn live<'a>(&self, view: &View<'a>) -> Vec<&'a Value> {
        let names = self.canarys(view.canary, view.names).into_iter();
        names
            .filter_map(|name| view.object(self.kind, &name))
            .collect()
    }

    /// The canary's routes as they should be: that of now as `made` makes it from the user's and the
    /// live one, those of before as `retired` leaves them.
    pub(super) fn render(
        &self,
        view: &View<'_>,
        made: impl Fn(Option<&Value>, Option<&Value>) -> Option<Value>,
        retired: impl Fn(&Value) -> Value,
    ) -> Vec<Wanted> {
        let users = self.users(view.canary);
        let users = users.and_then(|name| view.object(self.kind, name));
        let now = self.current(view.canary, view.names);
        let names = self.canarys(view.canary, view.names).into_iter();
        let rendered = names.filter_map(|name| {
            let live = view.object(self.kind, &name);
            let object = if Some(&name) == now.as_ref() {
                made(users, live)?
            } else {
                retired(live?)
            };
            Some(Wanted {
                key: self.key(name),
                rank: Rank::Route,
                object,
            })
        });
        rendered.collect()
    }

    /// The live route with this spec, or a new one, and with the labels and annotations of the
    /// user's.
    pub(super) fn object(
        &self,
        view: &View<'_>,
        users: Option<&Value>,
        live: Option<&Value>,
        spec: Value,
    ) -> Option<Value> {
        let name = self.current(view.canary, view.names)?;
        let mut object = match live {
            Some(live) => live.clone(),
            None => apex::new_object(view, self.kind, &name, &json!({})),
        };
        object["spec"] = spec;
        // What cannot be read now is no longer there only if it was taken away.
        if let Some(users) = users {
            let follow =
                |mut entries: Map<String, Value>, wanted: Map<String, Value>, list: &str| {
                    let before = noted(view.canary).filter_map(|field| field.strip_prefix(list));
                    for key in before.filter(|key| !wanted.contains_key(*key)) {
                        entries.remove(key);
                    }
                    entries.extend(wanted);
                    entries
                };
            let annotations = metadata::annotations(&object);
            let annotations = follow(annotations, self.annotations_of(users), ANNOTATIONS);
            metadata::set_annotations(&mut object, annotations);
            let labels = metadata::labels(&object);
            let labels = follow(labels, metadata::copied(&metadata::labels(users)), LABELS);
            metadata::set_labels(&mut object, labels);
        }
        Some(object)
    }

    /// Whose routes the canary's stand beside, and what they have of those.
    pub(super) fn fields(&self, view: &View<'_>) -> Vec<String> {
        let mut fields = Vec::new();
        if let Some(name) = self.users(view.canary) {
            fields.push(format!("{}{name}", self.of_user()));
            let users = view.object(self.kind, name);
            let annotations = users.map(|users| self.annotations_of(users));
            let labels = users.map(|users| metadata::copied(&metadata::labels(users)));
            for (list, entries) in [(ANNOTATIONS, annotations), (LABELS, labels)] {
                let keys = entries.iter().flatten();
                fields.extend(keys.map(|(key, _)| format!("{list}{key}")));
            }
        }
        let before = noted(view.canary).filter(|field| self.is_shown(view, field));
        fields.extend(before.map(str::to_owned));
        fields.sort();
        fields.dedup();
        fields
    }

    fn named_now<'a>(&self, canary: &'a Canary) -> Option<&'a str> {
        let reference = (self.reference)(canary)?;
        Some(&*reference.name).filter(|name| !name.is_empty())
    }

    fn named_before<'a>(&self, canary: &'a Canary) -> Vec<&'a str> {
        let begins = self.of_user();
        noted(canary)
            .filter_map(|field| field.strip_prefix(&*begins))
            .collect()
    }

    /// Begins the note of a user's route.
    fn of_user(&self) -> String {
        format!("/{}=", self.field)
    }

    fn annotations_of(&self, users: &Value) -> Map<String, Value> {
        let mut annotations = metadata::copied(&metadata::annotations(users));
        annotations.retain(|key, _| !self.own.contains(&&**key));
        annotations
    }

    fn is_shown(&self, view: &View<'_>, field: &str) -> bool {
        if let Some(users) = field.strip_prefix(&*self.of_user()) {
            let name = (self.name)(view.names, users);
            return view.object(self.kind, &name).is_some();
        }
        let (list, key) = match (field.strip_prefix(ANNOTATIONS), field.strip_prefix(LABELS)) {
            (Some(key), _) => ("annotations", key),
            (None, Some(key)) => ("labels", key),
            (None, None) => return false,
        };
        let mut live = self.live(view).into_iter();
        live.any(|live| live["metadata"][list].get(key).is_some())
    }
}

/// What `status.named.route` has.
fn noted(canary: &Canary) -> impl Iterator<Item = &str> {
    let named = canary.status.as_ref().and_then(|it| it.named.as_ref());
    named
        .into_iter()
        .flat_map(|it| &it.route)
        .map(String::as_str)
}

/// Percent of what the two sides get that goes to the canary; `None` where neither gets anything.
/// Rounded, but a side that has some of the traffic is never said to have none.
pub(super) fn percent(primary: u64, canary: u64) -> Option<u8> {
    let most = u64::from(u32::MAX);
    let (primary, canary) = (primary.min(most), canary.min(most));
    let all = primary + canary;
    match (primary, canary) {
        (0, 0) => None,
        (_, 0) => Some(0),
        (0, _) => Some(100),
        _ => u8::try_from(((canary * 100 + all / 2) / all).clamp(1, 99)).ok(),
    }
}
