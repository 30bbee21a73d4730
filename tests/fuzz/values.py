"""Odd values for every part of a request. Nothing in them leads to a real host."""

from __future__ import annotations

ODD_TEXTS: tuple[bytes, ...] = (
    *(b"", b" ", b"null", b"None", b"true", b"TRUE", b"no", b"-1", b"0", b"1", b"-0", b"1.5", b"1e-9", b"1e308"),
    *(b"1e999", b"NaN", b"-Infinity", b"inf", b"9" * 400, b"9" * 5_000, b"-" + b"9" * 30, b"2147483648"),
    *(b"9223372036854775808", b"18446744073709551616", b"1_0", b"0x10", b"01", b"+1", b"1,2,3", b"-1,-1", b"1,"),
    *(b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\x28", b"\xe2\x80\xae", b"\xf0\x9f\x98\x80" * 50),
    *(b"\x1b[31m", b"\r\n\r\n", b"\x7f", b"\xef\xbb\xbf1", b"\xd9\xa3", b"\xc2\xb2", b"\xe2\x85\xa7"),
    *(b"x" * 3_000, b"word " * 5_000, b"a" * 70_000, b"%s%n%d", b"${jndi}", b"../../etc/passwd", b"<script>"),
    *(b"[]", b"{}", b"[[]]", b"[null]", b'["a"', b"['a', 'b']", b"[1,[2,[3]]]", b'{"a":1,"a":2}', b"[" * 2_000),
    *(b'{"type":"server_vad"}', b'{"type":"server_vad","threshold":NaN}', b'{"type":[],"x":1}'),
    *(b"en", b"de", b"zz", b"english", b"klingon", b"auto", b"word", b"segment", b"word,segment", b"json", b"srt"),
    *(b"http://127.0.0.1:9/", b"https://[::1", b"http://host.invalid:99999/", b"ftp://host.invalid/", b"http://"),
    *(b"http://\xff.invalid/", b"http://" + b"a" * 300 + b".invalid/", b"http://user:pass@host.invalid/%zz"),
)

ODD_JSON: tuple[bytes, ...] = (
    *(
        b"null",
        b"true",
        b"false",
        b"-1",
        b"0",
        b"1.0",
        b"-0.0",
        b"1e308",
        b"1e999",
        b"-1e999",
        b"NaN",
        b"Infinity",
    ),
    *(b"9" * 400, b"9" * 5_000, b"1e-400", b"01", b"+1", b"1_0", b".5", b"0x10", b"True", b"undefined", b""),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\x01"', b'"\\x"', b'"\\u12"', b'"', b"'a'", b'"\xff"'),
    *(b"[]", b"{}", b"[[[]]]", b"[null]", b'[1,"a",null,{}]', b"[" * 30 + b"]" * 30, b"[" * 5_000, b"[1,]"),
    *(b'{"a":{"a":{"a":1}}}', b'{"a":1,"a":2}', b'{"":0}', b'{"\\ud800":1}', b'{"array":[],"sampling_rate":0}'),
    *(b'{"array":[[1],[1,2]],"sampling_rate":16000}', b'{"array":[1e999,NaN],"sampling_rate":16000}'),
    *(b'{"array":[0.1,0.2],"sampling_rate":1e999}', b'{"array":[0,0],"sampling_rate":"16000"}', b'{"array":"x"}'),
    *(b'{"data":"AAAA","format":"wav"}', b'{"data":{},"format":[]}', b'{"data":"AAAA","format":"pcm16"}'),
    *(b'"data:audio/l16;rate=16000;base64,AAAAAAAA"', b'"data:audio/pcm;rate=0;base64,AA=="', b'"data:,"'),
    *(b'"http://host.invalid/a.wav"', b'"AAA"', b'"AA=="', b'"===="', b"[" + b"0," * 2_000 + b"0]"),
    b'"' + b"x" * 70_000 + b'"',
)

ODD_NAMES: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"a" * 5_000,
        b"\xff",
        b"\0",
        b"\xed\xa0\x80",
        b'"',
        b"[]",
        b"a[",
        b"a]b",
        b"__class__",
        b"x[0][1]",
    ),
    *(b"file", b"audio", b"inputs", b"parameters", b"model", b"Temperature", b"prompt\r\nx: y", b"language "),
)

