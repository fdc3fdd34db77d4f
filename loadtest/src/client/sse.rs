//! Server-sent events, parsed as the WHATWG HTML standard has it (section 9.2.6).

use std::mem;

use serde::de::DeserializeOwned;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The last event id at the time of the event: what `Last-Event-ID` would carry to resume after it.
    pub id: Option<String>,
    /// `message` when the server names none.
    pub event: String,
    pub data: String,
}

impl SseEvent {
    /// Reads the data as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data)
    }
}

/// Turns bytes, cut anywhere, into events. An event without its closing blank line is never dispatched.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    past_first_line: bool,
    last_id: Option<String>,
    event: String,
    data: Vec<String>,
}

impl SseParser {
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let completes_crlf = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            match byte {
                b'\n' if completes_crlf => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&bytes).into_owned();
        if !mem::replace(&mut self.past_first_line, true)
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            line = rest.to_owned();
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.to_owned(),
            "data" => self.data.push(value.to_owned()),
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = mem::take(&mut self.event);
        let data = mem::take(&mut self.data);
        if data.is_empty() {
            return None;
        }
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(SseEvent { id: self.last_id.clone(), event, data: data.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: &str, data: &str) -> SseEvent {
        SseEvent { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() }
    }

    const STREAM: &str = "\u{feff}: keep-alive\n\nid: 1\nevent: status\ndata: {\"status\":\"queued\"}\n\n\
        event:delta\r\ndata: Grüße\r\ndata:  aus Hall\r\n\r\nid: 3\rdata: x\r\revent: done\ndata\n\ndata: unfinished";

    fn expected() -> Vec<SseEvent> {
        vec![
            event(Some("1"), "status", "{\"status\":\"queued\"}"),
            event(Some("1"), "delta", "Grüße\n aus Hall"),
            event(Some("3"), "message", "x"),
            event(Some("3"), "done", ""),
        ]
    }

    #[test]
    fn a_whole_stream_is_read() {
        assert_eq!(SseParser::default().push(STREAM.as_bytes()), expected());
    }

    #[test]
    fn cuts_do_not_matter_even_inside_a_character() {
        for size in 1..8 {
            let mut parser = SseParser::default();
            let events: Vec<_> = STREAM.as_bytes().chunks(size).flat_map(|bytes| parser.push(bytes)).collect();
            assert_eq!(events, expected(), "chunks of {size}");
        }
    }

    #[test]
    fn an_event_without_data_is_not_dispatched() {
        assert_eq!(SseParser::default().push(b"event: status\nid: 4\n\n"), vec![]);
    }
}
