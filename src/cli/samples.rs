//! Configurations for the tests of the commands.

use crate::config::{self, Config};

pub const MINIMAL: &str = r#"
[listen.web]
address = "127.0.0.1:8080"

[pool.app]
algorithm = "round_robin"
backends = ["10.0.0.1:80"]

[[route]]
pool = "app"
"#;

pub const TEXT: &str = r#"
[listen.web]
address = "0.0.0.0:8080"
trusted_proxies = ["10.0.0.0/8"]

[listen.inside]
address = "127.0.0.1:8081"

[pool.app]
algorithm = "least_connections"
backends = ["10.0.0.1:80"]

[pool.api]
algorithm = "p2c"
backends = ["10.0.1.1:80", { address = "10.0.1.2:80", weight = 3 }]

[[route]]
name = "all"
pool = "app"

[[route]]
name = "api"
path = "/api/*"
pool = "api"

[[route]]
name = "team"
path = "/api/*"
method = ["GET", "HEAD"]
header = { x-team = "a" }
pool = "api"
rewrite = { strip_prefix = "/api" }

[[route]]
name = "exact"
path = "/api/exact"
query = { v = "2" }
cookie = { beta = "1" }
pool = "app"

[[route]]
name = "moved"
host = ["example.com", "*.example.com"]
redirect = { to = "https://example.org/", status = 308 }

[[route]]
name = "health"
listen = "inside"
path = "/health"
respond = { status = 200, body = "fine" }

[[route]]
name = "deletes"
method = "DELETE"
priority = 7
pool = "app"
"#;

pub fn config() -> Config {
    config::parse(TEXT, "sample").unwrap_or_else(|report| panic!("{report}")).0
}
