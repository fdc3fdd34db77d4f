//! Hostile URLs. `PORT` is where the trap listens.

/// Spellings of this machine that URL parsers and resolvers are known to take; each reaches it when the gate is open.
const THIS_MACHINE: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "HTTP://127.0.0.1:PORT",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http://127.0.0.1:0PORT/",
    "http://@127.0.0.1:PORT/",
    "http://:@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT?@example.com/",
    "http://127.0.0.1:PORT#@example.com/",
    "http://127.0.0.1:PORT/@example.com/",
    // Shortened, decimal, hexadecimal, octal and mixed.
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7F.0x0.0x0.0x1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0000000177.0.0.01:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0x0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    // The rest of the loopback network, and this network's unspecified address.
    "http://127.0.0.2:PORT/",
    "http://127.255.255.254:PORT/",
    "http://0:PORT/",
    "http://0x0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://00.00.00.00:PORT/",
    // Digits and dots that normalise to the plain ones.
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://127｡0｡0｡1:PORT/",
    "http://%31%32%37%2e0%2e0%2e1:PORT/",
    "http://127.0.0.1%E3%80%82:PORT/",
    // IPv4 in IPv6.
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/",
    "http://[::FFFF:127.0.0.2]:PORT/",
    // Names.
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://loc%61lhost:PORT/",
    "http://ｌｏｃａｌｈｏｓｔ:PORT/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
    "http://local\u{ad}host:PORT/",
];

/// The same for machines with IPv6, or names that only some resolvers know.
const ELSEWHERE_THIS_MACHINE: &[&str] = &[
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::]:PORT/",
    "http://[::0.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[::ffff:0.0.0.0]:PORT/",
    "http://LocalHost.:PORT/",
    "http://api.localhost:PORT/",
    "http://a.b.LOCALHOST.:PORT/",
];

/// Networks that are not public, and ways through translators into them.
const PRIVATE: &[&str] = &[
    "http://10.0.0.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.255:PORT/",
    "http://192.168.0.1:PORT/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://100.64.0.1:PORT/",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/",
    "http://192.0.2.1:PORT/",
    "http://198.18.0.1:PORT/",
    "http://224.0.0.1:PORT/",
    "http://240.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fec0::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[5f00::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[::1%25lo]:PORT/",
];

/// Tricks with user names, backslashes, blanks, schemes and ports.
const TRICKS: &[&str] = &[
    "http://user@127.0.0.1:PORT/",
    "http://user:secret@127.0.0.1:PORT/",
    "http://example.com@127.0.0.1:PORT/",
    "http://example.com:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@example.com/",
    "http://127.0.0.1%3APORT@example.com/",
    "http://example.com\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@example.com/",
    "http:\\\\127.0.0.1:PORT\\",
    "http:/\\127.0.0.1:PORT/",
    " http://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/ ",
    "\u{1}http://127.0.0.1:PORT/",
    "ht\ntp://127.0.0.\t1:PORT/",
    "http://127.0.0.1:PORT/\r\nHost: example.com",
    "http://example.com 127.0.0.1:PORT/",
    "http://example.com,127.0.0.1:PORT/",
    "http://127.0.0.1:PORT:80/",
    "http://[127.0.0.1]:PORT/",
    "http://[::1]]:PORT/",
    "http://127.0.0.256:PORT/",
    "http://0x100000000:PORT/",
    "http://1.2.3.4.5:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "localhost:PORT",
    "http://",
    "http://:PORT/",
    "http://.:PORT/",
    "file:///etc/passwd",
    "file://127.0.0.1:PORT/etc/passwd",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_POST%20/",
    "dict://127.0.0.1:PORT/info",
    "ldap://127.0.0.1:PORT/",
    "tftp://127.0.0.1:PORT/",
    "redis://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "wss://127.0.0.1:PORT/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "jar:http://127.0.0.1:PORT!/",
    "view-source:http://127.0.0.1:PORT/",
    "blob:http://127.0.0.1:PORT/",
    "data:text/plain,hello",
    "javascript:fetch('http://127.0.0.1:PORT/')",
    "http://example.com:0/",
    "http://example.com:22/",
    "http://example.com:25/",
    "https://example.com:53/",
    "http://example.com:65536/",
    "http://example.com:-1/",
];

/// Names that only resolution tells to lead here, as this machine's hosts file says.
const NAMES: &[&str] =
    &["http://ip6-localhost:PORT/", "http://ip6-loopback:PORT/", "http://localhost.localdomain:PORT/"];

fn at(port: u16, urls: &[&str]) -> Vec<String> {
    urls.iter().map(|url| url.replace("PORT", &port.to_string())).collect()
}

pub fn this_machine(port: u16) -> Vec<String> {
    at(port, THIS_MACHINE)
}

pub fn all(port: u16) -> Vec<String> {
    [THIS_MACHINE, ELSEWHERE_THIS_MACHINE, PRIVATE, TRICKS].iter().flat_map(|urls| at(port, urls)).collect()
}

/// This machine's own name among them.
pub fn names(port: u16) -> Vec<String> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = Some(hostname.trim()).filter(|name| !name.is_empty()).map(|name| format!("http://{name}:{port}/"));
    at(port, NAMES).into_iter().chain(own).collect()
}
