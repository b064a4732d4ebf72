//! The real binary, run as a user runs it: with the arguments and the environment that a test gives
//! and nothing of the test's own. What it printed and how it ended come back.
use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A pass ends by itself after 50 s; a binary that is still there after this hangs.
const DEADLINE: Duration = Duration::from_mins(2);

/// getrusage(2) counts in KiB.
const WEIGH: &str = "\
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN)
print('peak memory', peak.ru_maxrss, 'KiB, CPU', peak.ru_utime + peak.ru_stime, 's', file=sys.stderr)
sys.exit(ended.returncode)";

/// A call of `davy` that has not begun.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_davy"));
        command.args(arguments).env_clear();
        Self(command)
    }

    /// The same by a binary of its own, weighed: the peak of its memory is its last line of errors.
    pub(crate) fn weighed(self, python: &Path, binary: &OsStr) -> Self {
        let mut command = Command::new(python);
        command
            .args(["-c", WEIGH])
            .arg(binary)
            .args(self.0.get_args());
        command.env_clear();
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Self(command)
    }

    /// With this variable in the environment.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    pub(crate) fn start(mut self) -> Running {
        self.0.stdin(Stdio::null());
        let mut process = self
            .0
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("davy starts");
        let (print, lines) = mpsc::channel();
        let output = whole(process.stdout.take().expect("it is piped"), Some(print));
        let errors = whole(process.stderr.take().expect("it is piped"), None);
        Running {
            process,
            output,
            errors,
            lines,
        }
    }
}

/// Reads to the end, beside the test: a full pipe would hold the process up. Each line is told too.
fn whole(pipe: impl Read + Send + 'static, lines: Option<Sender<String>>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        // What is not UTF-8 is missed by the assertion that looks for it.
        while pipe.read_line(&mut line).is_ok_and(|length| length > 0) {
            text.push_str(&line);
            if let Some(lines) = &lines {
                // Nobody has to listen.
                let _ = lines.send(std::mem::take(&mut line));
            }
            line.clear();
        }
        text
    })
}

/// A `davy` that has not ended.
pub(crate) struct Running {
    process: Child,
    output: JoinHandle<String>,
    errors: JoinHandle<String>,
    lines: Receiver<String>,
}

impl Running {
    /// Asks it to stop, as the kubelet does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it this signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &pid])
            .status();
        assert!(status.expect("sh starts").success(), "it can be signalled");
    }

    /// Waits for the next line of standard output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    /// Kills it after so long as `kill -9` does, unless it has ended by itself.
    pub(crate) fn kill_after(mut self, patience: Duration) -> Ended {
        let status = self.wait(patience);
        self.ended(status)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come.
    pub(crate) fn end(mut self) -> Ended {
        let status = self.wait(DEADLINE);
        let ended = self.ended(status);
        assert!(status.is_some(), "it has not ended by itself: {ended}");
        ended
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        loop {
            match self.process.try_wait().expect("it can be waited for") {
                Some(status) => return Some(status),
                None if Instant::now() >= end => return None,
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// What there is to say of it; without a status it is killed first.
    fn ended(mut self, status: Option<ExitStatus>) -> Ended {
        if status.is_none() {
            // Its pipes end with it, and so do their readers.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        Ended {
            code: status.and_then(|status| status.code()),
            output: self.output.join().expect("the reader ends"),
            errors: self.errors.join().expect("the reader ends"),
        }
    }
}

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// None when it was killed.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error: messages to people, and the log.
    pub(crate) errors: String,
}

impl Ended {
    /// Itself, if it ended with this code.
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The summary of the last pass, of a call with `-o json`.
    pub(crate) fn report(&self) -> Value {
        let last = self.output.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// What the last pass says of one canary.
    pub(crate) fn canary(&self, name: &str) -> Value {
        let report = self.report();
        let canaries = report["canaries"].as_array().into_iter().flatten();
        canaries
            .clone()
            .find(|canary| canary["canary"] == name)
            .unwrap_or_else(|| panic!("nothing is said of {name}: {self}"))
            .clone()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            output,
            errors,
        } = self;
        write!(f, "code {code:?}\n--- output\n{output}--- errors\n{errors}")
    }
}
