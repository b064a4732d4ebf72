//! One Canary in a history: the names that follow from it, and what was claimed for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::route::{RouteKind, Sides};

/// What an object is to a Canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Canary,
    Target,
    Primary,
    /// The Service that clients use, and the two behind it.
    Apex,
    Service,
    Route,
    Rule,
    /// The primary's autoscaler, and the target's.
    Scaler,
    UsersScaler,
    /// A copy of a tracked config.
    Copy,
    Event,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(super) namespace: String,
    pub(super) canary: String,
    pub(super) uid: String,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) primary: String,
    pub(super) apex: String,
    pub(super) sides: Sides,
    /// The primary's autoscaler, where there is one, and the target's.
    scaler: String,
    users_scaler: String,
    /// What divides the traffic, if the provider has a route.
    pub(super) route_kind: RouteKind,
    route: String,
    pub(super) has_route: bool,
}

impl Names {
    fn of(canary: &Value) -> Self {
        let text = |pointer: &str| {
            canary
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        // The objects that the traffic goes through, where the Canary names others by now.
        let laid_out = |field: &str, named: String| {
            let current = text(&format!("/status/layout/{field}"));
            if current.is_empty() { named } else { current }
        };
        let target = laid_out("target", text("/spec/targetRef/name"));
        let apex = match laid_out("service", text("/spec/service/name")) {
            name if name.is_empty() => target.clone(),
            name => name,
        };
        let provider = laid_out("provider", text("/spec/provider"));
        let route_kind = RouteKind::of(&provider);
        Self {
            route: route_kind.name(&canary["spec"], &apex),
            route_kind,
            has_route: provider != "kubernetes",
            namespace: text("/metadata/namespace"),
            canary: text("/metadata/name"),
            uid: text("/metadata/uid"),
            kind: text("/spec/targetRef/kind"),
            primary: format!("{target}-primary"),
            scaler: format!("{}-primary", text("/spec/autoscalerRef/name")),
            users_scaler: text("/spec/autoscalerRef/name"),
            sides: Sides {
                primary: format!("{apex}-primary"),
                canary: format!("{apex}-canary"),
            },
            target,
            apex,
        }
    }

    pub(super) fn key(&self, group: &str, kind: &str, name: &str) -> Key {
        Key::new(group, kind, &self.namespace, name)
    }

    pub(super) fn route(&self) -> Key {
        self.key(self.route_kind.group, self.route_kind.kind, &self.route)
    }

    pub(super) fn target(&self) -> Key {
        self.key("apps", &self.kind, &self.target)
    }

    pub(super) fn primary(&self) -> Key {
        self.key("apps", &self.kind, &self.primary)
    }

    pub(super) fn role(&self, key: &Key, object: Option<&Value>) -> Option<Role> {
        if *key.namespace != *self.namespace {
            return None;
        }
        let name = &*key.name;
        match (&*key.group, &*key.kind) {
            ("flagger.app", "Canary") if name == self.canary => Some(Role::Canary),
            ("apps", kind) if kind == self.kind && name == self.target => Some(Role::Target),
            ("apps", kind) if kind == self.kind && name == self.primary => Some(Role::Primary),
            ("", "Service") if name == self.apex => Some(Role::Apex),
            ("", "Service") if self.is_side(name) => Some(Role::Service),
            (group, kind)
                if (group, kind, name)
                    == (self.route_kind.group, self.route_kind.kind, &*self.route) =>
            {
                Some(Role::Route)
            }
            ("networking.istio.io", "DestinationRule") if self.is_side(name) => Some(Role::Rule),
            ("autoscaling" | "keda.sh", _) if name == self.scaler => Some(Role::Scaler),
            ("keda.sh", _) if name == self.users_scaler => Some(Role::UsersScaler),
            ("", "ConfigMap" | "Secret") => {
                let is_copy = name.ends_with("-primary") || name.ends_with("-primary-previous");
                (is_copy && self.may_own(object)).then_some(Role::Copy)
            }
            ("", "Event") => {
                let involved = &object?["involvedObject"];
                let ours = involved["kind"] == "Canary" && involved["name"] == *self.canary;
                ours.then_some(Role::Event)
            }
            _ => None,
        }
    }

    /// Whether no other Canary owns it: the name of a copy does not tell whose config it is of.
    fn may_own(&self, object: Option<&Value>) -> bool {
        let owners = object.and_then(|object| object["metadata"]["ownerReferences"].as_array());
        let mut canaries = owners
            .into_iter()
            .flatten()
            .filter(|owner| owner["kind"] == "Canary")
            .peekable();
        canaries.peek().is_none() || canaries.any(|owner| owner["uid"] == *self.uid)
    }

    fn is_side(&self, name: &str) -> bool {
        name == self.sides.primary || name == self.sides.canary
    }
}

/// One step as status claimed it, and what the cluster showed at that moment.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(super) number: i64,
    pub(super) at: Timestamp,
    pub(super) canary: Arc<Value>,
    /// The objects that the step will write, with the resourceVersions that its pass saw.
    pub(super) objects: Vec<(Key, String)>,
    pub(super) live_weight: u8,
    pub(super) canary_available: i64,
    pub(super) primary_available: i64,
    /// Whether the primary could carry the traffic all the time since the claim's pass began: it
    /// cannot have seen anything else.
    pub(super) primary_carried: bool,
}

