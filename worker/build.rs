//! How an optimised worker is linked: the 370 000 addresses that are set when it starts are listed in a word for each 63 of them, not
//! in three words each. The list is memory that every process has resident: 9 MB of it.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // Where rustc links by LLD of itself, for a C library that reads such a list (glibc 2.36).
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
