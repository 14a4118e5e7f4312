"""A stylesheet of XSLT 1.0, compiled once, and XML documents that nobody trusts, transformed by it (lxml).

The stylesheet is the app's own. It reads files of its own folder and nothing else, and writes nothing. A document has
no document type, so no entities; what libxml2's own limits leave is bounded by the caller, who bounds its length.
Nothing here knows of requests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urljoin, urlsplit

from lxml import etree

XSL = "{http://www.w3.org/1999/XSL/Transform}"
KINDS = {"html": "text/html", "text": "text/plain", "xml": "application/xml"}
MAX_ATTRIBUTES = 1000  # libxslt copies n of them in n² steps: 90,000 took 17 s
MAX_NAMESPACES = 1000  # that are declared at one place: the same, 38,000 took 5 s

if "gevent.monkey" in sys.modules:
    _get = sys.modules["gevent.monkey"].get_original
    _allocate_lock, _start_thread = _get("_thread", ["allocate_lock", "start_new_thread"])
else:
    from _thread import allocate_lock as _allocate_lock
    from _thread import start_new_thread as _start_thread

# libxslt's loader of further documents is the process's, and an XSLT object has one log for all its runs.
_ONE_AT_A_TIME = _allocate_lock()
_FILES_ONLY = etree.XSLTAccessControl(
    read_file=True, write_file=False, create_dir=False, read_network=False, write_network=False
)
# Of a run without parameters lxml keeps the names of the result as long as the stylesheet lives.
_NEVER_WITHOUT = {"{hedgerow}none": "0"}  # which no stylesheet has
_TOO_MANY_ATTRIBUTES = etree.XPath(f"boolean(//*[@*[{MAX_ATTRIBUTES + 1}]])")
_CONTEXT = re.compile(r"(compilation|runtime) error(, element '.*')?")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_TELLS_ITS_ENCODING = re.compile(rb"\xef\xbb\xbf|\xff\xfe|\xfe\xff|<\?xml[^>]*\sencoding\s*=")
_NO_XML_TEXT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class StylesheetError(Exception):
    """What is wrong with a stylesheet, or was in a run of it: file, line and message."""


class DocumentError(Exception):
    """Why a document is not transformed. sentence: safe to show; cause: with what the parser says."""

    def __init__(self, sentence: str, cause: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.cause = sentence, " ".join([sentence, *cause.split()])


class Stylesheet:
    """One, compiled. media_type: of what it makes, with its charset. Raises StylesheetError."""

    def __init__(self, path: Path) -> None:
        self._path = path = path.absolute()
        self._parser = etree.XMLParser(resolve_entities="internal", no_network=True)
        self._parser.resolvers.add(_Folder(path.parent))
        root = self._read(path)
        with _ONE_AT_A_TIME:
            try:
                self._transform = etree.XSLT(root, access_control=_FILES_ONLY)
            except (etree.XSLTError, etree.XMLSyntaxError, _OutsideError) as error:
                raise self._error(error) from None
            if len(self._transform.error_log):  # it went on all the same, without what it did not understand
                raise StylesheetError(self._told(self._transform.error_log))
        attributes = (one for element in self._outputs(root, path) for one in element.attrib.items())
        self.media_type = self._media_type({str(name): str(one) for name, one in attributes})

    def transform(self, document: bytes, parameters: Mapping[str, str], charset: str = "") -> bytes:
        """What the stylesheet makes of it. charset: of a document that does not tell its own. Raises DocumentError, and
        StylesheetError for an error while it runs.
        """
        return _in_a_new_thread(lambda: self._transformed(document, parameters, charset))

    def _transformed(self, document: bytes, parameters: Mapping[str, str], charset: str) -> bytes:
        quoted: Any = {name: etree.XSLT.strparam(_NO_XML_TEXT.sub("\ufffd", one)) for name, one in parameters.items()}
        quoted = quoted or _NEVER_WITHOUT
        with _ONE_AT_A_TIME:  # the tree, too: it may be 60 times as large as the document
            root = _parsed(document, charset)
            try:
                return bytes(cast(Any, self._transform(root, **quoted)))
            except (etree.XSLTError, etree.XMLSyntaxError, _OutsideError) as error:
                raise self._error(error) from None

    def _read(self, path: Path) -> etree._Element:
        try:
            return etree.fromstring(path.read_bytes(), self._parser, base_url=str(path))
        except OSError as error:
            raise StylesheetError(f"{self._name(path)}: {error.strerror}") from None
        except etree.XMLSyntaxError as error:
            said = str(error.msg).rpartition(", line ")[0]
            raise StylesheetError(f"{self._name(path)} line {error.lineno}: {said}") from None

    def _outputs(self, root: etree._Element, path: Path) -> Iterator[etree._Element]:
        """All xsl:output, as later ones win: an imported stylesheet stands before what overrides it."""
        for element in root.iterchildren(f"{XSL}output", f"{XSL}import", f"{XSL}include"):
            if element.tag == f"{XSL}output":
                yield element
            elif (further := _local(urljoin(path.as_uri(), str(element.get("href"))))) is not None:
                yield from self._outputs(self._read(further), further)  # compiled already, so it is there and no circle

    def _media_type(self, output: Mapping[str, str]) -> str:
        """By xsl:output. It has to name the method: HEAD is answered without a result to look at."""
        method, encoding = output.get("method", ""), output.get("encoding", "UTF-8")
        if method not in KINDS:
            said = f"has the method {method!r}" if method else "names no method"
            raise StylesheetError(f"{self._name(self._path)}: its xsl:output {said}; {', '.join(KINDS)} are known")
        media_type = output.get("media-type", KINDS[method])
        if not _is_known(encoding):
            raise StylesheetError(f"{self._name(self._path)}: its xsl:output has no known encoding")
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise StylesheetError(f"{self._name(self._path)}: its xsl:output has the media-type {media_type!r}")
        return f"{media_type}; charset={encoding.lower()}"

    def _error(self, error: Exception) -> StylesheetError:
        if isinstance(error, etree.LxmlError) and len(error.error_log):
            return StylesheetError(self._told(error.error_log))
        return StylesheetError(f"{self._name(self._path)}: {error}")

    def _told(self, log: Iterable[Any]) -> str:
        """The place comes in entries of its own, and the message in several, of which some say nothing."""
        entries = [entry for entry in log if entry.message and entry.message != "unknown error"]
        said = [" ".join(entry.message.split()) for entry in entries if not _CONTEXT.fullmatch(entry.message)]
        where = [f"{self._name(Path(entry.filename))} line {entry.line}" for entry in entries if entry.line > 0]
        return f"{(where or [self._name(self._path)])[0]}: {'; '.join(said) or 'error'}"

    def _name(self, path: Path) -> str:
        folder = self._path.parent
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


class _OutsideError(Exception):
    """A stylesheet wants to read what is not in its folder."""


class _Folder(etree.Resolver):
    """Finds what a stylesheet includes, imports, or reads by document()."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def resolve(self, system_url: str | None, public_id: str | None, context: Any) -> Any:
        path = _local(system_url or "")
        if path is None or not path.resolve().is_relative_to(self._folder):
            raise _OutsideError(f"{system_url} is not in the stylesheet's folder, and is not read")
        if not path.is_file():
            raise _OutsideError(f"{system_url}: no such file")
        return self.resolve_filename(str(path), context)


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") and not parts.netloc else None


