//! Bad input: one clear line, and the documented exit code.

use tests::cluster::Cluster;
use tests::rights::Rights;

use super::process::{Access, Program, Said, command, define, finish};

/// The one line that it ended with.
#[track_caller]
fn line(said: &Said, code: i32) -> &str {
    assert_eq!(said.code, Some(code), "{said:?}");
    let lines: Vec<&str> = said.errors.lines().collect();
    assert_eq!(lines.len(), 1, "{said:?}");
    lines[0].strip_prefix("cloud-lb-controller: ").expect("the program's name in front")
}

#[tokio::test]
async fn bad_flags_are_one_line_and_code_64() {
    for (arguments, says) in [
        (
            &["--leader-elekt"][..],
            "unexpected argument '--leader-elekt' found; tip: a similar argument exists: '--leader-elect'",
        ),
        (&["--verify-interval=soon"], "\"soon\" is not a duration; write it as 300ms, 15s, 5m or 1h30m"),
        (&["--cloud-provider=tin"], "invalid value 'tin' for '--cloud-provider"),
        (
            &["--bare-class=,my.example/lb"],
            "\",my.example/lb\" is no class that a Service can have; allowed: a name",
        ),
        (&["--leader-elect-resource-lock=endpoints"], "the only lock there is here is leases"),
        (&["--http-address=everywhere"], "\"everywhere\" is not an address with a port"),
        (&["--log-level=shout=loud"], "--log-level: \"shout=loud\" is no log filter"),
        (
            &["--log-level=warning"],
            "--log-level: \"warning\" is no log filter (\"warning\" is no level; did you mean \"warn\"?)",
        ),
        (&["--log-level=inof"], "--log-level: \"inof\" is no log filter (\"inof\" is no level)"),
        (&["--secure-port=10258"], "take the flag away, and say where by --http-address"),
        (
            &["--controllers=-service"],
            "the controller of Services is the one there is here, and this switches it off",
        ),
        (
            &["--cloud-provider=bare", "plan"],
            "what is to be planned? Give NAMESPACE/NAME, or -f FILE, or --all, which -n NAMESPACE narrows",
        ),
        (
            &["--aws-rate-elb-read=fast"],
            "\"fast\" is not a rate; write requests a second (0.01 to 1000), a colon",
        ),
        (&["--aws-rate-ec2-write=0:50"], "\"0:50\" is not a rate"),
        (&["run"], "--cloud-provider is missing"),
        (&["--cloud-provider=bare", "--kubeconfig=/none"], "--kubeconfig /none: "),
        (&["--master=https://elsewhere"], "unexpected argument '--master' found"),
    ] {
        let mut command = command("cloud-lb-controller");
        command.args(arguments);
        let said = finish(command).await;
        assert!(line(&said, 64).contains(says), "{arguments:?}: {}", said.errors);
    }
}

#[tokio::test]
async fn a_bad_file_of_flags_is_one_line_that_names_it_and_code_64() {
    let access = Access::with("");
    for (text, says) in [
        ("leader-elekt: true\n", "unknown key \"leader-elekt\"; did you mean \"leader-elect\"?"),
        ("- a list\n", "not a map of flags"),
        ("verify-interval: soon\n", "flags.yaml: verify-interval: invalid value 'soon'"),
        ("cloud-provider: [bare, tin]\n", "flags.yaml: cloud-provider: invalid value 'tin'"),
        (
            "verify-interval: {minutes: 5}\n",
            "flags.yaml: verify-interval: {\"minutes\":5} is no value of a flag",
        ),
    ] {
        let file = access.file("flags.yaml", text);
        let mut command = command("cloud-lb-controller");
        command.arg("--config").arg(&file);
        let said = finish(command).await;
        assert!(line(&said, 64).contains(says), "{text:?}: {}", said.errors);
    }
}

/// A kubeconfig for a port that nobody listens on.
fn nowhere() -> Access {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    Access::with(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    ))
}

#[tokio::test]
async fn an_unreachable_api_server_is_said_to_be_so() {
    let access = nowhere();
    let said = access.output(&["plan", "--all", "--cloud-provider=bare"]).await;
    assert!(line(&said, 1).starts_with("listing Services: "), "{said:?}");

    let said = access.output(&["doctor", "--cloud-provider=bare"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.output.starts_with("fail  api-server     no answer: "), "{said:?}");
    assert!(said.output.contains("onnection refused"), "{said:?}");

    // It waits: a control plane that restarts is no reason for a crash loop.
    let mut program = Program::start(&access, &[]);
    program.until_it_says("the watch on services fails and is tried again: the list failed: ").await;
    program.until_it_says("onnection refused").await;
    assert!(!program.has_ended());
}

#[tokio::test]
async fn a_provider_that_has_to_ask_an_unreachable_api_server_waits_for_it() {
    let access = nowhere();
    let aws = |arguments: &[&str]| {
        let mut command = access.command(arguments);
        command.envs([("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")]);
        command
    };
    let said = finish(aws(&["orphans", "--cloud-provider=aws"])).await;
    assert!(line(&said, 1).starts_with("listing Nodes: "), "{said:?}");

    let mut program =
        Program::spawn(aws(&["--cloud-provider=aws", "--leader-elect=false", "--http-address="]));
    program.until_it_says("waiting for the API server: listing Nodes: ").await;
    assert!(!program.has_ended());
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0), "{}", program.log());
}

#[tokio::test]
async fn without_a_region_aws_is_not_asked_for_anything() {
    let access = nowhere();
    let mut command = access.command(&["--cloud-provider=aws", "--http-address="]);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let said = finish(command).await;
    assert_eq!(said.code, Some(64), "{said:?}");
    // The lines before it are the log's.
    let last = said.errors.lines().last().expect("a line");
    assert!(last.starts_with("cloud-lb-controller: no AWS region: "), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_said_to_be_so() {
    let cluster = Cluster::start().await;
    define(&cluster).await;
    let access = Access::with(&cluster.plane.kubeconfig_yaml_as("weak"));

    let said = access.output(&["plan", "--all", "--cloud-provider=bare"]).await;
    assert!(line(&said, 1).contains("cannot list resource \"services\""), "{said:?}");

    // Who cannot list says so, and does not contend.
    let program = Program::start(&access, &[]);
    program.until_it_says("cannot list resource \"services\"").await;
    let lists_only = ["services", "nodes"].into_iter().fold(Rights::granted(&[]), |rights, resource| {
        rights.and("list", "", resource).and("watch", "", resource)
    });
    let access = Access::with(&cluster.kubeconfig_with(lists_only));
    let program = Program::start(&access, &[]);
    program.until_it_says("the role needs get, create and update on leases").await;
}
