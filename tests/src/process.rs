//! A child process that never outlives its test.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use crate::eventually;

/// Killed when dropped; its log is printed when the test is failing.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output in `{folder}/{name}.log`.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("a log file");
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                // A test that is killed takes its processes along.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the pid is a child that was not waited for, so it names no other process.
        unsafe { libc::kill(pid, signal) };
    }

    /// Ends at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running process");
        self.child.wait().expect("a killed process");
    }

    /// Asks to end and waits for it.
    pub async fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.end(libc::SIGTERM, limit).await
    }

    /// Sends a signal that ends it and waits for that.
    pub async fn end(&mut self, signal: i32, limit: Duration) -> ExitStatus {
        self.signal(signal);
        let name = self.name.clone();
        eventually(&format!("{name} ends"), limit, async || self.child.try_wait().expect("a child")).await
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the end of {}'s log", self.name);
            tail.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
