//! Lists of the Kubernetes API: page by page, item by item. Of what nobody wants nothing is kept, and
//! what cannot be read is a trouble of its own.

use kube::core::params::ListParams;
use kube::core::request::Request;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Cluster, Error, Scope, built, path};
use crate::objects::Kind;

/// Objects of a page, as many as the API server's own controllers ask for.
const PAGE: u32 = 500;

/// A list that is read again from the start this often has a server that cannot keep a snapshot.
const RESTARTS_MAX: u32 = 3;

/// An object of a list. One that cannot be read is a trouble of its own, and not of the list.
#[derive(Debug)]
pub struct Listed {
    pub namespace: String,
    pub name: String,
    /// The object, or what is wrong with it.
    pub object: Result<Value, String>,
}

impl Listed {
    /// The object, for whoever needs all of them; what is wrong with it, by its name.
    pub fn whole(self) -> Result<Value, String> {
        let Self {
            namespace,
            name,
            object,
        } = self;
        object.map_err(|why| format!("{namespace}/{name} cannot be read: {why}"))
    }

    /// Reads the name first, and the rest where it is wanted.
    fn read(
        item: &RawValue,
        scope: &Scope,
        is_wanted: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Option<Self> {
        let head: Head = serde_json::from_str(item.get()).unwrap_or_default();
        let Metadata { namespace, name } = head.metadata;
        let namespace = match scope {
            // Nothing else was asked for, whatever an item says.
            Scope::Namespace(asked) => asked.clone(),
            Scope::Cluster => namespace,
        };
        is_wanted(&namespace, &name).then(|| Self {
            object: serde_json::from_str(item.get()).map_err(|error| error.to_string()),
            namespace,
            name,
        })
    }
}

/// A page of a list: its items are read one by one.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    r#continue: Option<String>,
}

/// As much of an object as tells whose it is.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

impl Cluster {
    /// Every object of a kind, consistent and most recent: never from a cache of any age.
    pub async fn list(
        &self,
        kind: &Kind,
        scope: &Scope,
        selector: Option<&str>,
    ) -> Result<Vec<Listed>, Error> {
        self.pages(kind, scope, selector, false, &|_, _| true).await
    }

    /// Those objects of a kind whose namespace and name are wanted, or their metadata alone where
    /// contents are large and rarely needed. Of the others nothing is kept: a large cluster has much
    /// that is nobody's.
    pub async fn list_wanted(
        &self,
        kind: &Kind,
        scope: &Scope,
        metadata_only: bool,
        is_wanted: impl Fn(&str, &str) -> bool + Sync,
    ) -> Result<Vec<Listed>, Error> {
        self.pages(kind, scope, None, metadata_only, &is_wanted)
            .await
    }

