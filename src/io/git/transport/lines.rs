//! What a server and libgit2 say to each other before the pack, line by line (pkt-line,
//! `gitprotocol-common(5)`). Lines that git reads and libgit2 1.9 does not are brought to the form
//! that it reads, and a fetch is narrowed by a filter, which libgit2 does not know. Packs pass as
//! they are.

use std::borrow::Cow;
use std::mem;

use bytes::{Buf, BytesMut};

/// The longest pkt-line, with its length.
const LINE_MAX: usize = 65_520;
/// Digits of a pkt-line's length, which counts them too.
const LENGTH: usize = 4;
/// The line that ends a list.
const FLUSH: &[u8] = b"0000";
/// Leaves every file out of the pack: only commits and trees come.
const NO_BLOBS: &[u8] = b"filter blob:none\n";

/// What a server says that it can do, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::io::git) struct Capabilities {
    /// It can send the newest commits only.
    pub(in crate::io::git) shallow: bool,
    /// It can leave files out.
    pub(in crate::io::git) filter: bool,
}

/// The hash that names a repository's objects, where it is not SHA-1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObjectFormat(pub(super) String);

/// The pkt-line that some bytes begin with.
enum Line {
    /// More bytes have to come.
    Unfinished,
    /// So many bytes, with its length; a flush and its like are their length only.
    Of(usize),
    /// None: what comes is a pack, or nonsense.
    Not,
}

fn first_line(bytes: &[u8]) -> Line {
    let Some(length) = bytes.get(..LENGTH) else {
        return Line::Unfinished;
    };
    if !length.iter().all(u8::is_ascii_hexdigit) {
        return Line::Not;
    }
    let length = length.iter().fold(0, |sum, digit| {
        sum * 16 + (*digit as char).to_digit(16).unwrap_or_default() as usize
    });
    let length = length.max(LENGTH);
    match length {
        _ if length > LINE_MAX => Line::Not,
        _ if length > bytes.len() => Line::Unfinished,
        _ => Line::Of(length),
    }
}

fn write_line(into: &mut BytesMut, text: &[u8]) {
    into.extend_from_slice(format!("{:04x}", text.len() + LENGTH).as_bytes());
    into.extend_from_slice(text);
}

/// What comes from a server, for libgit2 to read.
#[derive(Default)]
pub(super) struct Incoming {
    unfinished: BytesMut,
    ready: BytesMut,
    is_pack: bool,
    end: End,
    capabilities: Option<Capabilities>,
}

/// Where what is of interest ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// Where the server ends it.
    #[default]
    Server,
    AtFlush,
    Reached,
}

impl Incoming {
    /// Takes bytes as they came.
    ///
    /// On failure: the repository is of a kind that libgit2 cannot read.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), ObjectFormat> {
        self.unfinished.extend_from_slice(bytes);
        while !self.is_pack {
            if self.end == End::Reached {
                self.unfinished.clear();
                return Ok(());
            }
            match first_line(&self.unfinished) {
                Line::Unfinished => return Ok(()),
                Line::Not => self.is_pack = true,
                Line::Of(length) => {
                    let line = self.unfinished.split_to(length);
                    self.line(&line)?;
                }
            }
        }
        self.end();
        Ok(())
    }

    /// Leaves out what comes behind the next flush. Some servers answer a request for the depth
    /// alone with more than that, which libgit2 would take for the beginning of its next answer.
    pub(super) fn end_at_flush(&mut self) {
        if self.end == End::Server {
            self.end = End::AtFlush;
        }
    }

    /// Nothing comes after what came.
    pub(super) fn end(&mut self) {
        let rest = mem::take(&mut self.unfinished);
        self.ready.unsplit(rest);
    }

    /// Hands out what is ready; how many bytes.
    pub(super) fn give(&mut self, into: &mut [u8]) -> usize {
        let count = self.ready.len().min(into.len());
        self.ready.copy_to_slice(&mut into[..count]);
        count
    }

    /// What the server can do, once it has said so.
    pub(super) fn capabilities(&self) -> Option<Capabilities> {
        self.capabilities
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ObjectFormat> {
        let text = &line[LENGTH..];
        // A band of a pack begins with its number.
        self.is_pack = matches!(text, [1..=3, ..]);
        if line == FLUSH && self.end == End::AtFlush {
            self.end = End::Reached;
        }
        if self.is_pack || text.is_empty() {
            self.ready.extend_from_slice(line);
            return Ok(());
        }
        if let Some(listed) = listed_capabilities(text) {
            self.note(listed)?;
        }
        write_line(&mut self.ready, &as_libgit2_reads(text));
        Ok(())
    }

    fn note(&mut self, listed: &[u8]) -> Result<(), ObjectFormat> {
        let mut capabilities = self.capabilities.unwrap_or_default();
        for capability in listed.split(u8::is_ascii_whitespace) {
            match capability {
                b"shallow" => capabilities.shallow = true,
                b"filter" => capabilities.filter = true,
                _ => match capability.strip_prefix(b"object-format=") {
                    None | Some(b"sha1") => {}
                    Some(other) => {
                        return Err(ObjectFormat(String::from_utf8_lossy(other).into_owned()));
                    }
                },
            }
        }
        self.capabilities = Some(capabilities);
        Ok(())
    }
}

