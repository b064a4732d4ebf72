//! AWS Signature Version 4: how a request to an AWS service shows who sends it.

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whom a signature is for, and when: it holds for one service in one region on one day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

impl Scope<'_> {
    /// As the header `x-amz-date` has the time.
    pub(super) fn date_time(&self) -> String {
        self.now.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    fn date(&self) -> String {
        self.now.strftime("%Y%m%d").to_string()
    }
}

/// The value of `Authorization` for a POST to `/` without a query string. These headers are signed:
/// names in lower case, sorted, `host` and `x-amz-date` among them.
pub(super) fn authorization(
    (id, secret): (&str, &str),
    scope: Scope<'_>,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = "POST\n/\n\n".to_owned();
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let _ = write!(canonical, "\n{names}\n{}", sha256(body));
    let (date, region, service) = (scope.date(), scope.region, scope.service);
    let credential = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{credential}\n{}",
        scope.date_time(),
        sha256(canonical.as_bytes())
    );
    let first = Key::new(HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    let key = [&*date, region, service, "aws4_request"]
        .iter()
        .fold(first, |key, part| derived(&sign(&key, part.as_bytes())));
    let signature = hexadecimal(sign(&key, to_sign.as_bytes()).as_ref());
    format!(
        "{ALGORITHM} Credential={id}/{credential}, SignedHeaders={names}, Signature={signature}"
    )
}

fn derived(tag: &Tag) -> Key {
    Key::new(HMAC_SHA256, tag.as_ref())
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Scope, authorization};

    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    /// The cases of AWS' published test suite for signing (aws-c-auth, aws-signing-test-suite/v4) that
    /// are a POST to `/`: post-vanilla, post-header-key-sort, post-sts-header-before,
    /// post-x-www-form-urlencoded.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAe\
                     MicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZam\
                     pKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD\
                     0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let form = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            HOST,
            (
                "x-amz-content-sha256",
                "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
            ),
            DATE,
        ];
        let cases: [(&[_], &str, &str); 4] = [
            (
                &[HOST, DATE],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                &[HOST, ("my-header1", "value1"), DATE],
                "",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                &[HOST, DATE, ("x-amz-security-token", token)],
                "",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                &form,
                "Param1=value1",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
        ];
        let scope = Scope {
            region: "us-east-1",
            service: "service",
            now: "2015-08-30T12:36:00Z".parse().unwrap(),
        };
        let keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        for (headers, body, signature) in cases {
            let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={}, Signature={signature}",
                names.join(";")
            );
            assert_eq!(
                authorization(keys, scope, headers, body.as_bytes()),
                expected
            );
        }
    }
}