def _is_known(encoding: str) -> bool:
    try:
        etree.XMLParser(encoding=encoding)
    except LookupError:
        return False
    return encoding != ""


def _in_a_new_thread(call: Callable[[], bytes]) -> bytes:
    """What it returns or raises. lxml keeps each name of each document as long as the thread lives that has read it. A
    native thread, also where greenlets are: 0.1 ms, and for 1 MB some 10.
    """
    results, errors, ended = list[bytes](), list[BaseException](), _allocate_lock()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    ended.acquire()
    _start_thread(run, ())
    ended.acquire()
    if errors:
        raise errors.pop()
    return results[0]


def _parsed(document: bytes, charset: str) -> etree._Element:
    # A parser for each: one that is shared would be waited for, and keeps names of documents.
    # Comments and processing instructions are no content, and libxslt copies n of them in n² steps.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        encoding=charset if _is_known(charset) and not _TELLS_ITS_ENCODING.match(document) else None,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError("The answer is not XML that can be transformed.", str(error.msg)) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise DocumentError("The answer has a document type declaration, with which XML is not transformed.")
    if _TOO_MANY_ATTRIBUTES(root):
        raise DocumentError(f"The answer has an element with more than {MAX_ATTRIBUTES} attributes.")
    declared = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        declared += 1 if event == "start-ns" else -1
        if declared > MAX_NAMESPACES:
            raise DocumentError(f"The answer declares more than {MAX_NAMESPACES} namespaces at one place.")
    return root
