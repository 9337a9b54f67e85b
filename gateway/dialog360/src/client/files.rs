//! Fetches and uploads media; the key goes to our base and nowhere else.

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Url};

use super::{
    Answer, CallError, Client, Endpoint, exchange, refusal, success, unexpected, with_json,
};
use crate::media::{self, DigestCheck};

/// The host that media addresses name, and that stands for our base.
const LOOKASIDE: &str = "https://lookaside.fbsbx.com";

const REDIRECTS_MAX: usize = 3;

/// What the provider knows about a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaInfo {
    /// Good for 5 minutes.
    pub url: String,
    pub mime_type: Option<String>,
    pub sha256: Option<String>,
    pub size: Option<u64>,
}

/// A file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Download {
    pub bytes: Bytes,
    pub mime_type: Option<String>,
    /// A file that differs is handed out all the same: the forms of digests are not certain.
    pub digest: DigestCheck,
}

impl Client {
    pub async fn media_info(&self, media_id: &str) -> Result<MediaInfo, CallError> {
        let path = media_path(media_id)?;
        let answer = self.call(self.request(Method::GET, &path)).await?;
        let info = with_json(&answer, |node| {
            Some(MediaInfo {
                url: node.get("url").text()?,
                mime_type: node.get("mime_type").text(),
                sha256: node.get("sha256").text(),
                size: node.get("file_size").whole().and_then(|size| u64::try_from(size).ok()),
            })
        });
        info.ok_or_else(|| unexpected(&answer))
    }

    /// Downloads from an address of [`media_info`](Self::media_info) or of a webhook, which is
    /// rewritten to our base.
    pub async fn download(
        &self,
        url: &str,
        size_max: u64,
        sha256: Option<&str>,
    ) -> Result<Download, CallError> {
        let mut url = self.endpoint.media_url(url)?;
        for _ in 0..REDIRECTS_MAX {
            let answer = self.get_file(&url, size_max).await?;
            if let (300..400, Some(location)) = (answer.http_status, &answer.location) {
                url = self.endpoint.media_url(location)?;
                continue;
            }
            // A file may be JSON itself, so only the status speaks here.
            if !(200..300).contains(&answer.http_status) {
                return Err(refusal(&answer));
            }
            return Ok(Download {
                digest: media::check_digest(&answer.body, sha256),
                bytes: answer.body,
                mime_type: answer.content_type,
            });
        }
        Err(CallError::ForeignHost)
    }

    async fn get_file(&self, url: &str, size_max: u64) -> Result<Answer, CallError> {
        let request = self.request_to(Method::GET, url).timeout(self.http.transfer_timeout);
        exchange(request, size_max).await
    }

    /// Looks a file up and downloads it. An address that ran out in between is asked for once
    /// more; nothing else is tried again, because 20 errors in an hour block the endpoint.
    pub async fn fetch_media(&self, media_id: &str, size_max: u64) -> Result<Download, CallError> {
        let info = self.media_info(media_id).await?;
        match self.download_known(&info, size_max).await {
            Err(CallError::Refused(failure)) if failure.http_status == 404 => {
                let info = self.media_info(media_id).await?;
                self.download_known(&info, size_max).await
            }
            done => done,
        }
    }

    async fn download_known(&self, info: &MediaInfo, size_max: u64) -> Result<Download, CallError> {
        if info.size.is_some_and(|size| size > size_max) {
            return Err(CallError::TooLarge { limit: size_max });
        }
        let mut download = self.download(&info.url, size_max, info.sha256.as_deref()).await?;
        // What the provider says of the file is truer than the header of a file server.
        download.mime_type = info.mime_type.clone().or(download.mime_type);
        Ok(download)
    }

