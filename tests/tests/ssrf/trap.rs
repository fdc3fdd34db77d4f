//! Servers that must not be reached, and servers that lead there.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Listens on every address of this machine and counts connections; answers 418.
pub struct Trap {
    port: u16,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    pub async fn set() -> Self {
        // Dual-stack where the machine has IPv6.
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a port"),
        };
        let port = listener.local_addr().expect("an address").port();
        let caught = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&caught);
        serve(
            listener,
            "HTTP/1.1 418 Caught\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            move || {
                counter.fetch_add(1, SeqCst);
            },
        );
        Self { port, caught }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn caught(&self) -> usize {
        self.caught.load(SeqCst)
    }

    /// Nobody came; then comes itself, which shows that it would have been noticed.
    pub async fn caught_nobody(&self) {
        // A connection that was begun last is counted by then.
        sleep(Duration::from_millis(200)).await;
        assert_eq!(self.caught(), 0, "the trap was reached");
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.expect("the trap listens");
        sleep(Duration::from_millis(200)).await;
        assert_eq!(self.caught(), 1, "the trap counts");
    }
}

/// A server at this address that answers 200; its port.
pub async fn answering_at(address: &str) -> u16 {
    let reply = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    listening(address, reply.to_owned()).await.port()
}

/// The URL of a server at 127.0.0.2 that answers with a redirect.
pub async fn redirecting(status: u16, location: &str) -> String {
    let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\nrefresh: 0; url={location}");
    let reply = format!("{head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    format!("http://{}/hook", listening("127.0.0.2:0", reply).await)
}

async fn listening(address: &str, reply: String) -> SocketAddr {
    let listener = TcpListener::bind(address).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    serve(listener, reply, || {});
    address
}

fn serve(listener: TcpListener, reply: String, counted: impl Fn() + Send + 'static) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted();
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                drop(stream.read(&mut asked).await);
                drop(stream.write_all(reply.as_bytes()).await);
            });
        }
    });
}
