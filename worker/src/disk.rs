//! Room on the filesystems that hold vectors and uploaded documents, where those are folders of this machine.

use std::{
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(15);

/// Reports until the process ends, on a thread of its own: a filesystem on the network may hang, and holds up nothing else then.
pub(crate) fn watch(lancedb_uri: &str, originals_uri: &str) -> std::io::Result<()> {
    let folders = [("lancedb", local(lancedb_uri)), ("originals", local(originals_uri))];
    let watching = std::thread::Builder::new().name("disk".into());
    watching.spawn(move || {
        loop {
            for (folder, path) in &folders {
                if let Some((free, size)) = path.as_deref().and_then(room) {
                    metrics::gauge!("metachat_disk_free_bytes", "folder" => *folder).set(free);
                    metrics::gauge!("metachat_disk_size_bytes", "folder" => *folder).set(size);
                }
            }
            #[expect(clippy::disallowed_methods, reason = "a thread of its own, not a runtime's")]
            std::thread::sleep(EVERY);
        }
    })?;
    Ok(())
}

/// The folder that a URI names; `None` for a bucket.
fn local(uri: &str) -> Option<PathBuf> {
    if !uri.contains("://") {
        return Some(PathBuf::from(uri));
    }
    Url::parse(uri).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// Bytes that are free for this process, and bytes in all.
fn room(path: &Path) -> Option<(f64, f64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: both pointers are valid for the call, which fills `stat` when it returns 0.
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    let bytes = |blocks: libc::fsblkcnt_t| blocks as f64 * stat.f_frsize as f64;
    Some((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}
