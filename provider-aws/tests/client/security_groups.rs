//! Rules on security groups, and on what the other EC2 requests may ask.

use provider_aws::client::{
    Ec2, Elbv2, IngressRule, RuleSource, SecurityGroupQuery, SubnetQuery, TagFilter, Tags, Traffic,
    fake::Quotas,
};

use super::account::{Account, Refused, a_group, tags};

fn rule(port: u16, source: RuleSource) -> IngressRule {
    IngressRule { traffic: Traffic::Tcp { from: port, to: port }, source, description: None }
}

fn from_anywhere(port: u16) -> IngressRule {
    rule(port, RuleSource::Ipv4("0.0.0.0/0".parse().unwrap()))
}

#[tokio::test]
async fn names_are_short_do_not_look_like_ids_and_are_unique_in_the_vpc_whatever_their_case() {
    let account = Account::new().await;
    let create = async |name: &str| account.aws.create_security_group(&a_group(&account.vpc.id, name)).await;

    for bad in ["", "sg-1", &"a".repeat(256), "naïve"] {
        assert_eq!(create(bad).await.code(), "InvalidParameterValue", "{bad:?}");
    }
    assert_eq!(create("Frontend").await.code(), "InvalidGroup.Duplicate");
    let elsewhere = account.aws.seed_vpc(1);
    assert!(account.aws.create_security_group(&a_group(&elsewhere.id, "frontend")).await.is_ok());
}

#[tokio::test]
async fn descriptions_are_needed_short_and_plain() {
    let account = Account::new().await;
    let create = async |description: String| {
        let request =
            provider_aws::client::CreateSecurityGroup { description, ..a_group(&account.vpc.id, "web") };
        account.aws.create_security_group(&request).await
    };

    assert_eq!(create(String::new()).await.code(), "MissingParameter");
    assert_eq!(create("a".repeat(256)).await.code(), "InvalidParameterValue");
    assert_eq!(create("tab\there".to_owned()).await.code(), "InvalidParameterValue");
}

#[tokio::test]
async fn the_vpc_must_exist_and_groups_are_limited() {
    let account = Account::new().await;
    let absent = account.aws.create_security_group(&a_group("vpc-absent", "web")).await;
    assert_eq!(absent.code(), "InvalidVpcID.NotFound");

    account.aws.set_quotas(Quotas::with(|quotas| quotas.security_groups = 2));
    let one_more = account.aws.create_security_group(&a_group(&account.vpc.id, "web")).await;
    assert_eq!(one_more.code(), "SecurityGroupLimitExceeded");
}

#[tokio::test]
async fn a_rule_is_added_once_and_removed_once() {
    let account = Account::new().await;
    let (group, rules) = (&account.group, [from_anywhere(80)]);
    account.aws.authorize_security_group_ingress(group, &rules).await.unwrap();

    let again = account.aws.authorize_security_group_ingress(group, &rules).await;
    assert_eq!(again.code(), "InvalidPermission.Duplicate");
    let with_new = [from_anywhere(80), from_anywhere(81)];
    let partly = account.aws.authorize_security_group_ingress(group, &with_new).await;
    assert_eq!(partly.code(), "InvalidPermission.Duplicate");
    let partly = account.aws.revoke_security_group_ingress(group, &with_new).await;
    assert_eq!(partly.code(), "InvalidPermission.NotFound");

    account.aws.revoke_security_group_ingress(group, &rules).await.unwrap();
    let again = account.aws.revoke_security_group_ingress(group, &rules).await;
    assert_eq!(again.code(), "InvalidPermission.NotFound");
}

#[tokio::test]
async fn descriptions_do_not_make_a_rule_another_one() {
    let account = Account::new().await;
    let described = IngressRule { description: Some("ours".to_owned()), ..from_anywhere(80) };
    account.aws.authorize_security_group_ingress(&account.group, &[described]).await.unwrap();

    let other = IngressRule { description: Some("theirs".to_owned()), ..from_anywhere(80) };
    let again =
        account.aws.authorize_security_group_ingress(&account.group, std::slice::from_ref(&other)).await;
    assert_eq!(again.code(), "InvalidPermission.Duplicate");
    account.aws.revoke_security_group_ingress(&account.group, &[other]).await.unwrap();
}

