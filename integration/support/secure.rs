//! A connection under TLS in the hands of a test: rustls, blocking, with every wait bounded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;
use super::certificates::Signed;

pub struct Secure {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

/// A client that believes these.
pub fn client(roots: Arc<RootCertStore>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The same, and it shows this certificate.
pub fn showing(roots: Arc<RootCertStore>, signed: &Signed) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(signed.chain(), signed.private_key());
    Arc::new(config.expect("a certificate"))
}

impl Secure {
    /// Connected, with the handshake done, or why it was not.
    pub fn connect(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Secure> {
        let socket = TcpStream::connect_timeout(&to, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Secure::over(socket, name, config)
    }

    /// The same on a connection that is there.
    pub fn over(socket: TcpStream, name: &str, config: &Arc<ClientConfig>) -> io::Result<Secure> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(config.clone(), name).expect("a session");
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Secure { stream })
    }

    /// Asks on this connection, and reads one answer with a length: its head and its content.
    pub fn ask(&mut self, request: &str) -> io::Result<(String, Vec<u8>)> {
        self.stream.write_all(request.as_bytes())?;
        self.answer()
    }

    pub fn answer(&mut self) -> io::Result<(String, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().expect("a length")));
        let mut content = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut content)?;
        Ok((head, content))
    }

    pub fn get(&mut self, host: &str, path: &str) -> io::Result<(String, Vec<u8>)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// A backend under TLS that says the same to everybody, one request at a time and connection after connection.
pub struct SecureBackend {
    address: SocketAddr,
    resumed: Arc<AtomicUsize>,
}

impl SecureBackend {
    /// `keep`: it says nothing about closing, and reads the next request. `client_ca`: who comes must show a certificate of theirs.
    pub fn start(signed: &Signed, keep: bool, client_ca: Option<Arc<RootCertStore>>) -> SecureBackend {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots, provider).build().expect("a verifier"))
            }
        };
        let mut config = builder.with_single_cert(signed.chain(), signed.private_key()).expect("a certificate");
        config.ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let resumed = Arc::new(AtomicUsize::new(0));
        let seen = resumed.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (config, seen) = (config.clone(), seen.clone());
                std::thread::spawn(move || {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a session"), socket);
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
                        head.push(byte[0]);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            seen.fetch_add(usize::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)), Ordering::Relaxed);
                            let close = if keep { "" } else { "Connection: close\r\n" };
                            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n{close}\r\nsecret");
                            if stream.write_all(answer.as_bytes()).is_err() || !keep {
                                stream.conn.send_close_notify();
                                let _ = stream.flush();
                                return;
                            }
                        }
                    }
                });
            }
        });
        SecureBackend { address, resumed }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that came on a resumed session.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }
}
