"""The parent's side of fetching: settings with their secrets, the child, and retries with backoff."""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tenacity

from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits, Message
from clipscout.transforms.core.storage import filesystem, secret_manager
from clipscout.transforms.core.web import secret_texts
from clipscout.transforms.core.web.lanes import Gate, NotTriedError, Politeness
from clipscout.transforms.failures import CODES

_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_FACT = 500


class FetchError(Exception):
    """A fetch that ended as a failure: its `code`, and after how many `attempts`."""

    def __init__(self, code: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.attempts = attempts

    @property
    def transient(self) -> bool:
        """Whether another attempt may help."""
        return CODES[self.code][0] == "transient"


@dataclass(frozen=True)
class WebSettings:
    """How the web is reached.

    Attributes:
      deadline_seconds: Longest time for one attempt, whatever trickles in.
      allowed_hosts: Private, loopback and link-local hosts that may be contacted; `true` among them stands for all.
      socket_timeout_seconds: Longest silence of a connection.
      memory_bytes: Memory cap of the child.
      cookies: URI of a Netscape cookies file; its content is read by each worker and never logged.
      proxy: A proxy URL, or the URI of a file that holds one.
    """

    deadline_seconds: float = 600.0
    allowed_hosts: tuple[str, ...] = ()
    socket_timeout_seconds: float = 20.0
    memory_bytes: int = 2 << 30
    cookies: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)

    def resolved(self) -> dict[str, Any]:
        """Returns the settings for the child, with the secrets read from their files.

        Raises:
          SecretError: Cookies or a proxy have the wrong form.
          StorageError: A file cannot be read.
        """
        cookies, proxy = self.read_secrets()
        if cookies:
            secret_texts.check_cookies(cookies)
        secret_texts.check_proxy(proxy)
        return {
            "allowed_hosts": list(self.allowed_hosts),
            "socket_timeout_seconds": self.socket_timeout_seconds,
            "cookies": cookies,
            "proxy": proxy,
        }

    def read_secrets(self) -> tuple[str, str]:
        """Returns the text of the cookies file and the URL of the proxy, each empty where there is none.

        Raises:
          SecretError: The cookies are no text.
          StorageError: A file cannot be read.
        """
        return read_cookies(self.cookies), read_proxy(self.proxy)


def read_cookies(cookies: str) -> str:
    """Returns the text of a cookies file, with plain line ends: yt-dlp would take others for part of the value."""
    try:
        text = secret_manager.content(cookies).decode("utf-8-sig") if cookies else ""
        return io.StringIO(text, newline=None).read()
    except UnicodeDecodeError:
        raise secret_texts.SecretError("cookies_invalid", "the file is not UTF-8") from None


def read_proxy(proxy: str) -> str:
    """Returns a proxy URL, from the URL itself or from the first line of the file or secret that is named."""
    if not proxy or ("://" in proxy and not filesystem.is_remote(proxy)):
        return proxy
    return secret_manager.content(proxy).decode("utf-8", "replace").strip().partition("\n")[0].strip()


class Fetcher:
    """Runs fetching tasks in a supervised child, for one lane.

    Attributes:
      child: The child; it has the network, so that what it fetched is looked into by another one.
    """

    def __init__(self, web: WebSettings, politeness: Politeness) -> None:
        self._fault: FetchError | None = None
        self._settings: dict[str, Any] = {}
        try:
            self._settings = web.resolved()
        except secret_texts.SecretError as error:  # preflight saw good ones: the file was written anew
            self._fault = FetchError(error.code, str(error), attempts=0)
        self._secrets = secret_texts.secrets_of(self._settings.get("cookies", ""), self._settings.get("proxy", ""))
        self._politeness = politeness
        limits = Limits(web.deadline_seconds, web.deadline_seconds, web.memory_bytes, requests=50)
        self.child = Child(limits, None, web=True)

    def close(self) -> None:
        """Ends the child."""
        self.child.close()

    def run(
        self,
        task: str,
        make_request: Callable[[], dict[str, Any]],
        gate: Gate,
        host: str,
        stopped: threading.Event,
    ) -> tuple[list[Message], int]:
        """Runs a task in its turn, until it succeeds or its failure is not transient or the attempts are used up.

        Args:
          task: `module:function`.
          make_request: Makes the request of one attempt, e.g. with a fresh folder.
          gate: Gives the turns; each attempt has one of its own.
          host: Who is asked.
          stopped: Set when nothing more is to be tried.

        Returns:
          The messages, and how many attempts it took.

        Raises:
          FetchError: With the code and message of the last attempt; where none was made, with the code of its host's.
        """
        if self._fault is not None:
            raise self._fault
        attempts = 0

        def once() -> list[Message]:
            nonlocal attempts
            with gate.turn(host, stopped):
                attempts += 1
                try:
                    answer = self._ask(task, make_request(), attempts)
                except FetchError as error:
                    gate.note(host, error.code)
                    raise
                gate.note(host, "")
                return answer

        def may_help(error: BaseException) -> bool:
            return isinstance(error, FetchError) and error.transient and not stopped.is_set()

        wait = self._politeness.retry_wait_seconds
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_help),
            stop=tenacity.stop_after_attempt(self._politeness.attempts),
            wait=tenacity.wait_exponential_jitter(initial=wait, max=_LONGEST_WAIT_SECONDS, jitter=wait / 2),
            sleep=tenacity.sleep_using_event(stopped),
            reraise=True,
        )
        try:
            return retrying(once), attempts
        except NotTriedError as error:
            raise FetchError(error.code, str(error), attempts) from error

    def _ask(self, task: str, request: dict[str, Any], attempts: int) -> list[Message]:
        secrets = (*secret_texts.login_of(request.get("url", "")), *self._secrets)
        try:
            messages = self.child.call(task, {**request, "web": self._settings})
            return [_redacted(message, secrets) for message in messages]
        except ChildError as error:
            # what a dying child wrote last may hold a line of the cookies file
            message = str(error).partition(": ")[0] if error.fatal else secret_texts.redacted(str(error), secrets)
            raise FetchError(error.code("fetch"), message, attempts) from error


def _redacted(message: Message, secrets: Sequence[str]) -> Message:
    """What a site says of a video may repeat what it was sent, and is kept no longer than a fact may be."""
    facts = message.fields.get("facts")
    if isinstance(facts, dict):
        for name, value in facts.items():
            if isinstance(value, str):
                facts[name] = secret_texts.redacted(value, secrets)[:_LONGEST_FACT]
    return message