CONTENT_TYPES: tuple[bytes, ...] = (
    *(b"", b" ", b"/", b"audio/wav", b"audio/x-l16", b"audio/l16", b"application/json", b"text/plain"),
    *(b"audio/l16; rate=16000; channels=1", b"audio/L16;rate=8000;channels=65", b"audio/pcm; rate=99999999"),
    *(
        b"audio/pcmu",
        b"audio/basic; rate=abc",
        b"audio/pcm;rate=1;endianness=middle",
        b"audio/l16;rate=7;channels=64",
    ),
    *(b"application/json; charset=utf-16", b"application/json; charset=punycode", b"application/octet-stream"),
    *(b"application/x-www-form-urlencoded", b"application/x-www-form-urlencoded; charset=idna"),
    *(b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=" + b"b" * 300),
    *(
        b"multipart/form-data; boundary*=idna''abc",
        b"multipart/form-data; boundary=\xff",
        b"multipart/mixed; boundary=a",
    ),
    *(b'multipart/form-data; boundary="fuzz', b"multipart/form-data; boundary=fuzz; boundary=other", b"\xff\xfe"),
    *(b"a/b;" * 2_000, b"text/event-stream", b"multipart/form-data; boundary=fuzz; charset=undefined"),
)

PART_HEADERS: tuple[bytes, ...] = (
    *(b"Content-Type: text/plain; charset=punycode", b"Content-Type: text/plain; charset=a\0b", b"Content-Type:"),
    *(
        b"Content-Type: audio/l16; rate=16000",
        b"Content-Type: audio/pcm;rate=0",
        b"Content-Type: application/json",
    ),
    *(
        b"Content-Type: text/plain; charset=utf-16",
        b"Content-Type: text/plain; charset=rot13",
        b"X" * 9_000 + b": y",
    ),
    *(
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"no colon",
        b": empty",
    ),
    *(b'Content-Disposition: form-data; name="again"', b"Content-Disposition: attachment", b"Content-Length: -1"),
    *(b"X: " + b"y" * 20_000, b"\xff: \xfe", b"Content-Encoding: gzip", b" folded"),
)

FILE_NAMES: tuple[bytes, ...] = (
    *(
        b"",
        b"a.wav",
        b"../../a",
        b"a\0b",
        b"\xff.wav",
        b"a" * 5_000,
        b'a"b',
        b"a\\",
        b"audio.mp3",
        b"%00",
        b"\xe2\x80\xae",
    ),
)

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    *((b"Accept", value) for value in (b"", b"*/*", b"text/plain", b"a/b;q=x", b";;;", b"application/json;q=1e9")),
    *((b"Accept", value) for value in (b"text/event-stream", b"application/openmetrics-text; version=9", b"\xff")),
    *((b"Accept", b"a/b," * 3_000), (b"Accept-Encoding", b"gzip;q=NaN"), (b"Accept-Language", b"\xff")),
    *(
        (b"Authorization", value)
        for value in (b"", b"Bearer", b"Bearer \xff", b"Basic !!!", b"Basic AAAA", b"x" * 9_000)
    ),
    *((b"X-Request-Id", value) for value in (b"", b"a b", b"\xff\xfe", b"x" * 9_000, b"\x1b[31m", b"a,b")),
    *((b"Expect", value) for value in (b"100-continue", b"100-Continue, x", b"200-ok", b"")),
    *((b"Range", value) for value in (b"bytes=0-1", b"bytes=-1", b"x")),
    *(
        (b"User-Agent", b"mistral-client-python/1.0"),
        (b"User-Agent", b"\xffmistral"),
        (b"User-Agent", b"groq-python"),
    ),
    *((b"X-Mistral-User-Agent", b"mistral-client-typescript/1"), (b"Origin", b"null"), (b"Origin", b"\xff")),
    *((b"Host", b""), (b"Host", b"a b"), (b"Host", b"x" * 5_000), (b"Host", b"[::1"), (b"Cookie", b"a" * 20_000)),
    *((b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Upgrade", b"h2c"), (b"Connection", b"close")),
    *((b"Connection", b"keep-alive, x"), (b"TE", b"trailers"), (b"Trailer", b"X"), (b"X-Forwarded-For", b"\xff")),
    *((b"Access-Control-Request-Method", b"POST"), (b"X-HTTP-Method-Override", b"DELETE"), (b"api-key", b"\xff")),
    *(
        (b"X" * 70_000, b"y"),
        (b"X", b"y" * 70_000),
        (b"", b"x"),
        (b"a b", b"c"),
        (b"X", b"a\0b"),
        (b"X", b"\r\n y"),
    ),
    *((b"Prefer", b"wait=x"), (b"Transfer-Encoding", b"gzip, chunked"), (b"Transfer-Encoding", b"identity")),
    *((b"Content-Length", value) for value in (b"-1", b"x", b"1e3", b"9" * 30, b"0", b"1, 2", b"+5")),
)

METHODS: tuple[bytes, ...] = (
    *(b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get"),
    *(b"X" * 5_000, b"G\xffT", b"PO ST", b"A-B"),
)

PATHS: tuple[bytes, ...] = (
    *(
        b"*",
        b"",
        b"//",
        b"/%00",
        b"/%ff",
        b"/%",
        b"/%zz",
        b"/..",
        b"/../../etc/passwd",
        b"/%2e%2e/health",
        b"/\xff",
    ),
    *(
        b"http://host.invalid/health",
        b"http://",
        b"host.invalid:443",
        b"/" * 3_000,
        b"/" + b"a" * 20_000,
        b"/?" * 99,
    ),
    *(b"/v1/chat/completions", b"/v1/audio/speech", b"/docs", b"/openapi.json", b"/v1/requests/%ed%a0%80"),
    *(b"/v1/models/%F0%9F%98%80", b"/v1/models/..%2f..%2fx", b"/health#x", b"/v1/inference/" + b"a/" * 2_000),
)

QUERIES: tuple[bytes, ...] = (
    *(
        b"",
        b"&&&",
        b"=",
        b"==",
        b"%",
        b"%zz=%zz",
        b"%00=%00",
        b"%ff=%ff",
        b"\xff=\xff",
        b"a" * 20_000,
        b"a&" * 2_000,
    ),
    *(
        b"language=%ED%A0%80",
        b"task",
        b"?",
        b"api-version=2024-06-01",
        b"stream=true",
        b"output=srt",
        b"encode=false",
    ),
)
