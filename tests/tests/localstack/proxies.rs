//! The program behind proxies: that of a kubeconfig on its way to the API server, that of the environment to AWS.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use kube::config::Kubeconfig;
use tests::aws::{Endpoint, StrictAws};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::Fixture;
use crate::program::Access;

/// A proxy that leads wherever it is asked to (`CONNECT`), and remembers where that was.
struct Gate {
    url: String,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let targets: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = targets.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead(client, seen.clone()));
            }
        });
        Gate { url, targets }
    }

    fn targets(&self) -> Vec<String> {
        self.targets.lock().expect("no panic").clone()
    }
}

async fn lead(mut client: TcpStream, targets: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    targets.lock().expect("no panic").push(target.to_owned());
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        // It ends when either side does, which is no concern of a proxy's.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

#[tokio::test]
async fn the_way_to_the_api_server_leads_through_the_proxy_of_the_kubeconfig() {
    let fixture = Fixture::start().await;
    let gate = Gate::open().await;
    let mut kubeconfig =
        Kubeconfig::from_yaml(&fixture.cluster.plane.kubeconfig_yaml()).expect("a kubeconfig");
    let cluster = kubeconfig.clusters[0].cluster.as_mut().expect("a cluster");
    cluster.proxy_url = Some(gate.url.clone());
    let server = cluster.server.clone().expect("a server").replace("https://", "");
    let access = Access::with(&fixture, &serde_json::to_string(&kubeconfig).expect("JSON, which is YAML"));

    // What NO_PROXY says is for proxies of the environment.
    let said = access.run(&["doctor", "--cloud-provider=bare"], &[("NO_PROXY", "127.0.0.1")]).await;
    assert!(said.output.contains("ok    api-server"), "{said:?}");
    assert!(gate.targets().contains(&server), "{:?}", gate.targets());
}

#[tokio::test]
async fn the_way_to_aws_leads_through_the_proxy_of_the_environment_and_past_it_where_it_says_so() {
    let emulator = Endpoint::start().await;
    let fixture = Fixture::at(emulator.clone()).await;
    let proxy = StrictAws::before(&emulator.url).await;
    let access = Access::to(&fixture);
    // A name that only the proxy can make something of.
    let far = ("AWS_ENDPOINT_URL", "http://aws.example.test");

    let through = access.run(&["doctor", "--cloud-provider=aws"], &[far, ("HTTP_PROXY", proxy.url())]).await;
    assert!(through.output.contains("AWS accepts them and lists load balancers"), "{through:?}");
    let asked = proxy.count("DescribeLoadBalancers");
    assert!(asked > 0);

    let past = [far, ("HTTP_PROXY", proxy.url()), ("NO_PROXY", ".example.test")];
    let said = access.run(&["doctor", "--cloud-provider=aws"], &past).await;
    assert!(said.output.contains("AWS cannot be asked"), "{said:?}");
    assert_eq!(proxy.count("DescribeLoadBalancers"), asked);
}
