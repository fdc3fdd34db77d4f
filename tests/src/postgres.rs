//! A Postgres of the test's own, for tests that take it away.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection, PgConnection};

use crate::{Process, eventually, free_port};

/// Whom the server runs as when the tests run as root: it refuses to be root.
const USER: &str = "postgres";
/// An immediate stop ends every session without a word; the server itself waits 5 seconds for them at most.
const STOP: Duration = Duration::from_secs(10);
/// Recovery from the log after a crash included.
const START: Duration = Duration::from_secs(60);

pub struct PrivatePostgres {
    port: u16,
    bin: PathBuf,
    folder: tempfile::TempDir,
    process: Process,
}

impl PrivatePostgres {
    pub async fn start() -> Self {
        let port = free_port();
        let bin = bin();
        let folder = tempfile::tempdir().expect("a folder");
        if let Some((user, group)) = unprivileged() {
            chown(folder.path(), Some(user), Some(group)).expect("the server's folder");
        }
        let made = command(&bin.join("initdb"), folder.path())
            .arg("--pgdata=data")
            .args(["--username=metachat", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"])
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let process = launch(port, &bin, folder.path());
        let postgres = Self { port, bin, folder, process };
        postgres.ready().await;
        postgres
    }

    /// Where its databases are made from.
    pub fn url(&self) -> String {
        format!("postgres://metachat@127.0.0.1:{}/postgres", self.port)
    }

    /// Crashes, losing every session and all that was not committed, and comes back `after` a while.
    pub async fn crash(&mut self, after: Duration) {
        self.process.end(libc::SIGQUIT, STOP).await;
        tokio::time::sleep(after).await;
        self.process = launch(self.port, &self.bin, self.folder.path());
        self.ready().await;
    }

    async fn ready(&self) {
        eventually("Postgres is ready", START, async || PgConnection::connect(&self.url()).await.ok()).await;
    }
}

impl Drop for PrivatePostgres {
    #[expect(clippy::disallowed_methods, reason = "drop cannot await; the server is gone in milliseconds")]
    fn drop(&mut self) {
        // Killed outright it would leave its shared memory behind.
        self.process.signal(libc::SIGQUIT);
        let polls = STOP.as_millis() / 10;
        for _ in 0..polls {
            if !self.process.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn launch(port: u16, bin: &Path, folder: &Path) -> Process {
    let mut command = command(&bin.join("postgres"), folder);
    // The server crashes and the machine does not: what was written is kept without fsync, and recovery takes no minute.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "fsync=off"] {
        command.args(["-c", setting]);
    }
    command.args(["-D", "data", "-p", &port.to_string()]);
    Process::start("postgres", folder, command)
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

/// User and group of the server; `None` when it runs as whoever runs the tests.
fn unprivileged() -> Option<(u32, u32)> {
    let ask = |arguments: &[&str]| -> u32 {
        let answer = Command::new("id").args(arguments).output().expect("id starts");
        let number = String::from_utf8_lossy(&answer.stdout);
        number.trim().parse().unwrap_or_else(|_| panic!("id {arguments:?} names no number: {number:?}"))
    };
    (ask(&["-u"]) == 0).then(|| (ask(&["-u", USER]), ask(&["-g", USER])))
}

/// The newest installation: Debian keeps each version's programs in a folder of its own, outside the path.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max();
    newest.map(|(_, bin)| bin).unwrap_or_else(|| {
        let asked = Command::new("pg_config").arg("--bindir").output().expect("an installed Postgres");
        PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim())
    })
}
