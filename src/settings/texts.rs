//! From the text of a variable to its type; what is wrong is kept, so that all of it is reported at
//! once.

use std::path::PathBuf;

use crate::notifiers::Link;
use crate::objects::names_grammar;

#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    /// Whether a setting says true.
    pub(super) fn is_true(&mut self, name: &str, text: Option<String>) -> bool {
        self.checked(name, text, boolean).unwrap_or(false)
    }

    /// The setting as its type, if it is given; what is wrong with it is kept for later.
    pub(super) fn checked<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match check(&text?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push(format!("{name}: {why}"));
                None
            }
        }
    }

    /// What a file holds, without the white space around it.
    pub(super) fn file(&mut self, name: &str, path: Option<PathBuf>) -> Option<String> {
        let path = path?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => {
                self.0
                    .push(format!("{name}: reading {}: {error}", path.display()));
                None
            }
        }
    }
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

pub(super) fn address(text: &str) -> Result<String, String> {
    // Before an @ may be a password.
    let shown = match text.rsplit_once('@') {
        Some((_, rest)) => format!("\"***@{rest}\""),
        None => format!("\"{text}\""),
    };
    let uri: http::Uri = text.parse().map_err(|_| format!("{shown} is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(format!(
            "{shown} is not a URL that starts with http:// or https://"
        )),
    }
}

/// An address that is a secret: whoever knows it can write to the channel. No error shows it.
pub(super) fn secret_address(text: &str) -> Result<String, String> {
    address(text).map_err(|_| "is not a URL that starts with http:// or https://".to_owned())
}

/// `Title=https://...` and so on, with commas between.
pub(super) fn links(text: &str) -> Result<Vec<Link>, String> {
    let link = |text: String| match text.split_once('=') {
        Some((title, address))
            if address.starts_with("https://") || address.starts_with("http://") =>
        {
            Ok(Link {
                title: title.trim().to_owned(),
                address: address.trim().to_owned(),
            })
        }
        _ => Err(format!(
            "\"{text}\" is not a title, an equals sign and a URL"
        )),
    };
    list(text).into_iter().map(link).collect()
}

/// Host names, perhaps with `*.` before them, or `*`.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let checked = |host: String| {
        let name = host
            .strip_prefix("*.")
            .unwrap_or(&host)
            .to_ascii_lowercase();
        match names_grammar::subdomain(&name) {
            Err(_) if host != "*" => Err(format!("\"{host}\" is neither a host name nor *")),
            _ => Ok(host),
        }
    };
    list(text).into_iter().map(checked).collect()
}

/// Gateways as `namespace/name`, or `*`.
pub(super) fn gateways(text: &str) -> Result<Vec<String>, String> {
    let checked = |gateway: String| {
        let is_whole = gateway.split_once('/').is_some_and(|(namespace, name)| {
            names_grammar::label(namespace).is_ok() && names_grammar::subdomain(name).is_ok()
        });
        if is_whole || gateway == "*" {
            Ok(gateway)
        } else {
            Err(format!("\"{gateway}\" is neither NAMESPACE/NAME nor *"))
        }
    };
    list(text).into_iter().map(checked).collect()
}

/// A name that can stand in a path, a label and a file's name.
pub(super) fn cluster(text: &str) -> Result<String, String> {
    let fits = text.len() <= 253
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" is not a name of letters, digits, hyphens, underscores and dots"
        ))
    }
}

/// A DNS label, which is what a namespace's name is.
pub(super) fn label(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not a namespace's name"))
    }
}