#[tokio::test]
async fn a_range_is_kept_cut_to_its_prefix() {
    let account = Account::new().await;
    let with_host_bits = rule(80, RuleSource::Ipv4("10.1.2.3/8".parse().unwrap()));
    account.aws.authorize_security_group_ingress(&account.group, &[with_host_bits]).await.unwrap();

    let query = SecurityGroupQuery { ids: vec![account.group.clone()], ..Default::default() };
    let told = account.aws.describe_security_groups(&query, None).await.unwrap();
    assert_eq!(told.items[0].ingress[0].source, RuleSource::Ipv4("10.0.0.0/8".parse().unwrap()));
}

#[tokio::test]
async fn a_rule_named_twice_or_with_a_reversed_range_is_refused() {
    let account = Account::new().await;
    let twice = [from_anywhere(80), from_anywhere(80)];
    let mut reversed = from_anywhere(80);
    reversed.traffic = Traffic::Udp { from: 81, to: 80 };

    for bad in [&twice[..], &[reversed]] {
        let refused = account.aws.authorize_security_group_ingress(&account.group, bad).await;
        assert_eq!(refused.code(), "InvalidParameterValue");
    }
}

#[tokio::test]
async fn the_source_of_a_rule_must_exist() {
    let account = Account::new().await;
    for (source, code) in [
        (RuleSource::Group("sg-absent".to_owned()), "InvalidGroup.NotFound"),
        (RuleSource::PrefixList("pl-absent".to_owned()), "InvalidPrefixListId.NotFound"),
    ] {
        let refused = account.aws.authorize_security_group_ingress(&account.group, &[rule(80, source)]).await;
        assert_eq!(refused.code(), code);
    }
}

#[tokio::test]
async fn the_source_of_a_rule_is_of_the_same_vpc() {
    let account = Account::new().await;
    let elsewhere = account.aws.seed_vpc(1).node_group;
    let from_there = [rule(80, RuleSource::Group(elsewhere))];

    let refused = account.aws.authorize_security_group_ingress(&account.group, &from_there).await;
    assert_eq!(refused.code(), "InvalidGroup.NotFound");
    let from_here = [rule(80, RuleSource::Group(account.vpc.node_group.clone()))];
    account.aws.authorize_security_group_ingress(&account.group, &from_here).await.unwrap();
}

#[tokio::test]
async fn rules_are_limited_by_address_family_and_a_prefix_list_counts_as_its_entries() {
    let account = Account::new().await;
    let authorize = async |rules: &[IngressRule]| {
        account.aws.authorize_security_group_ingress(&account.group, rules).await
    };
    let sixty: Vec<IngressRule> = (1..=60).map(from_anywhere).collect();
    authorize(&sixty).await.unwrap();
    assert_eq!(authorize(&[from_anywhere(61)]).await.code(), "RulesPerSecurityGroupLimitExceeded");

    let ipv6 = |port| rule(port, RuleSource::Ipv6("::/0".parse().unwrap()));
    authorize(&[ipv6(80)]).await.unwrap();
    account.aws.revoke_security_group_ingress(&account.group, &sixty[..59]).await.unwrap();
    let list = account.aws.seed_prefix_list(60);
    let listed = [rule(80, RuleSource::PrefixList(list))];
    assert_eq!(authorize(&listed).await.code(), "RulesPerSecurityGroupLimitExceeded");
}

#[tokio::test]
async fn a_group_in_use_is_not_deleted() {
    let account = Account::new().await;
    let delete = async |id: &str| account.aws.delete_security_group(id).await;
    account.aws.seed_nodes(&account.vpc, 1);
    assert_eq!(delete(&account.vpc.node_group).await.code(), "DependencyViolation");

    let lb = account.load_balancer("web").await;
    assert_eq!(delete(&account.group).await.code(), "DependencyViolation");
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();

    let backend = [rule(30080, RuleSource::Group(account.group.clone()))];
    account.aws.authorize_security_group_ingress(&account.vpc.node_group, &backend).await.unwrap();
    assert_eq!(delete(&account.group).await.code(), "DependencyViolation");
    account.aws.revoke_security_group_ingress(&account.vpc.node_group, &backend).await.unwrap();

    delete(&account.group).await.unwrap();
    assert_eq!(delete(&account.group).await.code(), "InvalidGroup.NotFound");
}

