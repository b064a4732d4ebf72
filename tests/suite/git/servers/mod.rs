//! Git servers that are not git's own, each started once on a loopback port: dulwich, go-git, and
//! `JGit`'s, which Gerrit is made of. They speak plain HTTP, and one of our own stands before them
//! for https.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::bed;
use crate::bed::keeper::Keeper;
use crate::bed::wait::free_port;

/// A Java machine that starts beside builds.
const START_DEADLINE: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dulwich,
    GoGit,
    JGit,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// What it serves.
    pub(crate) folder: PathBuf,
    /// Ends the process when this goes.
    _keeper: Keeper,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Dulwich => "dulwich",
            Self::GoGit => "go-git",
            Self::JGit => "jgit",
        }
    }

    /// The programs that install and run it.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Dulwich => &["python3"],
            Self::GoGit => &["go"],
            Self::JGit => &["mvn", "javac", "java"],
        }
    }

    /// The program and its arguments before the folder and the port.
    fn command(self, installed: &Path) -> (PathBuf, Vec<String>) {
        let at = |path: &str| installed.join(path).display().to_string();
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/git/servers");
        match self {
            Self::Dulwich => (
                installed.join("python/bin/python"),
                vec![format!("{sources}/dulwich/serve.py")],
            ),
            Self::GoGit => (installed.join("server"), Vec::new()),
            Self::JGit => (
                "java".into(),
                [
                    "-Xmx256m",
                    "-cp",
                    &format!("{}:{}", at("classes"), at("lib/*")),
                    "Serve",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
        }
    }

    async fn start(self) -> Result<Server, String> {
        let installed = self.installed()?;
        let (program, mut arguments) = self.command(&installed);
        let mut keeper = Keeper::new(self.name())?;
        let folder = keeper.folder().join("repositories");
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let port = free_port()?;
        arguments.extend([folder.display().to_string(), port.to_string()]);
        keeper.start(self.name(), &program, &arguments)?;
        keeper
            .ready(self.name(), START_DEADLINE, async || {
                let connected = TcpStream::connect(("127.0.0.1", port));
                connected.map_err(|error| error.to_string())
            })
            .await?;
        Ok(Server {
            port,
            folder,
            _keeper: keeper,
        })
    }

    /// The folder with what the server is made of.
    fn installed(self) -> Result<PathBuf, String> {
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/git/servers/build");
        let output = Command::new(build)
            .arg(self.name())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("running {build}: {error}"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.lines().last() {
            Some(folder) if output.status.success() => Ok(PathBuf::from(folder)),
            _ => Err(format!(
                "{build} {} has failed: {}",
                self.name(),
                output.status
            )),
        }
    }

    /// The server, started by the first call; `None` where a program is missing that it needs.
    pub(crate) async fn shared(self) -> Option<&'static Server> {
        static SHARED: [OnceCell<Option<Server>>; 3] = [const { OnceCell::const_new() }; 3];
        let started = SHARED[self as usize].get_or_init(async || {
            for program in self.needs() {
                bed::program(program).unwrap_or_else(|error| panic!("{error}"))?;
            }
            let started = self.start().await;
            Some(started.unwrap_or_else(|error| panic!("{error}")))
        });
        started.await.as_ref()
    }
}
