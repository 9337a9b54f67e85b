//! A question for whoever runs a service: who is asked, and who is asked again when nothing came of it.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep_until};
use usher_domain::ids::ServiceId;

use super::{Home, Homes, Owner, nobody};
use crate::http::Problem;

/// Between two attempts, at first and at most: an owner that has just begun takes a question and answers it
/// when it can, so that only who asks the wrong node has to ask often.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(800);

/// A service somebody asks for, and how long they wait for whoever has it.
pub(super) struct Wanted<'a> {
    homes: &'a Homes,
    service: ServiceId,
    until: Instant,
    pause: Duration,
}

/// What came of asking a node.
enum Asked {
    Answered(Response),
    /// It was not reached, or does not run the service.
    NotTaken,
    Unknown,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(homes: &'a Homes, service: ServiceId, patience: Duration) -> Self {
        Self { homes, service, until: Instant::now() + patience, pause: AGAIN_AFTER }
    }

    /// Whoever has it, and the answer. Where it is not known whether a question was taken, it is put again only
    /// if that `changes_nothing`. A question can be `None` from the second time on.
    pub(super) async fn asked(
        mut self,
        changes_nothing: bool,
        mut question: impl FnMut(&Owner) -> Option<RequestBuilder>,
    ) -> Result<(Owner, Response), Problem> {
        loop {
            let owner = self.owner().await?;
            let question = question(&owner).ok_or_else(nobody)?;
            match self.put(&owner, question).await {
                Asked::Answered(answer) => return Ok((owner, answer)),
                Asked::NotTaken => self.breathe(&owner).await?,
                Asked::Unknown if changes_nothing => self.breathe(&owner).await?,
                Asked::Unknown => return Err(nobody()),
            }
        }
    }

    /// Once there is one.
    async fn owner(&self) -> Result<Owner, Problem> {
        if self.homes.of(self.service) == Home::Unknown {
            self.homes.doubt(self.service);
        }
        self.homes.owner(self.service, self.until).await.ok_or_else(nobody)
    }

    async fn put(&self, owner: &Owner, question: RequestBuilder) -> Asked {
        let answer = tokio::select! {
            answer = question.send() => answer,
            () = self.homes.replaced(self.service, owner) => return Asked::Unknown,
        };
        match answer {
            Ok(answer) if answer.status() == StatusCode::MISDIRECTED_REQUEST => Asked::NotTaken,
            Ok(answer) => Asked::Answered(answer),
            Err(error) if error.is_connect() => Asked::NotTaken,
            Err(error) => {
                tracing::debug!(%error, node = %owner.node, "a node did not answer");
                Asked::Unknown
            }
        }
    }

