//! Parsing of untrusted files in a process that can be killed.
//!
//! A parser may panic, loop or eat memory; the child's limits and its death keep that from the worker. The child
//! is this program again: `extract …`, the file on stdin, [`Answer`] as JSON on stdout. It gets no environment, so no secret is
//! within a parser's reach.

use std::{
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context;
use jobs::ports::{Passage, ReadError};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{extract, format::Format, passages};
use crate::engines::tokenizer;

/// Address space of the child, in bytes. The program itself is part of it.
#[cfg(target_os = "linux")]
const ADDRESS_SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// Stack of the thread that parses, in bytes: pages and documents are nested, and their walks recurse.
const STACK: usize = 512 * 1024 * 1024;
/// Largest output, in bytes.
const MAX_OUTPUT: u64 = 64 * 1024 * 1024;
/// Bytes of the child's complaints kept for the log.
const MAX_COMPLAINT: u64 = 8 * 1024;

/// What the child is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Extract {
    /// What the file is.
    #[arg(long)]
    format: String,
    /// As the uploader claims; it may name the encoding.
    #[arg(long)]
    content_type: String,
    /// Measures the passages.
    #[arg(long)]
    tokenizer: PathBuf,
}

/// What the child says: the passages, or a reason for the tenant.
type Answer = Result<Vec<Passage>, String>;

pub struct Child {
    program: PathBuf,
    tokenizer: PathBuf,
    /// Longest run, in processor time; the wall clock allows twice as much. The child is killed then.
    patience: Duration,
}

impl Child {
    pub fn new(program: PathBuf, tokenizer: PathBuf, patience: Duration) -> Self {
        Self { program, tokenizer, patience }
    }

    /// The passages of a document, or why there are none. A parser's crash is the document's fault: the same bytes
    /// would crash it again.
    pub async fn extract(&self, format: Format, bytes: &[u8], content_type: &str) -> Result<Vec<Passage>, ReadError> {
        let run = timeout(self.patience * 2, self.run(format, bytes, content_type)).await;
        let run = run.map_err(|_| too_long())?;
        let output =
            run.map_err(|error| ReadError::Unavailable(format!("the document reader did not start: {error}")))?;
        if output.stdout.len() as u64 > MAX_OUTPUT {
            return Err(ReadError::Unreadable(format!("The file holds more than {} MiB of text.", MAX_OUTPUT >> 20)));
        }
        match serde_json::from_slice::<Answer>(&output.stdout) {
            Ok(answer) if output.status.success() => answer.map_err(ReadError::Unreadable),
            _ => {
                let complaint = String::from_utf8_lossy(&output.complaint);
                let (format, status) = (format.name(), output.status);
                tracing::warn!(format, %status, %complaint, "a document broke its parser");
                match status.signal() {
                    Some(libc::SIGXCPU | libc::SIGKILL) => Err(too_long()),
                    _ => Err(ReadError::Unreadable("The file is damaged or too complex to read.".into())),
                }
            }
        }
    }

    async fn run(&self, format: Format, bytes: &[u8], content_type: &str) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(["extract", "--format", format.name(), "--content-type", content_type, "--tokenizer"]);
        command.arg(&self.tokenizer).env_clear().kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let seconds = self.patience.as_secs();
        // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe.
        unsafe { command.pre_exec(move || limit(seconds)) };
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("no pipes"));
        };
        let feed = async {
            // A child that dies or answers early closes its end; what it said counts, not the broken pipe.
            match stdin.write_all(bytes).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
            drop(stdin);
            Ok(())
        };
        let ((), stdout, complaint) =
            tokio::try_join!(feed, bounded(stdout, MAX_OUTPUT + 1), bounded(stderr, MAX_COMPLAINT))?;
        if stdout.len() as u64 > MAX_OUTPUT {
            child.start_kill()?;
        }
        Ok(Output { status: child.wait().await?, stdout, complaint })
    }
}

struct Output {
    status: std::process::ExitStatus,
    stdout: Vec<u8>,
    complaint: Vec<u8>,
}

/// The first `limit` bytes of a pipe. Its end is closed then, which stops a child that goes on writing.
async fn bounded(pipe: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Limits of the process that is about to become the child.
fn limit(cpu_seconds: u64) -> io::Result<()> {
    let set = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the pointer is to a valid rlimit for the length of the call.
        match unsafe { libc::setrlimit(resource, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    set(libc::RLIMIT_CPU, cpu_seconds)?;
    set(libc::RLIMIT_CORE, 0)?;
    set(libc::RLIMIT_FSIZE, 0)?;
    // macOS knows the limit and does not keep it.
    #[cfg(target_os = "linux")]
    set(libc::RLIMIT_AS, ADDRESS_SPACE)?;
    Ok(())
}

fn too_long() -> ReadError {
    ReadError::Unreadable("The file takes too long to read: it is damaged or too complex.".into())
}

/// The child's side, for `main`: reads stdin, writes [`Answer`] to stdout. A failure exit means the parser broke.
pub fn extract_main(extract: Extract) -> ExitCode {
    let answered = thread::Builder::new().stack_size(STACK).spawn(move || {
        let answer = answer(&extract)?;
        let mut stdout = io::stdout().lock();
        serde_json::to_writer(&mut stdout, &answer)?;
        stdout.flush()?;
        anyhow::Ok(())
    });
    match answered.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        // The panic has written its message.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("no thread to parse on: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(extract: &Extract) -> anyhow::Result<Answer> {
    let format = Format::named(&extract.format).context("an unknown format")?;
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let parts = extract::parts(format, &bytes, &extract.content_type);
    drop(bytes);
    let tokenizer = tokenizer::load(&extract.tokenizer)?;
    Ok(parts.and_then(|parts| passages::of(&parts, &tokenizer)))
}
