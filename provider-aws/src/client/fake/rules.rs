//! Rules on names, tags and remarks.

use super::{
    super::{ARNS_PER_CALL, FILTER_VALUES, Tags},
    refusal::{Answered, Refusal, refuse},
};

/// ELBv2's code for a request that is malformed.
pub(super) const MALFORMED: &str = "ValidationError";
/// ELBv2's code for a configuration that cannot be.
pub(super) const IMPOSSIBLE: &str = "InvalidConfigurationRequest";
/// EC2's code for a parameter that is malformed.
pub(super) const BAD_PARAMETER: &str = "InvalidParameterValue";

pub(super) fn load_balancer_name(name: &str) -> Answered<()> {
    if name.starts_with("internal-") {
        return refuse(MALFORMED, format!("The load balancer name '{name}' cannot begin with 'internal-'"));
    }
    elb_name("load balancer", name)
}

pub(super) fn target_group_name(name: &str) -> Answered<()> {
    elb_name("target group", name)
}

fn elb_name(kind: &str, name: &str) -> Answered<()> {
    if name.is_empty() || name.len() > 32 {
        return refuse(MALFORMED, format!("The {kind} name '{name}' must have 1 to 32 characters"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return refuse(
            MALFORMED,
            format!("The {kind} name '{name}' can only contain letters, digits and hyphens"),
        );
    }
    if name.starts_with('-') || name.ends_with('-') {
        return refuse(MALFORMED, format!("The {kind} name '{name}' cannot begin or end with a hyphen"));
    }
    Ok(())
}

pub(super) fn security_group_name(name: &str) -> Answered<()> {
    remark("group name", name)?;
    if name.is_empty() || name.starts_with("sg-") {
        return refuse(BAD_PARAMETER, format!("The group name '{name}' is empty or begins with 'sg-'"));
    }
    Ok(())
}

/// Text as EC2 allows it in the name and description of a security group and of a rule.
pub(super) fn remark(what: &str, text: &str) -> Answered<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.len() > 255 || !text.chars().all(allowed) {
        return refuse(
            BAD_PARAMETER,
            format!("Invalid {what} '{text}': too long, or characters not allowed"),
        );
    }
    Ok(())
}

/// Tags of an ELBv2 resource, all it is to have.
pub(super) fn elb_tags(tags: &Tags, most: usize) -> Answered<()> {
    if tags.len() > most {
        return refuse("TooManyTags", format!("{} tags; at most {most}", tags.len()));
    }
    tag_texts(tags).map_err(|message| Refusal { code: MALFORMED, message })
}

/// Tags of an EC2 resource, all it is to have.
pub(super) fn ec2_tags(tags: &Tags, most: usize) -> Answered<()> {
    if tags.len() > most {
        return refuse("TagLimitExceeded", format!("{} tags; at most {most}", tags.len()));
    }
    tag_texts(tags).map_err(|message| Refusal { code: BAD_PARAMETER, message })
}

fn tag_texts(tags: &Tags) -> Result<(), String> {
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(format!("The tag key '{key}' must have 1 to 128 characters"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(format!("The tag key '{key}' is reserved"));
        }
        if value.chars().count() > 256 {
            return Err(format!("The value of tag '{key}' must have at most 256 characters"));
        }
        if let Some(c) = key.chars().chain(value.chars()).find(|c| !is_of_a_tag(*c)) {
            return Err(format!("The tag '{key}' has the character {c:?}, which is not allowed"));
        }
    }
    Ok(())
}

/// What tags are made of: `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$` (*Tag* in the ELBv2 API reference; *Tag restrictions* in
/// the EC2 user guide have the same characters). Marks, which no test uses, are taken for letters here.
fn is_of_a_tag(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// A list that AWS requires has something in it.
pub(super) fn at_least_one(what: &str, count: usize) -> Answered<()> {
    match count {
        0 => refuse(MALFORMED, format!("At least one {what} must be specified")),
        _ => Ok(()),
    }
}

/// No word of AWS's says that tags of several kinds of resources may be asked for in one request: assumed not.
pub(super) fn of_one_kind(arns: &[String]) -> Answered<()> {
    let kind =
        |arn: &String| arn.split(':').nth(5).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    match arns.iter().all(|arn| kind(arn) == kind(&arns[0])) {
        true => Ok(()),
        false => refuse(MALFORMED, "Resources of several kinds are named in one request"),
    }
}

pub(super) fn at_most_twenty(items: &[String]) -> Answered<()> {
    if items.len() > ARNS_PER_CALL {
        return refuse(MALFORMED, format!("{} resources named; at most {ARNS_PER_CALL}", items.len()));
    }
    Ok(())
}

pub(super) fn filter_values(values: &[String]) -> Answered<()> {
    if values.len() > FILTER_VALUES {
        let message = format!("{} values in a filter; at most {FILTER_VALUES}", values.len());
        return refuse("FilterLimitExceeded", message);
    }
    Ok(())
}
