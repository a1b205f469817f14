//! Who may do what: a token for each component, as Kubernetes names its components, and the kubeconfigs with them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::ClusterError;

/// The user of an administrator.
pub(super) const ADMIN: &str = "admin";

/// The users, with the groups that give them their rights. The rest have theirs from the roles that every API server makes.
const USERS: [(&str, &str); 6] = [
    (ADMIN, "system:masters"),
    ("system:kube-controller-manager", ""),
    ("system:kube-scheduler", ""),
    ("system:kube-proxy", ""),
    ("system:node:node-1", "system:nodes"),
    ("system:node:node-2", "system:nodes"),
];

/// The tokens of a cluster.
#[derive(Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
    tokens: Vec<(&'static str, String)>,
}

impl Credentials {
    /// Makes tokens, and writes the file in which the API server looks them up.
    pub(super) fn make(folder: &Path) -> Result<Self, ClusterError> {
        let token = || format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let tokens: Vec<_> = USERS.iter().map(|(user, _)| (*user, token())).collect();
        let line = |((user, groups), (_, token)): (&(&str, &str), &(&str, String))| {
            format!("{token},{user},{user},\"{groups}\"\n")
        };
        let credentials = Credentials { folder: folder.to_owned(), tokens };
        let lines: String = USERS.iter().zip(&credentials.tokens).map(line).collect();
        let file = credentials.token_file();
        fs::write(&file, lines).map_err(ClusterError::file(&file))?;
        Ok(credentials)
    }

    /// The file of tokens.
    pub(super) fn token_file(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// Where the API server puts the certificate that it makes for itself.
    pub(super) fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    /// The authority that the API server's certificate is from.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// Takes the authority out of the certificate file, once the API server has made it.
    pub(super) fn write_authority(&self) -> Result<(), ClusterError> {
        let file = self.certificates().join("apiserver.crt");
        let text = fs::read_to_string(&file).map_err(ClusterError::file(&file))?;
        let authority = second(&text).unwrap_or_default();
        let file = self.authority();
        fs::write(&file, authority).map_err(ClusterError::file(&file))
    }

    /// Writes a user's kubeconfig for a server at this address; its path.
    pub(super) fn kubeconfig(&self, user: &str, address: &str, name: &str) -> Result<PathBuf, ClusterError> {
        let token = self.tokens.iter().find(|(known, _)| *known == user).map(|(_, token)| token);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "cluster", "cluster": {
                "server": format!("https://{address}:6443"),
                "certificate-authority": self.authority(),
                // The certificate has the addresses of the inside only.
                "tls-server-name": "kubernetes.default.svc",
            } }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": "cluster", "context": { "cluster": "cluster", "user": user } }],
            "current-context": "cluster",
        });
        let file = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&file, kubeconfig.to_string()).map_err(ClusterError::file(&file))?;
        Ok(file)
    }
}

/// The second certificate of a file: the API server writes its own, then the authority that it is from.
fn second(certificates: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut parts = certificates.split(END);
    let authority = parts.nth(1)?.trim_start();
    parts.next().map(|_| format!("{authority}{END}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_second_certificate() {
        let part = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        assert_eq!(second(&(part("leaf") + &part("authority"))), Some(part("authority")));
        assert_eq!(second(&part("leaf")), None);
        assert_eq!(second(""), None);
    }

    #[test]
    fn each_component_comes_as_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::make(folder.path()).expect("tokens");
        let file = credentials.kubeconfig("system:node:node-1", "10.0.0.1", "x").expect("a kubeconfig");
        let kubeconfig: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let token = kubeconfig["users"][0]["user"]["token"].as_str().expect("a token");
        let tokens = fs::read_to_string(credentials.token_file()).unwrap();
        let line = format!("{token},system:node:node-1,system:node:node-1,\"system:nodes\"\n");
        assert_eq!(tokens.lines().count(), USERS.len());
        assert!(tokens.contains(&line), "{tokens}");
    }
}
