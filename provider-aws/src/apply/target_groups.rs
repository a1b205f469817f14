//! Target groups: made and deleted.

use super::{Applied, Applier};
use crate::client::{CreateTargetGroup, Select, TargetType};
use crate::error::ErrorKind;
use crate::failure::StepFailure;
use crate::model;

impl Applier<'_> {
    pub(super) async fn create_target_group(
        &mut self,
        wanted: &model::TargetGroup,
    ) -> Result<Applied, StepFailure> {
        let request = CreateTargetGroup {
            name: wanted.name.clone(),
            protocol: wanted.protocol,
            port: wanted.node_port,
            vpc_id: wanted.vpc_id.clone(),
            target_type: TargetType::Instance,
            family: wanted.family,
            health_check: wanted.health_check.clone(),
            tags: wanted.tags.clone(),
        };
        match self.aws.create_target_group(&request).await {
            Ok(made) => {
                self.ids.target_groups.insert(wanted.name.clone(), made.arn);
                Ok(Applied::Done)
            }
            Err(error) if error.is("DuplicateTargetGroupName") => {
                let named = Select::Names(vec![wanted.name.clone()]);
                let found = self.aws.target_groups(&named).await?;
                self.check_owner("target group", &wanted.name, found.iter().map(|tg| &tg.arn)).await?;
                Ok(Applied::Stale)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A target group stays in use for a moment after its listener has gone.
    pub(super) async fn delete_target_group(&self, arn: &str) -> Result<Applied, StepFailure> {
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.delete_target_group(arn).await {
            if error.kind == ErrorKind::NotFound {
                break;
            }
            backoff.wait_if(error.kind == ErrorKind::InUse, error).await?;
        }
        Ok(Applied::Done)
    }
}
