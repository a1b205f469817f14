//! Security groups that many Services look at: each question is put in one way, so that one answer serves all.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::client::{Aws, Result, SecurityGroup, SecurityGroupQuery, TagFilter};
use crate::naming::CLUSTER_TAG;

/// Those in the VPC that carry the cluster's tag; in any VPC, as long as ours is not known.
pub(crate) async fn of_cluster(
    aws: &Aws,
    cluster: &str,
    vpc_id: Option<&str>,
) -> Result<Arc<Vec<SecurityGroup>>> {
    let query = SecurityGroupQuery {
        tags: vec![TagFilter::equals(CLUSTER_TAG, cluster)],
        vpc_id: vpc_id.map(str::to_owned),
        ..SecurityGroupQuery::default()
    };
    aws.security_groups(&query).await
}

/// Those with these ids; nothing is asked for none.
pub(crate) async fn with_ids(aws: &Aws, ids: &BTreeSet<String>) -> Result<Arc<Vec<SecurityGroup>>> {
    if ids.is_empty() {
        return Ok(Arc::default());
    }
    let query = SecurityGroupQuery { ids: ids.iter().cloned().collect(), ..SecurityGroupQuery::default() };
    aws.security_groups(&query).await
}