    async fn pages(
        &self,
        kind: &Kind,
        scope: &Scope,
        selector: Option<&str>,
        metadata_only: bool,
        is_wanted: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Result<Vec<Listed>, Error> {
        let request = Request::new(path(kind, scope)?);
        let mut restarts = 0;
        let mut objects = Vec::new();
        let mut limit = PAGE;
        let mut params = ListParams {
            label_selector: selector.map(str::to_owned),
            ..ListParams::default()
        };
        loop {
            params.limit = Some(limit);
            let request = if metadata_only {
                request.list_metadata(&params)
            } else {
                request.list(&params)
            };
            let page = match self.body(built(request)?).await {
                // The token is from a snapshot that is gone; a newer one would mix two.
                Err(Error::Refused { code: 410, .. }) if restarts < RESTARTS_MAX => {
                    restarts += 1;
                    objects.clear();
                    params.continue_token = None;
                    continue;
                }
                // Some objects are large: a page of fewer may be read.
                Err(Error::TooLarge(_)) if limit > 1 => {
                    limit = limit.div_ceil(2);
                    continue;
                }
                page => page?,
            };
            let page: Page<'_> = serde_json::from_slice(&page).map_err(|error| {
                let what = if error.is_data() { "a list" } else { "JSON" };
                Error::Unanswered(format!("not {what}: {error}"))
            })?;
            let items = page.items.into_iter();
            objects.extend(items.filter_map(|item| Listed::read(item, scope, is_wanted)));
            match page.metadata.r#continue {
                Some(token) if !token.is_empty() => params.continue_token = Some(token),
                _ => return Ok(objects),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{Request, Response};
    use tower::service_fn;

    use super::{Cluster, Error, Scope};
    use crate::io::{Wire, WireError, wire};
    use crate::objects::CONFIG_MAP;

    /// A cluster that answers by a function of the query, and the queries that it was asked.
    fn cluster(
        answer: impl Fn(&str) -> Result<Response<Bytes>, WireError> + Clone + Send + Sync + 'static,
    ) -> (Cluster, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let queries = asked.clone();
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            queries.lock().unwrap().push(query.clone());
            std::future::ready(answer(&query))
        }));
        (Cluster::new(wire::kube_client(&wire)), asked)
    }

    fn page(items: &[String], token: &str) -> Response<Bytes> {
        let items = items.join(",");
        let body = format!(r#"{{"metadata":{{"continue":"{token}"}},"items":[{items}]}}"#);
        Response::new(Bytes::from(body))
    }

    fn item(namespace: &str, name: &str, data: &str) -> String {
        let metadata = format!(r#"{{"namespace":"{namespace}","name":"{name}"}}"#);
        format!(r#"{{"data":{data},"metadata":{metadata}}}"#)
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_read_is_a_trouble_of_its_own() {
        let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
        let items = [
            item("a", "good", "{}"),
            item("a", "deep", &deep),
            item("b", "nobodys", &deep),
            "7".to_owned(),
        ];
        let (cluster, _) = cluster(move |_| Ok(page(&items, "")));
        let listed = cluster
            .list_wanted(&CONFIG_MAP, &Scope::Cluster, false, |namespace, _| {
                namespace == "a"
            })
            .await
            .unwrap();
        let told: Vec<_> = listed
            .iter()
            .map(|listed| (&*listed.name, listed.object.is_ok()))
            .collect();
        assert_eq!(told, [("good", true), ("deep", false)]);
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_by_halves() {
        let (cluster, asked) = cluster(|query| {
            if query.contains("limit=500") || query.contains("limit=250") {
                return Err(WireError::TooLarge("too large".to_owned()));
            }
            Ok(if query.contains("continue=next") {
                page(&[item("a", "two", "{}")], "")
            } else {
                page(&[item("a", "one", "{}")], "next")
            })
        });
        let listed = cluster.list(&CONFIG_MAP, &Scope::Cluster, None).await;
        assert_eq!(listed.unwrap().len(), 2);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(
            asked,
            [
                "&limit=500",
                "&limit=250",
                "&limit=125",
                "&limit=125&continue=next"
            ]
        );
    }

    #[tokio::test]
    async fn one_object_that_is_too_large_ends_the_list_and_says_so() {
        let (cluster, asked) = cluster(|_| Err(WireError::TooLarge("too large".to_owned())));
        let listed = cluster.list(&CONFIG_MAP, &Scope::Cluster, None).await;
        assert_eq!(listed.unwrap_err(), Error::TooLarge("too large".to_owned()));
        assert_eq!(asked.lock().unwrap().len(), 10);
    }

    #[tokio::test]
    async fn a_server_that_is_busy_says_for_how_long() {
        let (cluster, _) = cluster(|_| {
            let answer = Response::builder().status(429).header("Retry-After", "3");
            Ok(answer
                .body(Bytes::from_static(b"{\"message\":\"later\"}"))
                .unwrap())
        });
        let listed = cluster.list(&CONFIG_MAP, &Scope::Cluster, None).await;
        let busy = Error::Busy {
            seconds: 3,
            message: "later".to_owned(),
        };
        assert_eq!(listed.unwrap_err(), busy);
    }
}
