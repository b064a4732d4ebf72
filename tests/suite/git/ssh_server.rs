//! The real `sshd` on a loopback port, shared by the tests that ask for it.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::keys::run;
use crate::bed::keeper::Keeper;
use crate::bed::wait::free_port;
use crate::bed::{self};

const START_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct SshServer {
    pub(crate) port: u16,
    /// The key that it lets in.
    pub(crate) key: PathBuf,
    /// Another one that it lets in, of RSA.
    pub(crate) rsa: PathBuf,
    pub(crate) known_hosts: PathBuf,
    user: String,
    /// Ends the process when this goes.
    _keeper: Keeper,
}

impl SshServer {
    pub(crate) fn url(&self, repository: &Path) -> String {
        let (user, port) = (&self.user, self.port);
        format!("ssh://{user}@127.0.0.1:{port}{}", repository.display())
    }

    async fn start(program: &Path) -> Result<Self, String> {
        let mut keeper = Keeper::new("sshd")?;
        let folder = keeper.folder().to_owned();
        let key = |name: &str, kind: &str| {
            let path = folder.join(name);
            run(Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-t", kind, "-f"])
                .arg(&path));
            path
        };
        let (host, client) = (key("host", "ed25519"), key("client", "ed25519"));
        let rsa = key("client-rsa", "rsa");
        let public = |path: &Path| std::fs::read_to_string(path.with_extension("pub"));
        let port = free_port()?;
        let known = public(&host).map_err(|error| error.to_string())?;
        let known_hosts = folder.join("known_hosts");
        std::fs::write(&known_hosts, format!("[127.0.0.1]:{port} {known}"))
            .map_err(|error| error.to_string())?;
        let mut config = String::new();
        for (name, value) in [
            ("Port", port.to_string()),
            ("ListenAddress", "127.0.0.1".to_owned()),
            ("HostKey", host.display().to_string()),
            ("PidFile", "none".to_owned()),
            (
                "AuthorizedKeysFile",
                [&client, &rsa]
                    .map(|key| key.with_extension("pub").display().to_string())
                    .join(" "),
            ),
            ("StrictModes", "no".to_owned()),
            ("UsePAM", "no".to_owned()),
            ("PasswordAuthentication", "no".to_owned()),
            ("PermitRootLogin", "yes".to_owned()),
            // Ten writers come at once.
            ("MaxStartups", "100".to_owned()),
        ] {
            writeln!(config, "{name} {value}").map_err(|error| error.to_string())?;
        }
        let path = folder.join("sshd_config");
        std::fs::write(&path, config).map_err(|error| error.to_string())?;
        // Where it goes to before it knows who somebody is; a service's start would make it.
        std::fs::create_dir_all("/run/sshd").map_err(|error| error.to_string())?;
        std::fs::set_permissions("/run/sshd", Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        let arguments = ["-D", "-e", "-f"].map(str::to_owned);
        let arguments = [&arguments[..], &[path.display().to_string()]].concat();
        keeper.start("sshd", program, &arguments)?;
        keeper
            .ready("sshd is ready", START_DEADLINE, async || {
                let greeted = TcpStream::connect(("127.0.0.1", port))
                    .and_then(|mut stream| stream.read_exact(&mut [0; 4]));
                greeted.map_err(|error| error.to_string())
            })
            .await?;
        Ok(Self {
            port,
            key: client,
            rsa,
            known_hosts,
            user: run(Command::new("id").arg("-un")).trim().to_owned(),
            _keeper: keeper,
        })
    }
}

/// The server, started by the first call; `None` where there is none.
pub(crate) async fn shared() -> Option<&'static SshServer> {
    static SHARED: OnceCell<Option<SshServer>> = OnceCell::const_new();
    let started = SHARED.get_or_init(async || {
        let program = bed::program("sshd").unwrap_or_else(|error| panic!("{error}"))?;
        let started = SshServer::start(&program).await;
        Some(started.unwrap_or_else(|error| panic!("{error}")))
    });
    started.await.as_ref()
}