    /// Uploads a file that fits its kind; the id is good for 30 days.
    pub async fn upload(
        &self,
        kind: media::Kind,
        mime_type: &str,
        filename: &str,
        bytes: Bytes,
    ) -> Result<String, CallError> {
        let size = bytes.len() as u64;
        media::check(kind, mime_type, size)?;
        let part = Part::stream_with_length(bytes, size)
            .file_name(filename.to_owned())
            .mime_str(mime_type)
            .map_err(|_| media::Unfit::Type { kind, allowed: kind.types() })?;
        let form = Form::new().text("messaging_product", "whatsapp").part("file", part);
        let request = self
            .request(Method::POST, "/media")
            .timeout(self.http.transfer_timeout)
            .multipart(form);
        let answer = self.call(request).await?;
        with_json(&answer, |node| node.get("id").text()).ok_or_else(|| unexpected(&answer))
    }

    pub async fn delete_media(&self, media_id: &str) -> Result<(), CallError> {
        let path = media_path(media_id)?;
        success(exchange(self.request(Method::DELETE, &path), super::ANSWER_BYTES_MAX).await?)?;
        Ok(())
    }
}

/// An id becomes a path, so it may not hold anything that changes one.
fn media_path(media_id: &str) -> Result<String, CallError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if media_id.is_empty() || !media_id.bytes().all(legal) {
        return Err(CallError::MediaId);
    }
    Ok(format!("/{media_id}"))
}

impl Endpoint {
    /// Moves a media address to our base, its path and query byte for byte.
    fn media_url(&self, url: &str) -> Result<String, CallError> {
        let rest = [LOOKASIDE, &self.base]
            .into_iter()
            .find_map(|host| url.strip_prefix(host))
            .or_else(|| url.starts_with('/').then_some(url))
            // `…fbsbx.com.evil.example` and `…fbsbx.com@evil.example` begin with the host too.
            .filter(|rest| rest.starts_with(['/', '?']) && !rest.starts_with("//"))
            .ok_or(CallError::ForeignHost)?;
        let moved = format!("{}{rest}", self.base);
        let origin = |url: &str| Url::parse(url).map(|url| url.origin());
        match (origin(&moved), origin(&self.base)) {
            (Ok(there), Ok(ours)) if there == ours => Ok(moved),
            _ => Err(CallError::ForeignHost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, url: &str, expected: Option<&str>) {
        let moved = Endpoint::new(base).unwrap().media_url(url).ok();
        assert_eq!(moved.as_deref(), expected, "{url}");
    }

    #[test]
    fn addresses_move_to_our_base_unchanged() {
        let rest = "/whatsapp_business/attachments/?mid=13%2F3&ext=17+1&hash=ARs_-=~";
        for base in ["https://waba-v2.360dialog.io", "http://127.0.0.1:8080", "http://d360:80/a"] {
            let expected = format!("{base}{rest}");
            check(base, &format!("https://lookaside.fbsbx.com{rest}"), Some(&expected));
            check(base, &expected, Some(&expected));
            check(base, rest, Some(&expected));
        }
        check("https://x.io/", "https://lookaside.fbsbx.com/a", Some("https://x.io/a"));
    }

    #[test]
    fn no_other_host_ever_gets_the_key() {
        for url in [
            "https://evil.example/whatsapp_business/attachments/?mid=1",
            "https://lookaside.fbsbx.com.evil.example/a",
            "https://lookaside.fbsbx.com@evil.example/a",
            "https://lookaside.fbsbx.com:8443/a",
            "http://lookaside.fbsbx.com/a",
            "https://waba-v2.360dialog.io.evil.example/a",
            "//evil.example/a",
            "ftp://lookaside.fbsbx.com/a",
            "",
        ] {
            check("https://waba-v2.360dialog.io", url, None);
        }
    }

    #[test]
    fn media_ids_are_one_path_segment() {
        assert_eq!(media_path("1003383421387256").ok().as_deref(), Some("/1003383421387256"));
        for id in ["", "../v1/configs/webhook", "a/b", "a?b", "a#b", "a b"] {
            assert!(media_path(id).is_err(), "{id}");
        }
    }
}
