//! Security groups: made, opened, closed, deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::DoublingPause;

use super::{Applied, Applier};
use crate::client::{
    CreateSecurityGroup, IngressRule, RuleSource, SecurityGroup, SecurityGroupQuery, Tags, Traffic,
};
use crate::error::{ApiError, ErrorKind};
use crate::failure::StepFailure;
use crate::model;
use crate::naming::{self, BACKEND_ROLE, CLUSTER_TAG, ROLE_TAG, UID_TAG};

/// What came of asking for a group.
struct GroupFromCreate {
    id: String,
    /// Whether this very request made it.
    is_new: bool,
}

impl Applier<'_> {
    /// Makes both groups at the same time: neither needs the other, and a host name waits for both.
    pub(super) async fn create_both_groups(
        &mut self,
        backend: &model::BackendAccess,
        frontend: &model::FrontendGroup,
    ) -> [Result<Applied, StepFailure>; 2] {
        let (backend, frontend) =
            futures::join!(self.make_backend_group(backend), self.make_frontend_group(frontend));
        [backend.map(|id| self.has_backend_group(id)), frontend.map(|made| self.has_frontend_group(made))]
    }

    pub(super) async fn create_frontend_group(
        &mut self,
        wanted: &model::FrontendGroup,
    ) -> Result<Applied, StepFailure> {
        let made = self.make_frontend_group(wanted).await?;
        Ok(self.has_frontend_group(made))
    }

    pub(super) async fn create_backend_group(
        &mut self,
        wanted: &model::BackendAccess,
    ) -> Result<Applied, StepFailure> {
        let id = self.make_backend_group(wanted).await?;
        Ok(self.has_backend_group(id))
    }

    fn has_frontend_group(&mut self, made: GroupFromCreate) -> Applied {
        self.new_frontend = Some(made.id.clone()).filter(|_| made.is_new);
        self.ids.frontend = Some(made.id);
        Applied::Done
    }

    fn has_backend_group(&mut self, id: String) -> Applied {
        self.ids.backend = Some(id);
        Applied::Done
    }

    async fn make_frontend_group(
        &self,
        wanted: &model::FrontendGroup,
    ) -> Result<GroupFromCreate, StepFailure> {
        let request = CreateSecurityGroup {
            name: wanted.name.clone(),
            description: naming::FRONTEND_DESCRIPTION.to_owned(),
            vpc_id: wanted.vpc_id.clone(),
            tags: wanted.tags.clone(),
        };
        let uid = &self.service.uid;
        let is_ours = |tags: &Tags| tags.get(UID_TAG).is_some_and(|owner| **owner == **uid);
        let made = self.create_group(request, is_ours).await?;
        self.memory.groups.made(uid, &made.id);
        Ok(made)
    }

    /// One for the cluster, whoever of its Services comes first; those who waited meanwhile take it from the first.
    async fn make_backend_group(&self, wanted: &model::BackendAccess) -> Result<String, StepFailure> {
        let _alone = self.shared_group.lock().await;
        if let Some(made) = self.memory.groups.new_backend() {
            return Ok(made);
        }
        let request = CreateSecurityGroup {
            name: wanted.source_group.clone(),
            description: naming::BACKEND_DESCRIPTION.to_owned(),
            vpc_id: wanted.vpc_id.clone(),
            tags: wanted.tags.clone(),
        };
        let cluster = &self.config.cluster;
        let is_ours = |tags: &Tags| {
            tags.get(CLUSTER_TAG) == Some(cluster) && tags.get(ROLE_TAG).is_some_and(|r| r == BACKEND_ROLE)
        };
        let id = self.create_group(request, is_ours).await?.id;
        self.memory.groups.set_backend(Some(id.clone()));
        Ok(id)
    }

    /// The new group, or the one that an earlier try made.
    async fn create_group(
        &self,
        request: CreateSecurityGroup,
        is_ours: impl Fn(&Tags) -> bool,
    ) -> Result<GroupFromCreate, StepFailure> {
        let doubt = self.memory.groups.doubt(&request.name);
        match self.aws.create_security_group(&request).await {
            Ok(id) => {
                doubt.settle();
                Ok(GroupFromCreate { id, is_new: true })
            }
            Err(error) if error.kind == ErrorKind::Duplicate => {
                let query = SecurityGroupQuery {
                    names: vec![request.name.clone()],
                    vpc_id: Some(request.vpc_id.clone()),
                    ..SecurityGroupQuery::default()
                };
                // The name is taken, so that there is one, though EC2 may not show it yet.
                let mut backoff = self.backoff();
                let found = loop {
                    self.aws.forget_security_groups();
                    let found = self.aws.security_groups(&query).await?;
                    if !found.is_empty() {
                        break found;
                    }
                    backoff.wait_if(true, error.clone()).await?;
                };
                doubt.settle();
                let ours = found.iter().find(|group: &&SecurityGroup| is_ours(&group.tags));
                let taken = || StepFailure::NameTaken { kind: "security group", name: request.name.clone() };
                Ok(GroupFromCreate { id: ours.ok_or_else(taken)?.id.clone(), is_new: false })
            }
            Err(error) => {
                if !error.may_have_taken_effect() {
                    doubt.settle();
                }
                Err(error.into())
            }
        }
    }

    /// Adds rules. AWS takes all or none; if some are there already, they go one by one.
    pub(super) async fn authorize(&self, id: &str, rules: &[IngressRule]) -> Result<Applied, StepFailure> {
        let mut backoff = self.backoff();
        loop {
            match self.aws.authorize_security_group_ingress(id, rules).await {
                Ok(()) => return Ok(Applied::Done),
                Err(error) if error.kind == ErrorKind::Duplicate => break,
                // A group just made is not known everywhere at once; any other that is not there never will be.
                Err(error) => {
                    let may_come = error.is("InvalidGroup.NotFound") && self.names_a_new_group(id, rules);
                    backoff.wait_if(may_come, error).await?;
                }
            }
        }
        if let [_] = rules {
            return Ok(Applied::Done);
        }
        for rule in rules {
            match self.aws.authorize_security_group_ingress(id, std::slice::from_ref(rule)).await {
                Err(error) if error.kind != ErrorKind::Duplicate => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Applied::Done)
    }

    /// Whether the group, or one whose members its rules let in, was made a moment ago.
    fn names_a_new_group(&self, id: &str, rules: &[IngressRule]) -> bool {
        let is_new = |id: &str| self.memory.groups.is_new(&self.service.uid, id);
        let is_from_a_new_one = |rule: &IngressRule| match &rule.source {
            RuleSource::Group(source) => is_new(source),
            _ => false,
        };
        is_new(id) || rules.iter().any(is_from_a_new_one)
    }

    /// Takes rules out, likewise.
    pub(super) async fn revoke(&self, id: &str, rules: &[IngressRule]) -> Result<Applied, StepFailure> {
        match self.aws.revoke_security_group_ingress(id, rules).await {
            Err(error) if error.is("InvalidPermission.NotFound") => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(Applied::Done),
        }
        for rule in rules {
            match self.aws.revoke_security_group_ingress(id, std::slice::from_ref(rule)).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Applied::Done)
    }

    /// Tags go before others come: the tag that remembers which were added is written last.
    pub(super) async fn tag_group(
        &self,
        id: String,
        add: &Tags,
        remove: &[String],
    ) -> Result<Applied, StepFailure> {
        let ids = [id];
        if !remove.is_empty() {
            self.aws.delete_tags(&ids, remove).await?;
        }
        if !add.is_empty() {
            self.aws.create_tags(&ids, add).await?;
        }
        Ok(Applied::Done)
    }

    /// One Service after the other: those who waited find it done. It is remembered only once AWS has said so.
    pub(super) async fn open_nodes(
        &self,
        node_group: &str,
        traffic: &BTreeSet<Traffic>,
    ) -> Result<Applied, StepFailure> {
        let Some(source) = &self.ids.backend else { return Ok(Applied::Stale) };
        let _alone = self.shared_group.lock().await;
        if self.memory.groups.new_backend().is_some() && self.memory.groups.is_open(node_group, traffic) {
            return Ok(Applied::Done);
        }
        let rule = |traffic: &Traffic| IngressRule {
            traffic: traffic.clone(),
            source: RuleSource::Group(source.clone()),
            description: Some(format!("load balancers of cluster {}", self.config.cluster)),
        };
        let rules: Vec<IngressRule> = traffic.iter().map(rule).collect();
        self.authorize(node_group, &rules).await?;
        self.memory.groups.opened(node_group, traffic.iter().cloned());
        Ok(Applied::Done)
    }

    /// The network interfaces of a deleted load balancer keep its groups for a while.
    pub(super) async fn delete_group(&self, id: &str) -> Result<Applied, StepFailure> {
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.delete_security_group(id).await {
            if error.kind == ErrorKind::NotFound {
                break;
            }
            if let Err(error) = backoff.wait_if(error.kind == ErrorKind::InUse, error).await {
                return Err(self.held_by(id, error).await);
            }
        }
        self.memory.groups.gone(&self.service.uid, id);
        Ok(Applied::Done)
    }

    /// Whose rule keeps a group, if one does: AWS does not say.
    async fn held_by(&self, id: &str, error: ApiError) -> StepFailure {
        if error.kind != ErrorKind::InUse {
            return error.into();
        }
        let query = SecurityGroupQuery {
            vpc_id: self.observer.vpc_id.map(str::to_owned),
            ..SecurityGroupQuery::default()
        };
        self.aws.forget_security_groups();
        let groups = self.aws.security_groups(&query).await.unwrap_or_default();
        let named = RuleSource::Group(id.to_owned());
        let holders = groups.iter().flat_map(|group| {
            let rules = group.ingress.iter().filter(|rule| rule.source == named && group.id != id);
            rules.map(|rule| format!("{} of {} ({})", rule.traffic, group.id, group.name))
        });
        StepFailure::GroupInUse { group: id.to_owned(), rules: holders.collect(), error }
    }

    /// The cluster's groups, those among them that a request of ours may have made without telling: the reply was
    /// lost, and EC2 takes a moment to show a new group.
    pub(crate) async fn all_groups(
        &self,
        frontend: &str,
        shared: &str,
    ) -> Result<Arc<Vec<SecurityGroup>>, StepFailure> {
        let mut pause = DoublingPause::new(Duration::from_millis(500), Duration::from_secs(2));
        loop {
            self.aws.forget_security_groups();
            let groups = self.observer.cluster_groups().await?;
            let is_unseen = |name: &str, uid: Option<&str>| {
                self.memory.groups.is_doubted(name, uid) && !groups.iter().any(|group| group.name == name)
            };
            if !is_unseen(frontend, Some(&self.service.uid)) && !is_unseen(shared, None) {
                [frontend, shared].into_iter().for_each(|name| self.memory.groups.trust(name));
                return Ok(groups);
            }
            tokio::time::sleep(pause.advance()).await;
        }
    }

    /// Deletes a group that no list shows: it may be too new to be shown.
    pub(super) async fn delete_unseen_group(&self, id: &str) -> Result<Applied, StepFailure> {
        let mut backoff = self.backoff();
        while let Err(error) = self.aws.delete_security_group(id).await {
            let is_not_shown = error.kind == ErrorKind::NotFound;
            if is_not_shown && !self.memory.groups.may_be_unseen(&self.service.uid, id) {
                break;
            }
            backoff.wait_if(is_not_shown || error.kind == ErrorKind::InUse, error).await?;
        }
        self.memory.groups.gone(&self.service.uid, id);
        Ok(Applied::Done)
    }

    /// Takes the backend security group down, with the rules on the nodes that name it, if this Service was the last
    /// one. Of several that are deleted at once, one does it and the others find it done.
    pub(super) async fn delete_backend_group(&self, id: &str, vpc_id: &str) -> Result<Applied, StepFailure> {
        let _alone = self.shared_group.lock().await;
        if !self.is_the_last(vpc_id).await? {
            return Ok(Applied::Done);
        }
        if !self.observer.cluster_groups().await?.iter().any(|group| group.id == id) {
            return Ok(Applied::Done);
        }
        self.memory.groups.set_backend(None);
        let opened = self.memory.groups.take_opened();
        // What this process opened is known; what an earlier one did has to be looked for.
        let whole_vpc =
            || SecurityGroupQuery { vpc_id: Some(vpc_id.to_owned()), ..SecurityGroupQuery::default() };
        let query = match opened.is_empty() {
            false => SecurityGroupQuery { ids: opened, ..SecurityGroupQuery::default() },
            true => whole_vpc(),
        };
        self.close_nodes(id, &query).await?;
        match self.aws.delete_security_group(id).await {
            Err(error) if error.kind == ErrorKind::InUse => {
                self.close_nodes(id, &whole_vpc()).await?;
                self.delete_group(id).await
            }
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Applied::Done),
        }
    }

    async fn close_nodes(&self, source: &str, query: &SecurityGroupQuery) -> Result<(), StepFailure> {
        let named = RuleSource::Group(source.to_owned());
        for group in self.aws.security_groups(query).await?.iter() {
            let rules: Vec<IngressRule> =
                group.ingress.iter().filter(|rule| rule.source == named).cloned().collect();
            if !rules.is_empty() {
                self.revoke(&group.id, &rules).await?;
            }
        }
        Ok(())
    }
}
