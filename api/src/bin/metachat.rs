//! `metachat`: the operator's command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("installed first, once");
    api::cli::main().await
}
