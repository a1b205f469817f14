//! Security groups: made, opened, closed, deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Applier;
use crate::client::{
    CreateSecurityGroup, IngressRule, RuleSource, SecurityGroup, SecurityGroupQuery, Tags, Traffic,
};
use crate::error::ErrorKind;
use crate::failure::Failure;
use crate::model;
use crate::naming::{self, CLUSTER_TAG, NODES_SOURCE_ROLE, ROLE_TAG, UID_TAG};
use crate::observe::Observer;

impl Applier<'_> {
    pub(super) async fn create_frontend_group(
        &mut self,
        wanted: &model::FrontendGroup,
    ) -> Result<(), Failure> {
        let request = CreateSecurityGroup {
            name: wanted.name.clone(),
            description: naming::FRONTEND_DESCRIPTION.to_owned(),
            vpc_id: wanted.vpc_id.clone(),
            tags: wanted.tags.clone(),
        };
        let uid = &self.service.uid;
        let is_ours = |tags: &Tags| tags.get(UID_TAG) == Some(uid);
        let id = self.create_group(request, is_ours).await?;
        self.memory.made_group(uid, &id);
        self.known.frontend = Some(id);
        Ok(())
    }

    /// One for the cluster, whoever of its Services comes first.
    pub(super) async fn create_nodes_source(&mut self, wanted: &model::NodeOpening) -> Result<(), Failure> {
        let _alone = self.shared_group.lock().await;
        let request = CreateSecurityGroup {
            name: wanted.source_group.clone(),
            description: naming::NODES_SOURCE_DESCRIPTION.to_owned(),
            vpc_id: wanted.vpc_id.clone(),
            tags: wanted.tags.clone(),
        };
        let cluster = &self.config.cluster;
        let is_ours = |tags: &Tags| {
            tags.get(CLUSTER_TAG) == Some(cluster)
                && tags.get(ROLE_TAG).is_some_and(|r| r == NODES_SOURCE_ROLE)
        };
        self.known.nodes_source = Some(self.create_group(request, is_ours).await?);
        Ok(())
    }

    /// The id of the new group, or of the one that an earlier try made.
    async fn create_group(
        &self,
        request: CreateSecurityGroup,
        is_ours: impl Fn(&Tags) -> bool,
    ) -> Result<String, Failure> {
        self.memory.doubt_group(&request.name);
        match self.aws.create_security_group(&request).await {
            Ok(id) => {
                self.memory.trust_group(&request.name);
                Ok(id)
            }
            Err(error) if error.kind == ErrorKind::Duplicate => {
                let query = SecurityGroupQuery {
                    names: vec![request.name.clone()],
                    vpc_id: Some(request.vpc_id.clone()),
                    ..SecurityGroupQuery::default()
                };
                // The name is taken, so that there is one, though EC2 may not show it yet.
                let mut patience = self.patience();
                let found = loop {
                    self.aws.forget_security_groups();
                    let found = self.aws.security_groups(&query).await?;
                    if !found.is_empty() {
                        break found;
                    }
                    patience.wait_if(true, error.clone()).await?;
                };
                let ours = found.iter().find(|group: &&SecurityGroup| is_ours(&group.tags));
                let taken = || Failure::NameTaken { kind: "security group", name: request.name.clone() };
                Ok(ours.ok_or_else(taken)?.id.clone())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adds rules. AWS takes all or none; if some are there already, they go one by one.
    pub(super) async fn authorize(&self, id: &str, rules: &[IngressRule]) -> Result<(), Failure> {
        let mut patience = self.patience();
        loop {
            match self.aws.authorize_security_group_ingress(id, rules).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == ErrorKind::Duplicate => break,
                // A group just made is not known everywhere at once.
                Err(error) => patience.wait_if(error.is("InvalidGroup.NotFound"), error).await?,
            }
        }
        if let [_] = rules {
            return Ok(());
        }
        for rule in rules {
            match self.aws.authorize_security_group_ingress(id, std::slice::from_ref(rule)).await {
                Err(error) if error.kind != ErrorKind::Duplicate => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes rules out, likewise.
    pub(super) async fn revoke(&self, id: &str, rules: &[IngressRule]) -> Result<(), Failure> {
        match self.aws.revoke_security_group_ingress(id, rules).await {
            Err(error) if error.is("InvalidPermission.NotFound") => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(()),
        }
        for rule in rules {
            match self.aws.revoke_security_group_ingress(id, std::slice::from_ref(rule)).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) async fn open_nodes(
        &self,
        node_group: &str,
        traffic: &BTreeSet<Traffic>,
    ) -> Result<(), Failure> {
        let Some(source) = &self.known.nodes_source else { return Ok(()) };
        let rule = |traffic: &Traffic| IngressRule {
            traffic: traffic.clone(),
            source: RuleSource::Group(source.clone()),
            description: Some(format!("load balancers of cluster {}", self.config.cluster)),
        };
        let rules: Vec<IngressRule> = traffic.iter().map(rule).collect();
        self.memory.opened(node_group);
        self.authorize(node_group, &rules).await
    }

    /// The network interfaces of a deleted load balancer keep its groups for a while.
    pub(crate) async fn delete_group(&self, id: &str) -> Result<(), Failure> {
        let mut patience = self.patience();
        while let Err(error) = self.aws.delete_security_group(id).await {
            if error.kind == ErrorKind::NotFound {
                break;
            }
            patience.wait_if(error.kind == ErrorKind::InUse, error).await?;
        }
        Ok(())
    }

    /// The cluster's groups, those among them that a request of ours may have made without telling: the reply was
    /// lost, and EC2 takes a moment to show a new group.
    pub(crate) async fn all_groups(
        &self,
        frontend: &str,
        shared: &str,
    ) -> Result<Arc<Vec<SecurityGroup>>, Failure> {
        let observer = Observer { aws: self.aws, config: self.config };
        let until = Instant::now() + self.config.deletion_wait;
        let mut pause = Duration::from_millis(500);
        loop {
            self.aws.forget_security_groups();
            let groups = observer.cluster_groups().await?;
            let is_unseen = |name: &str, uid: Option<&str>| {
                self.memory.is_group_doubted(name, uid) && !groups.iter().any(|group| group.name == name)
            };
            let doubted = is_unseen(frontend, Some(&self.service.uid)) || is_unseen(shared, None);
            if !doubted || Instant::now() + pause > until {
                [frontend, shared].into_iter().for_each(|name| self.memory.trust_group(name));
                return Ok(groups);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Deletes a group that this process made and that no list shows: it may be too new to be shown.
    pub(crate) async fn delete_new_group(&self, id: &str) -> Result<(), Failure> {
        let mut patience = self.patience();
        while let Err(error) = self.aws.delete_security_group(id).await {
            let may_help = matches!(error.kind, ErrorKind::InUse | ErrorKind::NotFound);
            let is_gone = error.kind == ErrorKind::NotFound;
            match patience.wait_if(may_help, error).await {
                Err(_) if is_gone => break,
                result => result?,
            }
        }
        Ok(())
    }

    /// Takes the nodes' source group down, with the rules on the nodes that name it.
    pub(crate) async fn delete_nodes_source(&self, source: &SecurityGroup) -> Result<(), Failure> {
        let opened: Vec<String> = self.memory.take_opened().into_iter().collect();
        // What this process opened is known; what an earlier one did has to be looked for.
        let query = match opened.is_empty() {
            false => SecurityGroupQuery { ids: opened, ..SecurityGroupQuery::default() },
            true => {
                SecurityGroupQuery { vpc_id: Some(source.vpc_id.clone()), ..SecurityGroupQuery::default() }
            }
        };
        self.close_nodes(source, &query).await?;
        match self.aws.delete_security_group(&source.id).await {
            Err(error) if error.kind == ErrorKind::InUse => {
                let vpc_id = Some(source.vpc_id.clone());
                self.close_nodes(source, &SecurityGroupQuery { vpc_id, ..SecurityGroupQuery::default() })
                    .await?;
                self.delete_group(&source.id).await
            }
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn close_nodes(&self, source: &SecurityGroup, query: &SecurityGroupQuery) -> Result<(), Failure> {
        for group in self.aws.security_groups(query).await?.iter() {
            let ours = |rule: &&IngressRule| rule.source == RuleSource::Group(source.id.clone());
            let rules: Vec<IngressRule> = group.ingress.iter().filter(ours).cloned().collect();
            if !rules.is_empty() {
                self.revoke(&group.id, &rules).await?;
            }
        }
        Ok(())
    }
}