impl Claim {
    /// Whether the canary gets all traffic because the primary has no pods to serve any.
    pub(super) fn takes_over(&self) -> bool {
        self.weight() == 100 && self.primary_available < 1 && self.canary_available > 0
    }

    /// Whether this claim is a step of the release after that one, and not only a repair.
    pub(super) fn is_step_after(&self, previous: &Self) -> bool {
        let counts = ["iterations", "failedChecks", "heldChecks"];
        self.phase() != previous.phase()
            || self.weight() != previous.weight()
            || self.applied() != previous.applied()
            || counts
                .iter()
                .any(|count| self.number_of(count) != previous.number_of(count))
    }

    pub(super) fn status(&self) -> &Value {
        &self.canary["status"]
    }

    pub(super) fn phase(&self) -> &str {
        self.status()["phase"].as_str().unwrap_or_default()
    }

    pub(super) fn number_of(&self, field: &str) -> i64 {
        self.status()[field].as_i64().unwrap_or(0)
    }

    pub(super) fn weight(&self) -> u8 {
        u8::try_from(self.number_of("canaryWeight").clamp(0, 100)).unwrap_or(0)
    }

    /// What is released: the template and the configs that it uses.
    pub(super) fn applied(&self) -> (&Value, &Value) {
        (
            &self.status()["lastAppliedSpec"],
            &self.status()["trackedConfigs"],
        )
    }

    pub(super) fn promoted(&self) -> (&Value, &Value) {
        (
            &self.status()["lastPromotedSpec"],
            &self.status()["promotedConfigs"],
        )
    }

    /// Whether a promotion is under way or has failed, and the primary may get its template back.
    pub(super) fn may_heal(&self) -> bool {
        self.status()["previousSpec"].is_string()
    }

    pub(super) fn has_started(&self) -> bool {
        self.weight() > 0 || self.number_of("iterations") > 0
    }

    pub(super) fn recorded(&self, key: &Key) -> Option<&str> {
        let found = self.objects.iter().find(|(named, _)| named == key);
        found.map(|(_, version)| version.as_str())
    }

    /// The condition that says how the last release went.
    pub(super) fn condition_reason(&self) -> &str {
        let conditions = self.status()["conditions"].as_array();
        let promoted = conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "Promoted");
        promoted
            .and_then(|condition| condition["reason"].as_str())
            .unwrap_or_default()
    }
}

/// A Canary, and everything that was claimed for it since its status was last lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Release {
    pub(super) canary: Arc<Value>,
    pub(super) names: Arc<Names>,
    pub(super) claims: Vec<Arc<Claim>>,
    /// The latest step that wrote an object.
    pub(super) written: BTreeMap<Key, i64>,
    /// When each step last changed more than our mark on anything, whoever wrote that since.
    pub(super) effects: BTreeMap<i64, Timestamp>,
    /// The weight that the route has shown, by its resourceVersion.
    pub(super) shown: BTreeMap<String, u8>,
    /// Set while the weight on the route is somebody else's.
    pub(super) foreign: bool,
    /// How many claims there had been when somebody else last gave the canary more.
    pub(super) raised: Option<usize>,
    /// When the target was last seen to be rolling out, until the write that ended it.
    pub(super) rolled_out: Option<Timestamp>,
    /// Since when the primary can carry the traffic, where it could not always.
    pub(super) primary_since: Option<Timestamp>,
    /// When we last moved traffic: by the route, or by the Service that clients use.
    pub(super) moved: Option<Timestamp>,
    /// Which steps a pass claimed.
    pub(super) claimed_by: BTreeMap<u32, Vec<i64>>,
}

