//! A backend that speaks HTTP/2 by the `h2` crate: many streams at once, each answered by the test's own code.

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::certificates::Signed;

pub type Asked = Request<RecvStream>;
type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Arc<dyn Fn(Asked, SendResponse<Bytes>) -> Answering + Send + Sync>;

#[derive(Default)]
struct Seen {
    /// Connections on which HTTP/2 has begun.
    begun: AtomicUsize,
    /// The most streams that one of them had at once.
    crowd: AtomicUsize,
}

pub struct Streams {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Streams {
    /// `handler`: answers a stream; runs as a task of its own.
    pub fn start<F>(handler: impl Fn(Asked, SendResponse<Bytes>) -> F + Send + Sync + 'static) -> Streams
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Streams::with(Builder::new(), None, handler)
    }

    /// `builder`: what it grants; `tls`: under which certificate, by ALPN.
    pub fn with<F>(
        builder: Builder,
        tls: Option<&Signed>,
        handler: impl Fn(Asked, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Streams
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        listener.set_nonblocking(true).expect("a socket for a runtime");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let acceptor = tls.map(acceptor);
        let handler: Handler = Arc::new(move |asked, respond| Box::pin(handler(asked, respond)));
        let counts = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    let (builder, handler, seen, acceptor) = (builder.clone(), handler.clone(), counts.clone(), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(builder, stream, handler, seen).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(builder, stream, handler, seen).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Streams { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.seen.begun.load(Ordering::SeqCst)
    }

    /// The most streams that one connection had at once.
    pub fn crowd(&self) -> usize {
        self.seen.crowd.load(Ordering::SeqCst)
    }
}

fn acceptor(signed: &Signed) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(signed.chain(), signed.private_key())
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(builder: Builder, stream: impl AsyncRead + AsyncWrite + Unpin, handler: Handler, seen: Arc<Seen>) {
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    seen.begun.fetch_add(1, Ordering::SeqCst);
    let here = Arc::new(AtomicUsize::new(0));
    while let Some(Ok((asked, respond))) = connection.accept().await {
        let (answering, here) = (handler(asked, respond), here.clone());
        seen.crowd.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::spawn(async move {
            answering.await;
            here.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// An answer with this content.
pub fn say(respond: &mut SendResponse<Bytes>, content: impl Into<Bytes>) {
    let content = content.into();
    let answer = Response::builder().header("content-length", content.len()).body(()).expect("an answer");
    if let Ok(mut stream) = respond.send_response(answer, content.is_empty())
        && !content.is_empty()
    {
        let _ = stream.send_data(content, true);
    }
}

/// All of a request's content.
pub async fn read(asked: Asked) -> Vec<u8> {
    let mut content = asked.into_body();
    let mut all = Vec::new();
    while let Some(Ok(piece)) = content.data().await {
        let _ = content.flow_control().release_capacity(piece.len());
        all.extend_from_slice(&piece);
    }
    all
}
