//! What the newcomer can do next, ready to be pasted.

use super::ink::Ink;
use crate::client::Client;

pub(super) fn print(client: &Client, ink: Ink) {
    let (api, key) = (client.base_url(), client.key());
    println!("\n{}", ink.bold("Go on"));
    println!("API docs     {api}/docs");
    println!("tenant key   {key}\n");
    println!("export KEY={key}");
    println!(
        "curl -s {api}/v1/messages -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n     \
         -H 'Prefer: wait=15' -d '{{\"text\": \"What does express delivery to Germany cost?\"}}'"
    );
    println!("curl -s {api}/v1/documents -H \"Authorization: Bearer $KEY\" -F file=@README.md");
    println!("curl -s {api}/v1/documents -H \"Authorization: Bearer $KEY\"");
}
