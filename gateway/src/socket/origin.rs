//! Which web pages may open the agent socket.

use actix_web::http::header::{self, HeaderMap};

/// Pages of these origins, and those that come from the very host they connect to.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    /// Lower case, without a slash at the end.
    allowed: Vec<String>,
}

impl Origins {
    pub(super) const fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    /// Programs send no `Origin`; browsers always do.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        origin.to_str().is_ok_and(|origin| self.allows(origin, host))
    }

    fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.trim_end_matches('/').to_ascii_lowercase();
        if self.allowed.contains(&origin) {
            return true;
        }
        // Behind a proxy that speaks TLS the scheme is not known here; host and port are.
        let page = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_pages_and_listed_ones_and_no_others() {
        let origins = Origins::new(vec!["https://desk.example.com".to_owned()]);
        let host = Some("usher.example.com:8480");
        for (origin, allowed) in [
            ("https://desk.example.com", true),
            ("https://DESK.example.com/", true),
            ("http://desk.example.com", false),
            ("https://usher.example.com:8480", true),
            ("http://Usher.example.com:8480", true),
            ("https://usher.example.com", false),
            ("https://evil.example.com", false),
            ("https://desk.example.com.evil.example.com", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.allows(origin, host), allowed, "{origin}");
        }
        assert!(!origins.allows("https://usher.example.com:8480", None));
    }
}
