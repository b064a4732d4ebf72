//! A real Pushgateway, empty, for one test.
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use super::{
    keeper::Keeper,
    wait::{free_port, get},
};

const START_DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Pushgateway {
    address: SocketAddr,
    /// Ends the process when this goes.
    _keeper: Keeper,
}

impl Pushgateway {
    pub(super) async fn start(program: &Path) -> Result<Self, String> {
        let mut keeper = Keeper::new("pushgateway")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let arguments = [
            format!("--web.listen-address={address}"),
            // Debian's default is a place that all of them share: what one test has pushed would
            // be there in the next.
            "--persistence.file=".to_owned(),
        ];
        keeper.start("pushgateway", program, &arguments)?;
        keeper
            .ready(
                "Pushgateway is ready",
                START_DEADLINE,
                async || match get(address, "/-/ready").map_err(|error| error.to_string())? {
                    (200, _) => Ok(()),
                    (status, body) => Err(format!("{status} {body}")),
                },
            )
            .await?;
        Ok(Self {
            address,
            _keeper: keeper,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `DAVY_PUSHGATEWAY_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What Prometheus would read from it.
    pub(crate) fn metrics(&self) -> String {
        let (status, body) = get(self.address, "/metrics")
            .unwrap_or_else(|error| panic!("asking Pushgateway: {error}"));
        assert_eq!(status, 200, "{body}");
        body
    }
}
