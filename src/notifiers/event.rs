//! The webhook of Events, in Flagger's form: what a step told goes in, the request for one of its
//! Events comes out. It is no channel of the table: nobody reads it, and nothing is worded anew.

use bytes::Bytes;
use serde_json::json;

use crate::api::record::Told;
use crate::notifiers::{post, uri};
use crate::objects::Problem;

/// The request that tells the Event at `index` of the step. An index past the last Event is a
/// problem.
pub fn request(address: &str, told: &Told, index: usize) -> Result<http::Request<Bytes>, Problem> {
    let Told {
        namespace,
        name,
        uid,
        step,
        time,
        phase,
        checksum,
        events,
    } = told;
    let event = events.get(index).ok_or_else(|| {
        let why = format!("{index} of {} that step {step} told", events.len());
        Problem::field("event", why)
    })?;
    let body = json!({
        "name": name,
        "namespace": namespace,
        "phase": phase,
        "checksum": checksum,
        "metadata": {
            "eventMessage": event.message,
            "eventType": event.r#type,
            "timestamp": time.0.as_millisecond().to_string(),
        },
    });
    let key = format!("{uid}-{step}-{index}");
    post(uri(address)?, &key, "application/json", &body)
}