    /// Before somebody who did not take a question is asked again, unless there is another meanwhile.
    async fn breathe(&mut self, asked: &Owner) -> Result<(), Problem> {
        let again = Instant::now() + self.pause;
        if again > self.until {
            return Err(nobody());
        }
        self.pause = (self.pause * 2).min(AGAIN_AFTER_MAX);
        self.homes.doubt(self.service);
        tokio::select! {
            () = sleep_until(again) => {}
            () = self.homes.replaced(self.service, asked) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use usher_domain::ownership::placement::NodeId;

    use super::*;

    const SERVICE: ServiceId = ServiceId::from_number(1);
    const OK: Does = Does::Answer("200 OK");
    const WRONG: Does = Does::Answer("421 Misdirected Request");

    /// What a node does with a question.
    #[derive(Clone, Copy)]
    enum Does {
        Answer(&'static str),
        /// Takes it, and is gone.
        Cut,
        Nothing,
    }

    impl Does {
        /// The connection, if it stays open.
        async fn with(self, mut stream: TcpStream) -> Option<TcpStream> {
            match self {
                Self::Answer(status) => {
                    let close = "connection: close\r\ncontent-length: 0\r\n\r\n";
                    let text = format!("HTTP/1.1 {status}\r\n{close}");
                    stream.write_all(text.as_bytes()).await.unwrap();
                    None
                }
                Self::Cut => None,
                Self::Nothing => Some(stream),
            }
        }
    }

    /// A node that does this, in turn, and then nothing more; how often it was asked, and word of each time.
    struct Node {
        owner: Owner,
        asked: Arc<AtomicUsize>,
        heard: mpsc::Receiver<()>,
    }

    impl Node {
        async fn that(name: &str, does: impl IntoIterator<Item = Does>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let owner = owner(name, listener.local_addr().unwrap().port());
            let (asked, (tells, heard)) = (Arc::<AtomicUsize>::default(), mpsc::channel(10));
            let (count, mut does) = (Arc::clone(&asked), does.into_iter().collect::<VecDeque<_>>());
            tokio::spawn(async move {
                let mut silent = Vec::new();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    read(&mut stream).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    tells.try_send(()).unwrap();
                    let does = does.pop_front().unwrap_or(Does::Nothing);
                    silent.extend(does.with(stream).await);
                }
            });
            Self { owner, asked, heard }
        }

        fn was_asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    async fn read(stream: &mut TcpStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        }
    }

    fn owner(name: &str, port: u16) -> Owner {
        Owner::of(NodeId(format!("{name}/1@127.0.0.1:{port}").into())).unwrap()
    }

    fn homes(first: &Owner) -> Homes {
        let homes = Homes::new(owner("me", 1), [SERVICE].into_iter());
        homes.tell(SERVICE, Home::There(first.clone()));
        homes
    }

    fn client() -> reqwest::Client {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    /// Who answered what.
    async fn ask(homes: &Homes, changes_nothing: bool) -> Option<(Owner, u16)> {
        let client = client();
        let wanted = Wanted::new(homes, SERVICE, Duration::from_secs(20));
        let question = |owner: &Owner| Some(client.post(format!("http://{}/", owner.address)));
        let asked = wanted.asked(changes_nothing, question).await;
        asked.ok().map(|(owner, answer)| (owner, answer.status().as_u16()))
    }

    #[tokio::test]
    async fn who_does_not_run_it_has_not_answered() {
        let (mut first, next) =
            (Node::that("first", [WRONG; 20]).await, Node::that("next", [OK]).await);
        let homes = homes(&first.owner);
        let moves = async {
            // Asked a second time, it was not taken for an answer.
            first.heard.recv().await.unwrap();
            first.heard.recv().await.unwrap();
            homes.tell_of_another(SERVICE, Some(next.owner.clone()));
        };
        let (answer, ()) = tokio::join!(ask(&homes, true), moves);
        assert_eq!(answer, Some((next.owner.clone(), 200)));
        assert_eq!(next.was_asked(), 1);
    }

    #[tokio::test]
    async fn who_is_not_reached_has_taken_nothing() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (homes, client) = (homes(&owner("gone", gone.port())), client());
        let (wanted, mut times) = (Wanted::new(&homes, SERVICE, Duration::from_secs(20)), 0);
        let question = |owner: &Owner| {
            times += 1;
            (times == 1).then(|| client.post(format!("http://{}/", owner.address)))
        };
        assert!(wanted.asked(false, question).await.is_err());
        assert_eq!(times, 2, "it was to be put again");
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_asked_again_only_where_it_changes_nothing() {
        let node = Node::that("first", [Does::Cut, OK]).await;
        assert_eq!(ask(&homes(&node.owner), false).await, None);
        assert_eq!(node.was_asked(), 1);
        let node = Node::that("first", [Does::Cut, OK]).await;
        assert_eq!(ask(&homes(&node.owner), true).await, Some((node.owner.clone(), 200)));
        assert_eq!(node.was_asked(), 2);
    }

    #[tokio::test]
    async fn nobody_waits_for_who_has_lost_it() {
        for (changes_nothing, asked) in [(false, 0), (true, 1)] {
            let mut first = Node::that("first", []).await;
            let next = Node::that("next", [OK]).await;
            let homes = homes(&first.owner);
            let moves = async {
                first.heard.recv().await.unwrap();
                homes.tell_of_another(SERVICE, Some(next.owner.clone()));
            };
            let (answer, ()) = tokio::join!(ask(&homes, changes_nothing), moves);
            assert_eq!(answer.is_some(), changes_nothing);
            assert_eq!((first.was_asked(), next.was_asked()), (1, asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_has_it_that_is_said_in_time() {
        let homes = Homes::new(owner("me", 1), [SERVICE].into_iter());
        let (began, wanted) =
            (Instant::now(), Wanted::new(&homes, SERVICE, Duration::from_secs(2)));
        assert!(wanted.asked(true, |_| None).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