impl Release {
    pub(super) fn of(canary: Arc<Value>) -> Self {
        let names = Arc::new(Names::of(&canary));
        Self {
            canary,
            names,
            ..Self::default()
        }
    }

    pub(super) fn spec(&self) -> &Value {
        &self.canary["spec"]
    }

    /// The last claim that was a step: repairs lie between, and put nothing off.
    pub(super) fn last_step(&self) -> Option<&Claim> {
        let pairs = self.claims.windows(2).rev();
        let mut steps = pairs.filter(|pair| pair[1].is_step_after(&pair[0]));
        let last = steps.next().map(|pair| &*pair[1]);
        last.or_else(|| self.claims.first().map(|claim| &**claim))
    }

    pub(super) fn analysis(&self) -> &Value {
        match &self.spec()["analysis"] {
            Value::Null => &self.spec()["canaryAnalysis"],
            analysis => analysis,
        }
    }

    pub(super) fn skips_analysis(&self) -> bool {
        self.spec()["skipAnalysis"] == true || self.analysis().is_null()
    }

    pub(super) fn metrics(&self) -> usize {
        self.analysis()["metrics"].as_array().map_or(0, Vec::len)
    }

    pub(super) fn last(&self) -> Option<&Claim> {
        self.claims.last().map(|claim| &**claim)
    }

    pub(super) fn claim(&self, number: i64) -> Option<&Claim> {
        self.claims
            .iter()
            .rev()
            .find(|claim| claim.number == number)
            .map(|claim| &**claim)
    }

    /// Takes over what somebody else has made of the status: the last claim says that now.
    pub(super) fn rewritten(&mut self, canary: &Arc<Value>) {
        if let Some(last) = self.claims.pop() {
            let claim = Claim {
                canary: canary.clone(),
                objects: last.objects.clone(),
                ..*last
            };
            self.claims.push(Arc::new(claim));
        }
    }

    /// The one before.
    pub(super) fn before(&self, claim: &Claim) -> Option<&Claim> {
        let before = self
            .claims
            .iter()
            .rev()
            .skip_while(|other| other.number >= claim.number);
        before.map(|claim| &**claim).next()
    }

    /// How much must lie between two steps that raise or count; nothing where the manifest of the
    /// first Flagger names no interval.
    pub(super) fn due(&self) -> SignedDuration {
        let given = self.analysis()["interval"].as_str();
        let text = match (given, self.spec()["canaryAnalysis"].is_object()) {
            (Some(text), _) => text,
            (None, true) => return SignedDuration::ZERO,
            (None, false) => "60s",
        };
        let interval = davy::objects::duration::parse(text).unwrap_or_default();
        let interval = SignedDuration::try_from(interval).unwrap_or_default();
        let interval = interval.max(SignedDuration::from_secs(10));
        interval - (interval / 10).min(SignedDuration::from_secs(5))
    }

    /// How long connections may need to end.
    pub(super) fn drain(&self) -> SignedDuration {
        let given = self.analysis()["interval"].as_str().unwrap_or_default();
        let interval = davy::objects::duration::parse(given).unwrap_or_default();
        let interval = SignedDuration::try_from(interval).unwrap_or_default();
        interval.max(SignedDuration::from_secs(10))
    }

    /// The weights of the strategy in turn; none where it does not go by weights.
    pub(super) fn schedule(&self) -> Vec<u8> {
        let analysis = self.analysis();
        let number = |field: &str| analysis[field].as_u64().unwrap_or(0);
        let max = if number("maxWeight") == 0 {
            100
        } else {
            number("maxWeight")
        };
        let percent = |weight: u64| u8::try_from(weight.min(100)).unwrap_or(100);
        if number("iterations") > 0 || !self.names.has_route {
            return vec![100];
        }
        if number("stepWeight") > 0 {
            let count = max.div_ceil(number("stepWeight"));
            return (1..=count)
                .map(|index| percent(index * number("stepWeight")))
                .collect();
        }
        let steps = analysis["stepWeights"].as_array();
        steps
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .map(percent)
            .collect()
    }
}
