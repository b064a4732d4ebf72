//! Messages that their channel does not take: when each is sent again.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::record::Refusal;

/// A message that was refused is sent again after this time, twice as long after each refusal, and
/// at the most so: somebody may mend the channel, and until then it is nobody's business to be
/// asked in each pass.
const REFUSED_FIRST: SignedDuration = SignedDuration::from_mins(2);
const REFUSED_MAX: SignedDuration = SignedDuration::from_hours(1);

/// One more refusal after those before, and when the message is sent again.
pub(in crate::pass::deliver) fn another(before: Option<&Refusal>, now: Timestamp) -> Refusal {
    let earlier = before.map_or(0, |refusal| refusal.times);
    let factor = 1_i32.checked_shl(earlier.min(16)).unwrap_or(i32::MAX);
    let wait = REFUSED_FIRST.saturating_mul(factor).min(REFUSED_MAX);
    Refusal {
        times: earlier.saturating_add(1),
        until: Time(now.saturating_add(wait).unwrap_or(Timestamp::MAX)),
    }
}

/// A refusal in words.
pub(in crate::pass::deliver) fn described(refusal: &Refusal) -> String {
    let times = match refusal.times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let until = refusal.until.0.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("refused {times}, sent again after {until}")
}
