//! Credentials on their way to a server: where HTTP wants them, and nowhere else. A server may give
//! back what it was sent, and its words are shown to people.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// What replaces a secret.
const MASK: &[u8] = b"***";

/// To strike out a letter or two would make nonsense of every answer and hide nothing.
const SECRET_MIN: usize = 4;

/// The secrets of a request.
pub(super) struct Secrets(Vec<Zeroizing<Vec<u8>>>);

/// Takes user and password from the address, where logs would show them, to the header that is
/// theirs (RFC 7617). Whatever that header holds is a secret of the request, and so is every other
/// header that is marked as one.
pub(super) fn of(request: &mut reqwest::Request) -> Secrets {
    let mut secrets = Vec::new();
    let url = request.url_mut();
    let decoded = |text: &str| Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    let (user, password) = (
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    );
    if !user.is_empty() || !password.is_empty() {
        // Only an address without a host has no room for them, and none is sent to.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let pair = Zeroizing::new([&user[..], b":", &password[..]].concat());
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(&pair[..])));
        if let Ok(header) = HeaderValue::from_str(&basic) {
            request.headers_mut().entry(AUTHORIZATION).or_insert(header);
        }
        secrets.push(password);
    }
    if let Some(header) = request.headers_mut().get_mut(AUTHORIZATION) {
        header.set_sensitive(true);
        let text = header.as_bytes();
        let scheme = text.iter().position(|byte| *byte == b' ');
        secrets.push(Zeroizing::new(
            text[scheme.map_or(0, |end| end + 1)..].to_vec(),
        ));
    }
    // Keys that have a header of their own.
    for (name, value) in request.headers() {
        if name != AUTHORIZATION && value.is_sensitive() {
            secrets.push(Zeroizing::new(value.as_bytes().to_vec()));
        }
    }
    secrets.retain(|secret| secret.len() >= SECRET_MIN);
    Secrets(secrets)
}

impl Secrets {
    /// Whether the request holds none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An answer without the secrets that its request held.
    pub(super) fn without(&self, body: Bytes) -> Bytes {
        self.0.iter().fold(body, |body, secret| {
            let mut left = &body[..];
            let mut clean = Vec::new();
            while let Some(at) = left
                .windows(secret.len())
                .position(|part| part == &secret[..])
            {
                clean.extend_from_slice(&left[..at]);
                clean.extend_from_slice(MASK);
                left = &left[at + secret.len()..];
            }
            if clean.is_empty() && left.len() == body.len() {
                return body;
            }
            clean.extend_from_slice(left);
            Bytes::from(clean)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> reqwest::Request {
        reqwest::Request::new(reqwest::Method::GET, url.parse().expect("an address"))
    }

    #[test]
    fn an_address_gives_its_user_and_password_to_the_header() {
        let mut with = request("http://davy:p%40ss+word@prometheus:9090/api?query=1");
        let secrets = of(&mut with);
        assert_eq!(with.url().as_str(), "http://prometheus:9090/api?query=1");
        let header = &with.headers()[AUTHORIZATION];
        assert_eq!(
            header,
            &format!("Basic {}", STANDARD.encode("davy:p@ss+word"))
        );
        assert!(header.is_sensitive());
        let said = format!("no {} and no p@ss+word", STANDARD.encode("davy:p@ss+word"));
        assert_eq!(secrets.without(said.into()), "no *** and no ***");
        assert_eq!(secrets.without(Bytes::from("p@ss")), "p@ss");
        let mut without = request("http://prometheus:9090/");
        assert!(of(&mut without).0.is_empty());
        assert!(without.headers().is_empty());
    }

    #[test]
    fn a_key_in_a_header_of_its_own_is_not_given_back() {
        let mut request = request("http://metrics/");
        let mut key = HeaderValue::from_static("querykey");
        key.set_sensitive(true);
        request.headers_mut().insert("X-Query-Key", key);
        let open = HeaderValue::from_static("team-a");
        request.headers_mut().insert("X-Scope-OrgID", open);
        let secrets = of(&mut request);
        let said = secrets.without(Bytes::from("querykey of team-a"));
        assert_eq!(said, "*** of team-a");
    }

    #[test]
    fn a_token_is_kept_and_not_given_back() {
        let mut request = request("http://chat/");
        let bearer = HeaderValue::from_static("Bearer xoxb-token");
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let secrets = of(&mut request);
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer xoxb-token");
        assert_eq!(
            secrets.without(Bytes::from("xoxb-token xoxb-token")),
            "*** ***"
        );
    }
}
