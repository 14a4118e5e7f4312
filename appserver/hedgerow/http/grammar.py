"""The grammar of RFC 9112 as far as we check it ourselves: the ABNF stands above each regular expression, compiled
here only.

What a plain search tells (`head.py`) is not repeated.
"""

from __future__ import annotations

import re

# HTTP-version = HTTP-name "/" DIGIT "." DIGIT ; of which we speak two
VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")

# A line feed that no carriage return comes before is no line end (RFC 9112 section 2.2 lets us refuse it).
BARE_LF = re.compile(rb"(?<!\r)\n")

MAX_LENGTH_DIGITS = 18  # more than any body, and never beyond a 64-bit integer

# chunk-size [ chunk-ext ] CRLF ; chunk-size = 1*HEXDIG
# chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
CHUNK_HEAD = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
)

# trailer-section = *( field-line CRLF ) ; field-line = field-name ":" OWS field-value OWS
TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")

# status-code SP reason-phrase, as an app says it; 1xx is the server's to send
STATUS = re.compile(r"[2-5][0-9]{2} ")

# token = 1*tchar
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

# Transfer-Encoding = #transfer-coding ; transfer-coding = token, here without parameters
TRANSFER_CODINGS = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")

# field-content has no control characters but HTAB; a line of an answer must have none.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# absolute-form = absolute-URI ; "http" [ "s" ] "://" [ userinfo "@" ] uri-host [ ":" port ] path-abempty [ "?" query ]
ABSOLUTE_FORM = re.compile(r"(?i:https?)://(?:[^/?#@]*@)?(?P<host>[^/?#@]+)(?P<path>(?:[/?][^#]*)?)")

# uri-host = IP-literal / IPv4address / reg-name ; without the comma of reg-name: it would be a list of two hosts
_URI_HOST = r"(?:(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])"

# authority-form = uri-host ":" port
AUTHORITY_FORM = re.compile(_URI_HOST + r":[0-9]{1,5}")

# Host = uri-host [ ":" port ]
HOST = re.compile(_URI_HOST + r"(?::[0-9]{0,5})?")


def is_length(text: str) -> bool:
    """Content-Length = 1*DIGIT. (A match object would cost three times as much, in each answer.)"""
    return text.isdecimal() and text.isascii() and len(text) <= MAX_LENGTH_DIGITS
