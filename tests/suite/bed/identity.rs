//! Who is who on the control plane: its certificate authority, the certificates that it signs, and
//! the kubeconfig files made of them.
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

/// The authority that the API server trusts for users, and that clients trust for the API server.
pub(crate) struct Authority {
    folder: PathBuf,
    /// Two tests may ask for the same user at once; each gets files of its own.
    files: AtomicU32,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Files in PEM.
pub(crate) struct Certified {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Files in PEM.
pub(crate) struct TokenKeys {
    pub(crate) private: PathBuf,
    pub(crate) public: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        let mut parameters = parameters("davy test bed", None);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(text)?;
        let issuer = CertifiedIssuer::self_signed(parameters, key).map_err(text)?;
        let authority = Self {
            folder: folder.to_owned(),
            files: AtomicU32::new(0),
            issuer,
        };
        write(&authority.certificate(), &authority.issuer.pem())?;
        Ok(authority)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// For a server on 127.0.0.1.
    pub(crate) fn server(&self, name: &str) -> Result<Certified, String> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut parameters = CertificateParams::new(names).map_err(text)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, &parameters)
    }

    /// For a user, and at most one group: that is what a certificate made here has room for.
    pub(crate) fn user(&self, user: &str, group: Option<&str>) -> Result<Certified, String> {
        let mut parameters = parameters(user, group);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(user, &parameters)
    }

    /// The keys that sign and prove the tokens of service accounts.
    pub(crate) fn token_keys(&self) -> Result<TokenKeys, String> {
        let keys = TokenKeys {
            private: self.folder.join("tokens.key"),
            public: self.folder.join("tokens.pub"),
        };
        let pair = KeyPair::generate().map_err(text)?;
        write(&keys.private, &pair.serialize_pem())?;
        write(&keys.public, &pair.public_key_pem())?;
        Ok(keys)
    }

    /// Writes a kubeconfig, in JSON, which is YAML too.
    pub(crate) fn kubeconfig(
        &self,
        name: &str,
        server: &str,
        user: &Value,
    ) -> Result<PathBuf, String> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": {
                "server": server, "certificate-authority": self.certificate(),
            }}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": name}}],
            "current-context": "bed",
        });
        let path = self.file(name).with_extension("kubeconfig");
        write(&path, &format!("{config:#}\n"))?;
        Ok(path)
    }

    fn sign(&self, name: &str, parameters: &CertificateParams) -> Result<Certified, String> {
        let key = KeyPair::generate().map_err(text)?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(text)?;
        let file = self.file(name);
        let certified = Certified {
            certificate: file.with_extension("crt"),
            key: file.with_extension("key"),
        };
        write(&certified.certificate, &certificate.pem())?;
        write(&certified.key, &key.serialize_pem())?;
        Ok(certified)
    }

    fn file(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let name = name.replace([':', '/', '.'], "-");
        self.folder.join(format!("{name}-{number}"))
    }
}

impl Certified {
    /// The user of a kubeconfig.
    pub(crate) fn as_user(&self) -> Value {
        json!({"client-certificate": self.certificate, "client-key": self.key})
    }
}

fn parameters(user: &str, group: Option<&str>) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, user);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = subject;
    parameters
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .map_err(|error| format!("writing {}: {error}", path.display()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn text(error: rcgen::Error) -> String {
    format!("making a certificate: {error}")
}