/// The capabilities that the first reference of an advertisement bears.
fn listed_capabilities(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|letter| *letter == 0)?;
    Some(&text[end + 1..])
}

/// A line in the one form of its possible ones that libgit2 reads: `shallow` without a line feed,
/// and a space behind an `object-format` that is the last capability.
fn as_libgit2_reads(text: &[u8]) -> Cow<'_, [u8]> {
    let bare = text.strip_suffix(b"\n").unwrap_or(text);
    if text.starts_with(b"shallow ") || text.starts_with(b"unshallow ") {
        return Cow::Borrowed(bare);
    }
    let last = listed_capabilities(bare).and_then(|listed| listed.rsplit(|at| *at == b' ').next());
    let is_last = last.is_some_and(|last| last.starts_with(b"object-format="));
    if is_last && bare.len() + LENGTH < LINE_MAX {
        Cow::Owned([bare, b" "].concat())
    } else {
        Cow::Borrowed(text)
    }
}

/// What libgit2 asks a server to send: without the space behind its capabilities, which is an empty
/// one to some servers, and with the wish to leave the files out.
#[derive(Default)]
pub(super) struct Wants {
    unfinished: BytesMut,
    at: At,
    /// It asks for the pack too, or tells what it has.
    asks_more: bool,
    is_odd: bool,
}

/// Where in a request one is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Begin,
    Wants,
    /// Depth, and what there is already.
    Rest,
}

impl Wants {
    /// The bytes that go in place of these; `narrow` is whether the files are left out.
    pub(super) fn instead(&mut self, bytes: &[u8], narrow: bool) -> BytesMut {
        self.unfinished.extend_from_slice(bytes);
        let mut instead = BytesMut::new();
        while !self.is_odd {
            match first_line(&self.unfinished) {
                Line::Unfinished => return instead,
                Line::Not => self.is_odd = true,
                Line::Of(length) => {
                    let line = self.unfinished.split_to(length);
                    self.line(&line, narrow, &mut instead);
                }
            }
        }
        instead.unsplit(mem::take(&mut self.unfinished));
        instead
    }

    /// Whether all that was asked is how deep the history is to be.
    pub(super) fn are_of_depth_alone(&self) -> bool {
        self.at == At::Rest && !self.asks_more
    }

    fn line(&mut self, line: &[u8], narrow: bool, into: &mut BytesMut) {
        let text = &line[LENGTH..];
        let is_want = text.starts_with(b"want ");
        if is_want && self.at == At::Begin {
            self.at = At::Wants;
            let filter: &[u8] = if narrow { b" filter" } else { b"" };
            write_line(into, &[text.trim_ascii_end(), filter, b"\n"].concat());
            return;
        }
        if self.at == At::Wants && !is_want {
            self.at = At::Rest;
            if narrow {
                // Some servers take it in no other place than between wants and depth.
                write_line(into, NO_BLOBS);
            }
        }
        self.asks_more |= text.starts_with(b"done") || text.starts_with(b"have ");
        into.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Capabilities, Incoming, ObjectFormat, Wants, write_line};