#[tokio::test]
async fn a_group_may_refer_to_itself_and_still_be_deleted() {
    let account = Account::new().await;
    let own = [rule(80, RuleSource::Group(account.group.clone()))];
    account.aws.authorize_security_group_ingress(&account.group, &own).await.unwrap();

    account.aws.delete_security_group(&account.group).await.unwrap();
}

#[tokio::test]
async fn tags_are_limited_and_reserved_here_too() {
    let account = Account::new().await;
    let ids = [account.group.clone()];
    let many = (0..51).map(|n| (format!("k{n}"), String::new())).collect();

    assert_eq!(account.aws.create_tags(&ids, &many).await.code(), "TagLimitExceeded");
    let reserved = account.aws.create_tags(&ids, &tags(&[("aws:x", "1")])).await;
    assert_eq!(reserved.code(), "InvalidParameterValue");
    let starred = account.aws.create_tags(&ids, &tags(&[("cost*", "1")])).await;
    assert_eq!(starred.code(), "InvalidParameterValue");
    let absent = account.aws.create_tags(&["sg-absent".to_owned()], &tags(&[("k", "v")])).await;
    assert_eq!(absent.code(), "InvalidGroup.NotFound");
}

#[tokio::test]
async fn a_request_about_tags_of_groups_names_groups_and_tags_and_no_key_means_every_tag() {
    let account = Account::new().await;
    let ids = [account.group.clone()];

    assert_eq!(account.aws.create_tags(&[], &tags(&[("k", "v")])).await.code(), "MissingParameter");
    assert_eq!(account.aws.create_tags(&ids, &Tags::new()).await.code(), "MissingParameter");
    assert_eq!(account.aws.delete_tags(&[], &["k".to_owned()]).await.code(), "MissingParameter");
    account.aws.create_tags(&ids, &tags(&[("k", "v"), ("l", "w")])).await.unwrap();
    account.aws.delete_tags(&ids, &[]).await.unwrap();
    assert_eq!(super::account::group_tags(&account).await, Tags::new());
}

#[tokio::test]
async fn what_a_filter_does_not_find_is_left_out() {
    let account = Account::new().await;
    let query = SecurityGroupQuery {
        ids: vec![account.group.clone(), "sg-absent".to_owned()],
        ..SecurityGroupQuery::default()
    };
    let told = account.aws.describe_security_groups(&query, None).await.unwrap();
    assert_eq!(told.items.iter().map(|group| &group.id).collect::<Vec<_>>(), [&account.group]);

    let node = account.aws.seed_nodes(&account.vpc, 1).remove(0);
    let told = account.aws.describe_instances(&[node.clone(), "i-absent".to_owned()], None).await.unwrap();
    assert_eq!(told.items.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&node]);
}

#[tokio::test]
async fn subnets_are_found_by_vpc_and_tag() {
    let account = Account::new().await;
    account.aws.seed_vpc(1);
    let query = SubnetQuery {
        vpc_id: Some(account.vpc.id.clone()),
        tags: vec![TagFilter::equals("kubernetes.io/role/elb", "1")],
        ..SubnetQuery::default()
    };
    let told = account.aws.describe_subnets(&query, None).await.unwrap();

    assert_eq!(told.items.into_iter().map(|subnet| subnet.id).collect::<Vec<_>>(), account.vpc.public);
}

#[tokio::test]
async fn public_subnets_are_those_whose_routes_lead_to_an_internet_gateway() {
    let account = Account::new().await;
    let tables = account.aws.describe_route_tables(&account.vpc.id, None).await.unwrap();
    let public: Vec<String> = tables
        .items
        .into_iter()
        .filter(provider_aws::client::RouteTable::is_public)
        .flat_map(|table| table.subnet_ids)
        .collect();

    assert_eq!(public, account.vpc.public);
}

#[tokio::test]
async fn a_filter_has_two_hundred_values_at_most() {
    let account = Account::new().await;
    let ids: Vec<String> = (0..201).map(|n| format!("i-{n}")).collect();

    assert_eq!(account.aws.describe_instances(&ids, None).await.code(), "FilterLimitExceeded");
}
