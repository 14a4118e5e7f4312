"""The grammar of RFC 9112 as far as we check it ourselves: the ABNF stands above each regular expression, compiled
here only.

What llhttp already refuses (the characters of a header's name and value, the order of things) is not repeated.
"""

from __future__ import annotations

import re

# request-line = method SP request-target SP HTTP-version ; HTTP-version = HTTP-name "/" DIGIT "." DIGIT
# llhttp also takes other protocol names (RTSP, ICE) and more than one space; we do not.
REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r\n")

# A line feed that no carriage return comes before is no line end (RFC 9112 section 2.2 lets us refuse it).
BARE_LF = re.compile(rb"(?<!\r)\n")

# Content-Length = 1*DIGIT ; 18 digits are more than any body and never overflow a 64-bit integer
CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")

# chunk-size [ chunk-ext ] CRLF ; chunk-size = 1*HEXDIG
# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")

# trailer-section = *( field-line CRLF ) ; field-line = field-name ":" OWS field-value OWS
TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")

# status-code SP reason-phrase, as an app says it; 1xx is the server's to send
STATUS = re.compile(r"[2-5][0-9]{2} ")

# token = 1*tchar
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# field-content has no control characters but HTAB; a line of an answer must have none.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# absolute-form = absolute-URI ; scheme "://" authority path-abempty [ "?" query ]
ABSOLUTE_FORM = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?P<authority>[^/?#@]*)(?P<path>[^#]*)")

# Host = uri-host [ ":" port ]
HOST = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