    const ID: &str = "1111111111111111111111111111111111111111";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        for line in lines {
            match *line {
                "" => bytes.extend_from_slice(b"0000"),
                line => write_line(&mut bytes, line.as_bytes()),
            }
        }
        bytes.to_vec()
    }

    /// What is read of bytes that come in pieces of a size.
    fn read(bytes: &[u8], size: usize) -> Result<(Vec<u8>, Option<Capabilities>), ObjectFormat> {
        let mut incoming = Incoming::default();
        let mut read = Vec::new();
        let mut piece = [0; 7];
        for bytes in bytes.chunks(size) {
            incoming.add(bytes)?;
            loop {
                match incoming.give(&mut piece) {
                    0 => break,
                    count => read.extend_from_slice(&piece[..count]),
                }
            }
        }
        incoming.end();
        while let count @ 1.. = incoming.give(&mut piece) {
            read.extend_from_slice(&piece[..count]);
        }
        Ok((read, incoming.capabilities()))
    }

    #[test]
    fn lines_come_in_the_form_that_libgit2_reads_however_they_are_cut() {
        let empty = format!("{} capabilities^{{}}\0", "0".repeat(40));
        let cases = [
            (format!("shallow {ID}\n"), format!("shallow {ID}")),
            (format!("shallow {ID}"), format!("shallow {ID}")),
            (format!("unshallow {ID}\n"), format!("unshallow {ID}")),
            (
                format!("{empty}shallow object-format=sha1\n"),
                format!("{empty}shallow object-format=sha1 "),
            ),
            (
                format!("{empty}object-format=sha1"),
                format!("{empty}object-format=sha1 "),
            ),
            (
                format!("{empty}object-format=sha1 shallow\n"),
                format!("{empty}object-format=sha1 shallow\n"),
            ),
            (
                format!("{ID} refs/heads/main\n"),
                format!("{ID} refs/heads/main\n"),
            ),
            ("NAK\n".to_owned(), "NAK\n".to_owned()),
        ];
        for (line, expected) in cases {
            for size in [1, 3, 4, 1_000] {
                let (read, _) = read(&packets(&[&line, "", "NAK\n"]), size).unwrap();
                assert_eq!(read, packets(&[&expected, "", "NAK\n"]), "{line:?}");
            }
        }
    }

    #[test]
    fn a_pack_passes_as_it_is() {
        let line = format!("shallow {ID}\n");
        for pack in [
            packets(&["NAK\n", "\u{1}PACK", &line]),
            [packets(&["NAK\n"]), b"PACK0000".to_vec(), packets(&[&line])].concat(),
            b"00".to_vec(),
            b"+123".to_vec(),
            b"ffff and more".to_vec(),
        ] {
            for size in [1, 5, 1_000] {
                assert_eq!(read(&pack, size).unwrap().0, pack);
            }
        }
    }

    #[test]
    fn what_comes_behind_the_depth_is_left_out_where_nothing_else_was_asked() {
        let shallow = format!("shallow {ID}");
        let answer = packets(&[&shallow, "", "NAK\n", "", "and more"]);
        for size in [1, 50, 1_000] {
            let mut incoming = Incoming::default();
            incoming.end_at_flush();
            for piece in answer.chunks(size) {
                incoming.add(piece).unwrap();
                incoming.end_at_flush();
            }
            incoming.end();
            let mut read = [0; 200];
            let count = incoming.give(&mut read);
            assert_eq!(read[..count], packets(&[&shallow, ""]));
        }
    }

    #[test]
    fn what_a_server_can_do_is_noted() {
        let said = |listed: &str| {
            let line = format!("{ID} refs/heads/main\0{listed}\n");
            read(&packets(&["# service=git-upload-pack\n", "", &line]), 9).map(|read| read.1)
        };
        let of = |shallow, filter| Ok(Some(Capabilities { shallow, filter }));
        assert_eq!(
            said("multi_ack shallow filter object-format=sha1"),
            of(true, true)
        );
        assert_eq!(said("no-filter shallowest"), of(false, false));
        let other = ObjectFormat("sha256".to_owned());
        assert_eq!(said("shallow object-format=sha256"), Err(other));
        assert_eq!(read(&packets(&["NAK\n"]), 9).unwrap().1, None);
    }

    #[test]
    fn a_fetch_is_narrowed_behind_its_wants() {
        let [want, more] = [format!("want {ID} ofs-delta \n"), format!("want {ID}\n")];
        let asked = packets(&[&want, &more, "deepen 1\n", "", "done\n", ""]);
        let [whole, narrow] = ["", " filter"].map(|more| format!("want {ID} ofs-delta{more}\n"));
        let filter = "filter blob:none\n";
        for (is_narrow, expected) in [
            (
                true,
                packets(&[&narrow, &more, filter, "deepen 1\n", "", "done\n", ""]),
            ),
            (
                false,
                packets(&[&whole, &more, "deepen 1\n", "", "done\n", ""]),
            ),
        ] {
            for size in [1, 10, 1_000] {
                let mut wants = Wants::default();
                let pieces = asked.chunks(size);
                let pieces = pieces.map(|piece| wants.instead(piece, is_narrow));
                assert_eq!(pieces.collect::<Vec<_>>().concat(), expected);
                assert!(!wants.are_of_depth_alone());
            }
        }
        let mut depth = Wants::default();
        depth.instead(&packets(&[&want, "deepen 1\n", ""]), true);
        assert!(depth.are_of_depth_alone());
        let nothing = packets(&["", "done\n"]);
        assert_eq!(Wants::default().instead(&nothing, true), nothing[..]);
    }
}
