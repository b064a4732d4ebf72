//! The address of a repository, in the forms that git knows.

use std::fmt::{Display, Formatter};
use std::path::PathBuf;

/// Where a repository is and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Https {
        /// `host` or `host:port`.
        authority: String,
        /// With a slash before it and none behind; empty where the host itself is the repository.
        path: String,
    },
    Ssh {
        user: String,
        host: String,
        port: u16,
        path: String,
    },
    File(PathBuf),
}

impl Address {
    /// Reads `https://`, `ssh://` and `file://` URLs and `user@host:path`.
    ///
    /// On failure: says why, without what may be a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text
            .chars()
            .any(|letter| letter.is_control() || letter == ' ')
        {
            return Err("has spaces or control characters".to_owned());
        }
        match text.split_once("://") {
            Some(("https", rest)) => https(rest),
            Some(("ssh", rest)) => ssh(rest),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("file", _)) => Err("file:// needs an absolute path: file:///path".to_owned()),
            Some(("http" | "git", _)) => Err("is not encrypted; use https:// or ssh://".to_owned()),
            Some(_) => Err("is neither https://, ssh:// nor file://".to_owned()),
            None => match text.split_once(':') {
                Some((before, path)) if !before.contains('/') && !path.is_empty() => {
                    let (user, host) = before.rsplit_once('@').unwrap_or(("git", before));
                    ssh_to(user, host, 22, path)
                }
                _ => Err("is neither a URL nor user@host:path".to_owned()),
            },
        }
    }
}

/// As it may be shown: a user of ssh is a name, and there are no passwords in it.
impl Display for Address {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Https { authority, path } => write!(formatter, "https://{authority}{path}"),
            Self::Ssh {
                user,
                host,
                port,
                path,
            } => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                let [open, close] = if host.contains(':') {
                    ["[", "]"]
                } else {
                    ["", ""]
                };
                write!(
                    formatter,
                    "ssh://{user}@{open}{host}{close}:{port}{slash}{path}"
                )
            }
            Self::File(path) => write!(formatter, "file://{}", path.display()),
        }
    }
}

fn https(rest: &str) -> Result<Address, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(
            "has a user or password in it; put them into DAVY_GIT_USERNAME_FILE and \
             DAVY_GIT_PASSWORD_FILE"
                .to_owned(),
        );
    }
    let path = path.trim_end_matches('/');
    if path.contains(['?', '#']) {
        return Err("has a query or fragment".to_owned());
    }
    let uri = format!("https://{authority}/{path}");
    if authority.is_empty() || uri.parse::<http::Uri>().is_err() {
        return Err("is not https://host/path".to_owned());
    }
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(Address::Https {
        authority: authority.to_owned(),
        path: format!("{slash}{path}"),
    })
}

fn ssh(rest: &str) -> Result<Address, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = authority.rsplit_once('@').unwrap_or(("git", authority));
    if user.contains(':') {
        return Err("has a password in it; ssh needs DAVY_GIT_SSH_KEY_FILE".to_owned());
    }
    let (host, port) = match place.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.ends_with(']') => (
            host,
            port.parse()
                .map_err(|_| "has a port that is no number".to_owned())?,
        ),
        _ => (place, 22),
    };
    // `~` is for the server's shell to read.
    let path = if path.starts_with('~') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    if path == "/" {
        return Err("has no path".to_owned());
    }
    ssh_to(user, host.trim_matches(['[', ']']), port, &path)
}

fn ssh_to(user: &str, host: &str, port: u16, path: &str) -> Result<Address, String> {
    if user.is_empty() || host.is_empty() {
        return Err("has no user or no host".to_owned());
    }
    Ok(Address::Ssh {
        user: user.to_owned(),
        host: host.to_ascii_lowercase(),
        port,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_git_reads_them() {
        for (text, expected) in [
            (
                "https://git.example.com/a/b.git",
                "https://git.example.com/a/b.git",
            ),
            ("https://[::1]:8443/a/", "https://[::1]:8443/a"),
            ("https://git.example.com/", "https://git.example.com"),
            ("https://git.example.com", "https://git.example.com"),
            (
                "ssh://git@example.com/a.git",
                "ssh://git@example.com:22/a.git",
            ),
            (
                "ssh://example.com:2222/~u/a",
                "ssh://git@example.com:2222/~u/a",
            ),
            ("ssh://me@[::1]:22/a", "ssh://me@[::1]:22/a"),
            (
                "git@Example.com:a/b.git",
                "ssh://git@example.com:22/a/b.git",
            ),
            ("file:///srv/a.git", "file:///srv/a.git"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_says_why_and_tells_no_password() {
        for text in [
            "",
            "/srv/a.git",
            "http://example.com/a",
            "git://example.com/a",
            "ftp://example.com/a",
            "https://",
            "https:///a",
            "https://user:hunter22@example.com/a",
            "https://hunter22@example.com/a",
            "https://example.com/a?token=hunter22",
            "ssh://git:hunter22@example.com/a",
            "ssh://example.com:port/a",
            "ssh://example.com",
            "file://srv/a.git",
            "https://example.com/a\nb",
        ] {
            let why = Address::parse(text).unwrap_err();
            assert!(
                !why.contains("hunter22") && !why.is_empty(),
                "{text}: {why}"
            );
        }
    }
}
