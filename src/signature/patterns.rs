//! Lists of patterns as OpenSSH writes them, for people and for hosts (`ssh_config(5)`, PATTERNS).

/// Whether a name is in a list of patterns: `*` for any letters, `?` for one, `!` for not at all.
pub fn is_among(name: &str, patterns: &str) -> bool {
    let mut is_among = false;
    for pattern in patterns.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(name.as_bytes(), pattern.as_bytes()) => return false,
            Some(_) => {}
            None => is_among |= matches(name.as_bytes(), pattern.as_bytes()),
        }
    }
    is_among
}

fn matches(name: &[u8], pattern: &[u8]) -> bool {
    // Where to go on from when a star has to swallow one letter more.
    let (mut at, mut within, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(within) {
            Some(b'*') => {
                star = Some((at, within));
                within += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[at] => {
                at += 1;
                within += 1;
            }
            _ => match star {
                Some((swallowed, place)) => {
                    star = Some((swallowed + 1, place));
                    at = swallowed + 1;
                    within = place + 1;
                }
                None => return false,
            },
        }
    }
    pattern[within.min(pattern.len())..]
        .iter()
        .all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::is_among;

    #[test]
    fn patterns_are_those_of_openssh() {
        for (name, patterns, expected) in [
            ("davy@example.com", "davy@example.com", true),
            ("davy@example.com", "*@example.com", true),
            ("davy@example.com", "*@example.com,!davy@*", false),
            ("davy@example.com", "!davy@*,*@example.com", false),
            ("davy@example.com", "d?vy@e*e.c*", true),
            ("davy@example.com", "*", true),
            ("davy@example.com", "*x*", true),
            ("davy@example.com", "*y", false),
            ("davy@example.com", "davy", false),
            ("davy", "davy?", false),
            ("", "*", true),
        ] {
            assert_eq!(is_among(name, patterns), expected, "{name} in {patterns}");
        }
    }
}
