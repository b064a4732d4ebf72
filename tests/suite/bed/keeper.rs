//! Processes of the test bed: started in a folder of their own, shown by the end of their log when
//! they fail, ended by their own id when the test process is gone, however it went.
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use super::wait::until;

/// Starts processes and outlives the test process for as long as it takes to end them. A static is
/// never dropped and a killed process drops nothing, so the ending is done by a shell that sees its
/// standard input end; dropping a `Keeper` only does the same earlier, and waits for it.
pub(crate) struct Keeper {
    folder: PathBuf,
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    started: Vec<Started>,
}

struct Started {
    name: String,
    pid: u32,
}

impl Keeper {
    /// Makes an empty folder for the processes; it goes when they have ended, unless
    /// `TEST_DAVY_KEEP` is set.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("davy-{name}-"))
            .tempdir()
            .map_err(|error| format!("making a folder for {name}: {error}"))?
            .keep();
        let mut shell = Command::new("bash")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/keep"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Control-C, or a kill of the test's process group, must not reach it before its work
            // is done.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("starting bash for {name}: {error}"))?;
        let orders = shell.stdin.take();
        let answers = shell.stdout.take().ok_or("bash has no standard output")?;
        Ok(Self {
            folder,
            shell,
            orders,
            answers: BufReader::new(answers),
            started: Vec::new(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program. Processes are ended in the opposite order.
    pub(crate) fn start(
        &mut self,
        name: &str,
        program: &Path,
        arguments: &[String],
    ) -> Result<(), String> {
        let pid = self
            .order(name, program, arguments)
            .map_err(|error| format!("starting {}: {error}", program.display()))?;
        self.started.push(Started {
            name: name.to_owned(),
            pid,
        });
        Ok(())
    }

    /// Asks until the answer is there, the deadline has passed or a process has ended; the ends of
    /// the logs are part of the error.
    pub(crate) async fn ready<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut ask: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        let answer = until(what, deadline, async || {
            match self.started.iter().find(|started| !started.is_running()) {
                Some(started) => Ok(Err(format!("{what}: {} has ended", started.name))),
                None => ask().await.map(Ok),
            }
        })
        .await;
        answer
            .and_then(|settled| settled)
            .map_err(|error| format!("{error}\n{}", self.logs()))
    }

    fn order(&mut self, name: &str, program: &Path, arguments: &[String]) -> io::Result<u32> {
        let lines = std::iter::once(program.display().to_string())
            .chain(arguments.iter().cloned())
            .collect::<Vec<_>>()
            .join("\n");
        fs::write(self.folder.join(format!("{name}.arguments")), lines)?;
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(orders, "{name}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer
            .trim()
            .parse()
            .map_err(|_| io::Error::other("the shell gave no process id"))
    }

    fn logs(&self) -> String {
        self.started
            .iter()
            .map(|started| started.end_of_log(&self.folder))
            .collect()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It gives every process five seconds and then kills it, so this ends.
        let _ = self.shell.wait();
    }
}

impl Started {
    fn is_running(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    fn end_of_log(&self, folder: &Path) -> String {
        let path = folder.join(format!("{}.log", self.name));
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(20)..];
        format!("--- the end of {}\n{}\n", path.display(), end.join("\n"))
    }
}
