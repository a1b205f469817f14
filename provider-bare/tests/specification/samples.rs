//! MetalLB's own manifests of pools.

use std::path::{Path, PathBuf};

use metallb::manifest::{self, Manifests};
use metallb::pools::Pools;
use provider_bare::file;

use crate::support::{Cluster, service};

/// MetalLB's files lie beside the workspace where somebody put them there.
fn metallb(what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/metallb").join(what);
    if !path.exists() {
        eprintln!("passed over: there is no {}", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn metallbs_sample_manifests_load_as_they_are() {
    let Some(folder) = metallb("samples") else { return };
    let mut pools = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Manifests { pools: definitions, passed_over, .. } = file::read(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(definitions.len(), text.matches("kind: IPAddressPool").count(), "{}", path.display());
        let (in_force, mistakes) = Pools::parse(&definitions);
        assert_eq!(mistakes, [], "{}", path.display());
        assert_eq!(in_force.iter().count(), definitions.len());
        pools += definitions.len();
        assert_eq!(
            passed_over.len(),
            text.matches("\nkind:").count() + usize::from(text.starts_with("kind:")) - definitions.len()
        );
    }
    assert!(pools >= 6, "{pools} pools");
}

const SAMPLE: &str = "
# A comment before everything.
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: first
  namespace: metallb-system
spec:
  addresses:
  - 192.168.10.0/24
  - 192.168.9.1-192.168.9.5
  - fc00:f853:0ccd:e799::/124
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata:
  name: passed-over
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: second}
spec:
  addresses: [192.168.20.0/24]
  avoidBuggyIPs: true
  serviceAllocation:
    priority: 50
    namespaces: [namespace-a]
    serviceSelectors:
    - matchExpressions:
      - {key: app, operator: In, values: [bar]}
---
  this: is
 no: yaml
---
apiVersion: v1
kind: List
items:
- apiVersion: metallb.io/v1beta1
  kind: IPAddressPool
  metadata: {name: third}
  spec: {addresses: [192.168.30.0/24], autoAssign: false}
";

#[test]
fn a_file_of_manifests_is_read_and_what_is_wrong_in_it_stops_nobody_else() {
    let Manifests { pools, passed_over, .. } = manifest::parse(SAMPLE);
    let (in_force, mistakes) = Pools::parse(&pools);
    assert_eq!(in_force.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["first", "second", "third"]);
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].to_string().contains("is no YAML"), "{}", mistakes[0]);
    assert_eq!(passed_over.len(), 1);
    assert!(
        passed_over[0].contains("L2Advertisement") && passed_over[0].contains("passed-over"),
        "{passed_over:?}"
    );
    let second = in_force.get("second").unwrap();
    assert!(second.avoid_buggy && second.auto_assign);
    assert!(!in_force.get("third").unwrap().auto_assign);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_at_the_start_on_demand_and_when_it_has_changed() {
    let folder = std::env::temp_dir().join(format!("provider-bare-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pools.yaml");
    let write = |addresses: &str| {
        let text = format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: p}}\nspec: {{addresses: [{addresses}]}}\n"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("1.2.3.4/32");
    let mut config = provider_bare::BareConfig::default();
    config.pools = provider_bare::PoolSource::File(path.clone());
    let provider = provider_bare::BareProvider::new(config, None).unwrap();
    cloud_provider::CloudLoadBalancer::resume(&provider, &[]).await.unwrap();
    assert_eq!(provider.pool_statuses()["p"].available_ipv4, 1);
    write("1.2.3.4/31");
    assert_eq!(provider.reload().unwrap(), []);
    assert_eq!(provider.pool_statuses()["p"].available_ipv4, 2);
    write("1.2.3.4/30");
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
    let seen = async {
        while provider.pool_statuses()["p"].available_ipv4 != 4 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), seen).await.expect("the change is seen");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(provider.reload().is_err());
    assert_eq!(provider.pool_statuses()["p"].available_ipv4, 4, "what is in force stays");
}

#[test]
fn a_sample_serves() {
    let Manifests { pools, .. } = manifest::parse(SAMPLE);
    let mut cluster = Cluster::new(pools);
    assert_eq!(cluster.serve(service("s").dual_stack()), ["192.168.10.0", "fc00:f853:ccd:e799::"]);
}
