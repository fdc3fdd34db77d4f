use super::*;

fn outcome(policy: &EgressPolicy, url: &str) -> &'static str {
    match policy.check_url(url) {
        Ok(_) => "ok",
        Err(EgressRefusal::Ambiguous) => "ambiguous",
        Err(EgressRefusal::Invalid(_)) => "invalid",
        Err(EgressRefusal::Scheme(_)) => "scheme",
        Err(EgressRefusal::Credentials) => "credentials",
        Err(EgressRefusal::Port(_)) => "port",
        Err(EgressRefusal::NoHost) => "no host",
        Err(EgressRefusal::LocalHost(_)) => "local",
        Err(EgressRefusal::Address(_)) => "address",
    }
}

#[test]
fn urls_are_refused_for_the_right_reason() {
    let policy = EgressPolicy::default();
    for (url, expected) in [
        ("https://example.com/hook?a=b", "ok"),
        ("http://example.com:8080/", "ok"),
        ("https://EXAMPLE.com./", "ok"),
        ("https://1.1.1.1/", "ok"),
        ("https://[2606:4700::1111]/", "ok"),
        ("https://localhost.example.com/", "ok"),
        ("https://mylocalhost/", "ok"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("gopher://127.0.0.1/", "scheme"),
        ("example.com/hook", "invalid"),
        ("", "invalid"),
        ("https://", "invalid"),
        ("https://exa%20mple.com/", "invalid"),
        ("https://exa mple.com/", "ambiguous"),
        (" https://example.com/", "ambiguous"),
        ("https://example.com/\n", "ambiguous"),
        ("https://exam\tple.com/", "ambiguous"),
        ("https://example.com\\@127.0.0.1/", "ambiguous"),
        ("https:\\\\example.com/", "ambiguous"),
        ("https://256.1.1.1/", "invalid"),
        ("https://./", "no host"),
        ("https://user@example.com/", "credentials"),
        ("https://user:secret@example.com/", "credentials"),
        ("https://:secret@example.com/", "credentials"),
        ("https://example.com:80/", "ok"),
        ("http://example.com:443/", "ok"),
        ("http://example.com:1024/", "ok"),
        ("http://example.com:65535/", "ok"),
        ("http://example.com:0/", "port"),
        ("http://example.com:22/", "port"),
        ("http://example.com:25/", "port"),
        ("http://example.com:1023/", "port"),
        ("http://example.com:65536/", "invalid"),
        ("http://localhost/", "local"),
        ("http://LOCALHOST:9000/", "local"),
        ("http://localhost./", "local"),
        ("http://api.localhost/", "local"),
        ("http://127.0.0.1/", "address"),
        ("http://127.1/", "address"),
        ("http://2130706433/", "address"),
        ("http://0x7f000001/", "address"),
        ("http://0x7f.0.0.1/", "address"),
        ("http://0177.0.0.1/", "address"),
        ("http://017700000001/", "address"),
        ("http://①②⑦.0.0.1/", "address"),
        ("http://127.0.0.1./", "address"),
        ("http://0/", "address"),
        ("http://169.254.169.254/latest/meta-data", "address"),
        ("http://[::1]/", "address"),
        ("http://[::]/", "address"),
        ("http://[::ffff:10.0.0.1]/", "address"),
        ("http://[::ffff:7f00:1]/", "address"),
        ("http://[64:ff9b::a9fe:a9fe]/", "address"),
        ("http://[2002:7f00:1::]/", "address"),
    ] {
        assert_eq!(outcome(&policy, url), expected, "{url}");
    }
}

#[test]
fn addresses_are_public_or_not() {
    let policy = EgressPolicy::default();
    for (address, public) in [
        ("8.8.8.8", true),
        ("93.184.216.34", true),
        ("100.63.255.255", true),
        ("100.128.0.0", true),
        ("172.15.0.1", true),
        ("172.32.0.1", true),
        ("198.17.255.255", true),
        ("223.255.255.255", true),
        ("2a00:1450:4001::8a", true),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::808:808", true),
        ("0.0.0.0", false),
        ("10.255.255.255", false),
        ("100.64.0.1", false),
        ("100.127.255.255", false),
        ("127.255.255.254", false),
        ("169.254.0.1", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.8", false),
        ("192.0.2.1", false),
        ("192.88.99.1", false),
        ("192.168.1.1", false),
        ("198.19.255.255", false),
        ("198.51.100.7", false),
        ("203.0.113.7", false),
        ("224.0.0.1", false),
        ("239.255.255.255", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", false),
        ("::127.0.0.1", false),
        ("::ffff:192.168.0.1", false),
        ("64:ff9b::a00:1", false),
        ("64:ff9b:1::1", false),
        ("100::1", false),
        ("2001::1", false),
        ("2001:2::1", false),
        ("2001:db8::1", false),
        ("2002:808:808::1", false),
        ("3fff::1", false),
        ("fc00::1", false),
        ("fd12:3456::1", false),
        ("fe80::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
    ] {
        assert_eq!(policy.permits(address.parse().unwrap()), public, "{address}");
    }
}

#[test]
fn allowed_networks_open_what_they_name_and_nothing_else() {
    let policy: EgressPolicy = " 127.0.0.0/8, ::1 ,10.1.2.3/16,".parse().unwrap();
    for (url, expected) in [
        ("http://127.0.0.1:9999/", "ok"),
        ("http://localhost/", "ok"),
        ("http://[::1]/", "ok"),
        ("http://[::ffff:127.0.0.1]/", "ok"),
        ("http://10.1.255.255/", "ok"),
        ("http://10.2.0.0/", "address"),
        ("http://192.168.0.1/", "address"),
        ("http://[::2]/", "address"),
    ] {
        assert_eq!(outcome(&policy, url), expected, "{url}");
    }
    assert!("0.0.0.0/0".parse::<EgressPolicy>().unwrap().permits("10.0.0.1".parse().unwrap()));
    assert!(!"0.0.0.0/0".parse::<EgressPolicy>().unwrap().permits("fd00::1".parse().unwrap()));
    assert_eq!("".parse::<EgressPolicy>(), Ok(EgressPolicy::default()));
}

#[test]
fn malformed_networks_are_named() {
    for list in ["10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "10.0.0.0/-1", "10.0.0.0/8/8", "1.2.3.4/"] {
        assert!(list.parse::<EgressPolicy>().is_err(), "{list}");
    }
}
