//! The API server by way of somebody who writes each kind of object once, just before Davy does:
//! so that every right that a conflict asks for is asked for in a run of a minute.
use std::{
    collections::BTreeSet,
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::net::TcpListener;

use super::stage::Stage;

/// A kubeconfig that leads through the meddler, as this `ServiceAccount`.
pub(super) async fn kubeconfig(stage: &Stage, account: &str) -> PathBuf {
    let cluster = stage.cluster;
    let direct = cluster
        .kubeconfig_for_service_account(&stage.namespace, account)
        .await;
    let read = Kubeconfig::read_from(&direct).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let davy = Client::try_from(config.expect("a configuration")).expect("a client");
    let (somebody, meddled) = (cluster.client(), Arc::new(Mutex::new(BTreeSet::new())));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (davy, somebody, meddled) = (davy.clone(), somebody.clone(), meddled.clone());
            let answer = service_fn(move |request| {
                let (davy, somebody, meddled) = (davy.clone(), somebody.clone(), meddled.clone());
                async move { Ok::<_, Infallible>(answer(&davy, &somebody, &meddled, request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
        }
    });
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "davy", "user": {}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "davy"}}],
        "current-context": "bed",
    });
    let path = direct.with_extension("meddled");
    std::fs::write(&path, text.to_string()).expect("a file");
    path
}

async fn answer(
    davy: &Client,
    somebody: &Client,
    meddled: &Mutex<BTreeSet<String>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    if parts.method == Method::PATCH {
        let path = parts.uri.path();
        let object = path.strip_suffix("/status").unwrap_or(path);
        let collection = path
            .rsplit_once(object_name(object))
            .map_or(path, |(it, _)| it);
        let first = meddled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection.to_owned());
        if first {
            touch(somebody, object).await;
        }
    }
    // The client brings its own.
    parts.headers.remove(http::header::HOST);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    match davy
        .send(Request::from_parts(parts, Body::from(body)))
        .await
    {
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            let body = body.collect().await.expect("an answer").to_bytes();
            parts.headers.remove(http::header::CONTENT_LENGTH);
            parts.headers.remove(http::header::TRANSFER_ENCODING);
            Response::from_parts(parts, Full::new(body))
        }
        Err(error) => {
            let mut response = Response::new(Full::from(error.to_string()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

fn object_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// An annotation, which changes the resourceVersion and nothing that matters.
async fn touch(somebody: &Client, object: &str) {
    let patch = json!({"metadata": {"annotations": {"bed/meddled": "yes"}}});
    let request = Request::patch(object)
        .header("Content-Type", "application/merge-patch+json")
        .body(Body::from(patch.to_string().into_bytes()))
        .expect("a request");
    let response = somebody.send(request).await.expect("an answer");
    assert!(response.status().is_success(), "{object}: {response:?}");
}
