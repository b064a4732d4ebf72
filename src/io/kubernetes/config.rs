//! Which cluster, and as whom: by the file that `KUBECONFIG` names, else by the pod's account.

use kube::config::{ExecInteractiveMode, KubeConfigOptions, KubeconfigError};

use crate::io::plain::proxy;
use crate::io::{Error, cluster, wire};

/// What the kubelet sets in every container, and nobody else.
const POD: &str = "KUBERNETES_SERVICE_HOST";

/// By the file, else by the pod's account. `Config::infer` does the same, and writes to the log
/// what it could not parse, which may be a token.
///
/// On failure: says what is wrong with each, without a word of what they hold.
pub(in crate::io) async fn config() -> Result<kube::Config, Error> {
    let by_file = kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await;
    let unusable = match by_file {
        Ok(config) => return checked(config, is_in_pod()),
        Err(error) => error,
    };
    kube::Config::incluster().map_err(|account| Error::Config {
        kubeconfig: told(&unusable),
        account: cluster::chain(&account),
    })
}

/// Address and port of the API server as the pod's environment has them, which need not be those
/// of a kubeconfig.
pub(in crate::io) fn server_of_pod() -> (Option<String>, u16) {
    let port = proxy::environment("KUBERNETES_SERVICE_PORT");
    let port = port.and_then(|port| port.parse().ok());
    (proxy::environment(POD), port.unwrap_or(443))
}

fn is_in_pod() -> bool {
    proxy::environment(POD).is_some_and(|host| !host.is_empty())
}

/// A kubeconfig that may be used where this runs.
fn checked(mut config: kube::Config, is_in_pod: bool) -> Result<kube::Config, Error> {
    let user = &mut config.auth_info;
    if user.auth_provider.is_some() {
        return Err(Error::Refused(
            "users[].user.auth-provider",
            "is not supported",
        ));
    }
    if let Some(plug_in) = &mut user.exec {
        // Whoever can write a file in the pod could have Davy run a program, under its account.
        if is_in_pod {
            return Err(Error::Refused(
                "users[].user.exec",
                "no program is run in a pod",
            ));
        }
        // Nobody is asked, and what it prints is not shown.
        plug_in.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    // A proxy of the file is refused where the wire is made; one of the environment is looked at
    // here, for NO_PROXY is not heeded where the file is read.
    let of_file = config.proxy_url.take();
    if of_file.is_some() && !proxy::is_of_environment(of_file.as_ref()) {
        config.proxy_url = of_file;
    } else if let Some(by) = proxy::variable(&config.cluster_url) {
        return Err(Error::Wire(wire::Error::Proxy {
            by,
            host: config.cluster_url.host().unwrap_or_default().to_owned(),
            advice: "; NO_PROXY may leave that host out",
        }));
    }
    Ok(config)
}

/// What is wrong with a kubeconfig, without a word of it.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(why) => {
            let place = why.location().map_or(String::new(), |at| {
                format!(" at line {}, column {}", at.line(), at.column())
            });
            format!("the file is no kubeconfig{place}")
        }
        error => cluster::chain(error),
    }
}

#[cfg(test)]
mod tests {
    use kube::config::{AuthInfo, ExecConfig, Kubeconfig};

    use super::{KubeConfigOptions, checked};

    async fn of(user: &str) -> kube::Config {
        let text = format!(
            "apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: 'https://192.0.2.1:6443'}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {user}}}]
"
        );
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let options = KubeConfigOptions::default();
        kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap()
    }

    const EXEC: &str = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: login, \
                        env: [{name: PASSWORD, value: marker}], interactiveMode: Always}}";

    #[tokio::test]
    async fn no_program_is_run_in_a_pod() {
        let refused = checked(of(EXEC).await, true).map(|_| ()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the kubeconfig: users[].user.exec: no program is run in a pod"
        );
        let outside = checked(of(EXEC).await, false).unwrap();
        // It has no terminal to print on.
        let AuthInfo { exec, .. } = outside.auth_info;
        let ExecConfig {
            interactive_mode, ..
        } = exec.unwrap();
        assert_eq!(interactive_mode, Some(super::ExecInteractiveMode::Never));
        assert!(checked(of("{token: marker}").await, true).is_ok());
    }

    #[tokio::test]
    async fn providers_that_run_programs_by_another_name_are_refused_everywhere() {
        let user = "{auth-provider: {name: gcp, config: {cmd-path: login}}}";
        for is_in_pod in [true, false] {
            let refused = checked(of(user).await, is_in_pod).map(|_| ()).unwrap_err();
            let expected = "the kubeconfig: users[].user.auth-provider: is not supported";
            assert_eq!(refused.to_string(), expected);
        }
    }
}
