//! A real browser without a window, spoken to over the pipe of its debugging protocol. It hears of
//! everything that goes wrong in a page: exceptions, messages of the console and of the policy, and
//! requests.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ssh_key::encoding::base64::{Base64, Encoding};

use crate::bed;

/// A machine that builds beside the tests is slow; a browser that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Browser {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    last: u64,
    /// What went wrong in the page since it was opened, and what it asked for.
    pub(crate) errors: Vec<String>,
    pub(crate) requests: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is no Chromium.
    pub(crate) fn start() -> Option<Self> {
        let chromium = bed::program("chromium").unwrap_or_else(|error| panic!("{error}"))?;
        let folder = tempfile::tempdir().unwrap();
        // It reads from its descriptor 3 and writes to 4. Without a sandbox, which containers
        // refuse to root: the pages are our own.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 >&2", "sh"])
            .arg(chromium)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-background-networking",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let to = process.stdin.take().expect("it is piped");
        let mut pipe = process.stdout.take().expect("it is piped");
        let (sender, from) = channel();
        thread::spawn(move || {
            let mut rest = Vec::new();
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                rest.extend_from_slice(&buffer[..read]);
                while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = rest.drain(..=end).collect();
                    let message = serde_json::from_slice(&message[..end]).expect("JSON");
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let mut browser = Self {
            process,
            to,
            from,
            session: String::new(),
            last: 0,
            errors: Vec::new(),
            requests: Vec::new(),
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach);
        let session = session["sessionId"].as_str().expect("a session");
        session.clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens a file, and waits until it is there with all that it loads.
    pub(crate) fn open(&mut self, file: &Path) {
        self.errors.clear();
        self.requests.clear();
        let url = format!("file://{}", file.display());
        self.say("Page.navigate", &json!({"url": url}));
        self.until(|message| message["method"] == "Page.loadEventFired");
        // What was said before is heard before the answer to this.
        self.evaluate("null");
    }

    /// How wide the screen is, and which colours its owner prefers.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!({
            "features": [{"name": "prefers-color-scheme", "value": scheme}]
        });
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let call = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &call);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// What is on the screen, as a PNG file.
    pub(crate) fn screenshot(&mut self, file: &Path) {
        let answer = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let data = answer["data"].as_str().expect("a picture");
        std::fs::write(file, Base64::decode_vec(data).unwrap()).unwrap();
    }

    /// The page as it is printed, by somebody who prefers dark screens.
    pub(crate) fn print(&mut self) {
        let print = json!({
            "media": "print",
            "features": [{"name": "prefers-color-scheme", "value": "dark"}],
        });
        self.call("Emulation.setEmulatedMedia", &print);
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let id = self.say(method, parameters);
        let answer = self.until(|message| message["id"] == id);
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    fn say(&mut self, method: &str, parameters: &Value) -> u64 {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        self.last
    }

    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.from.recv_timeout(left).expect("the browser answers");
            self.hear(&message);
            if is_it(&message) {
                return message;
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.errors.push(parameters.to_string()),
            "Runtime.consoleAPICalled" => self.errors.push(parameters["args"].to_string()),
            "Log.entryAdded" => self.errors.push(parameters["entry"]["text"].to_string()),
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The tests of the page stand on this.
#[test]
fn what_goes_wrong_in_a_page_is_heard() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">";
    for (page, error) in [
        ("<p>fine", None),
        (
            "<script>nonsense()</script>",
            Some("nonsense is not defined"),
        ),
        (
            "<script>console.error('bad news')</script>",
            Some("bad news"),
        ),
        (
            &*format!("{policy}<script>1</script>"),
            Some("Content Security Policy"),
        ),
        (
            &*format!("{policy}<p style='color:red'>"),
            Some("Content Security Policy"),
        ),
        (
            &*format!("{policy}<p onclick='x()'>"),
            Some("Content Security Policy"),
        ),
    ] {
        std::fs::write(&file, format!("<!doctype html><meta charset=utf-8>{page}")).unwrap();
        browser.open(&file);
        match error {
            None => assert_eq!(browser.errors, Vec::<String>::new(), "{page}"),
            Some(error) => assert!(
                browser.errors.iter().any(|heard| heard.contains(error)),
                "{page}: {:?}",
                browser.errors
            ),
        }
    }
    std::fs::write(&file, "<img src=other.png>").unwrap();
    browser.open(&file);
    assert_eq!(browser.requests.len(), 2, "{:?}", browser.requests);
}
