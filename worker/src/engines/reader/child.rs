//! Parsing of untrusted files in a process that can be killed.
//!
//! A parser may panic, loop or eat memory; the child's limits and its death keep that from the worker. The child
//! is this program again: `extract --content-type <type>`, the file on stdin, [`Parts`] as JSON on stdout. It
//! gets no environment, so no secret is within a parser's reach.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use jobs::ports::ReadError;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{Part, extract, format::Format};

/// Longest parsing, by the wall clock; the child is killed then.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest parsing, in seconds of processor time.
const CPU_SECONDS: u64 = 60;
/// Address space of the child, in bytes. The program itself and mimalloc's reservation are part of it.
#[cfg(target_os = "linux")]
const ADDRESS_SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// Largest output, in bytes.
const MAX_OUTPUT: u64 = 64 * 1024 * 1024;
/// Bytes of the child's complaints kept for the log.
const MAX_COMPLAINT: u64 = 8 * 1024;

/// What the child says: the parts, or a reason for the tenant.
type Parts = Result<Vec<Part>, String>;

pub struct Child {
    program: PathBuf,
}

impl Child {
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// The parts of a document, or why there are none. A parser's crash is the document's fault: the same bytes
    /// would crash it again.
    pub async fn extract(&self, format: Format, bytes: Vec<u8>) -> Result<Vec<Part>, ReadError> {
        let name = format.content_type();
        let run = timeout(PATIENCE, self.run(name, bytes)).await;
        let run = run.map_err(|_| ReadError::Unreadable("The file takes too long to read.".into()))?;
        let output =
            run.map_err(|error| ReadError::Unavailable(format!("the document reader did not start: {error}")))?;
        if output.stdout.len() as u64 > MAX_OUTPUT {
            return Err(ReadError::Unreadable(format!("The file holds more than {} MiB of text.", MAX_OUTPUT >> 20)));
        }
        match serde_json::from_slice::<Parts>(&output.stdout) {
            Ok(parts) if output.status.success() => parts.map_err(ReadError::Unreadable),
            _ => {
                let complaint = String::from_utf8_lossy(&output.complaint);
                tracing::warn!(format = name, status = %output.status, %complaint, "a document broke its parser");
                Err(ReadError::Unreadable("The file is damaged or too complex to read.".into()))
            }
        }
    }

    async fn run(&self, content_type: &str, bytes: Vec<u8>) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(["extract", "--content-type", content_type]).env_clear().kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe.
        unsafe { command.pre_exec(limit) };
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("no pipes"));
        };
        let feed = async move {
            // A child that dies or answers early closes its end; what it said counts, not the broken pipe.
            match stdin.write_all(&bytes).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                _ => Ok(()),
            }
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
fn limit() -> io::Result<()> {
    let set = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the pointer is to a valid rlimit for the length of the call.
        match unsafe { libc::setrlimit(resource, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    set(libc::RLIMIT_CPU, CPU_SECONDS)?;
    set(libc::RLIMIT_CORE, 0)?;
    set(libc::RLIMIT_FSIZE, 0)?;
    // macOS knows the limit and does not keep it.
    #[cfg(target_os = "linux")]
    set(libc::RLIMIT_AS, ADDRESS_SPACE)?;
    Ok(())
}

/// The child's side, for `main`: reads stdin, writes [`Parts`] to stdout. A failure exit means the parser broke.
pub fn extract_main(content_type: &str) -> ExitCode {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    let parts: Parts = match read {
        Ok(_) => extract::parts(content_type, &bytes),
        Err(error) => Err(format!("The file could not be received: {error}.")),
    };
    let mut stdout = io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, &parts).map_err(io::Error::from).and_then(|()| stdout.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("writing the result: {error}");
            ExitCode::FAILURE
        }
    }
}
